"""What a view shows: rays drawn progressively, in the time that a frame has."""
