"""Figures and tables of each bundle's paper, beyond an evaluation."""
