"""Run folders and checkpoints: writing, reading, and the scene that they belong to."""
