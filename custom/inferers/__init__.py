"""How a network is applied to an image."""
