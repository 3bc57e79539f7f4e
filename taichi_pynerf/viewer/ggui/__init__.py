"""The viewer's window in Taichi GGUI."""
