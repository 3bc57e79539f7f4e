"""Making scenes and looking at them: photos to poses, multi-scale folders, inspection."""
