"""Running the same engine in another process."""
