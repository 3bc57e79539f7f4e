"""Run folders and checkpoints: written whole, opened again, and what scene they are of."""
