"""Brightness and contrast of brains."""
