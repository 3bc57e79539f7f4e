"""Making and inspecting scenes: photos to poses, multi-scale folders, inspection."""
