"""Demonstration sets: made in seconds, always the same."""
