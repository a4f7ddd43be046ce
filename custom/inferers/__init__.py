"""Application of a network to a whole image."""
