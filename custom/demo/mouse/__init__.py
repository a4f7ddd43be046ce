"""Mouse anatomy, scanned in simulated k-space."""
