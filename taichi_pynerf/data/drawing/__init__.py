"""Training pixels: where they are kept, and how they are drawn at random."""
