"""Data care: copies, leaks, odd pictures, probable label errors and outliers, found in the pictures themselves."""
