"""What image files hold beside their pixels: EXIF data and colour profiles."""
