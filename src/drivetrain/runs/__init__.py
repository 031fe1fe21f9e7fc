"""The work dir of a run: its record, its progress display and its trackers."""
