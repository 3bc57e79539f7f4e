"""What photogrammetry programs and phone apps export: cameras and poses beside the photographs."""
