"""Find, describe and pair the scans of a folder."""
