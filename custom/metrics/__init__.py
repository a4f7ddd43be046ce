"""Measures of image quality and of signals."""
