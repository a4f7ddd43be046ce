"""Parts for MRI restoration that MONAI does not have; the bundles wire them together."""

__version__ = "0.1.0"
