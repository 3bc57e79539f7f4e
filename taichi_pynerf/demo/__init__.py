"""The built-in scenes: a still life, a plant and a drum kit, ray-traced with Taichi."""
