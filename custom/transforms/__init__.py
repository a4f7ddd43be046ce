"""MONAI transforms."""
