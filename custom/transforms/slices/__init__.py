"""Stacks of slices for networks that see some at a time."""
