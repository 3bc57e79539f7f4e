"""Exports of photogrammetry programs and phone apps: cameras and poses beside photographs."""
