"""Data lists, datasets, batches, and their writers."""
