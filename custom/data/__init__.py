"""Datasets, their preparation, and the inputs and outputs of a restoration."""
