"""Cameras, lenses, rays, and the box or contraction that holds a scene."""
