"""Rigid motion during a scan: trajectories, k-space, severity."""
