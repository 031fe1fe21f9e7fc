"""The work dir of a run: its record, its progress and its trackers."""
