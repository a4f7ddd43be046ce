"""Bundles that travel: archives, DICOM in and out, MONAI Deploy."""
