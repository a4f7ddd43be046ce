"""Trainers, and how they prepare a batch, on the engines of MONAI."""
