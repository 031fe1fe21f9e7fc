"""Data care: duplicates, leaks, odd pictures, probable label errors and outliers, found by looking at the pictures."""
