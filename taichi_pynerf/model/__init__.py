"""The field with its pyramid of heads, and the rendering of rays to pixels."""
