"""Brain volumes from an average brain."""
