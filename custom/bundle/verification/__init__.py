"""The checks that every bundle must pass."""
