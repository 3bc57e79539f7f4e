"""The built-in scenes: a still life, ray-traced with Taichi."""
