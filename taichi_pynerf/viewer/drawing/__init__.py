"""Drawing a view: rays rendered progressively, within the time of a frame."""
