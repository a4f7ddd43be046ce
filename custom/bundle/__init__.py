"""Find, run and verify MONAI Bundles."""
