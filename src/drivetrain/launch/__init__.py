"""The same engine in another process."""
