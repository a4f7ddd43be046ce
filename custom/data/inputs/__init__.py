"""Inputs and outputs of a restoration: selection, checks, loading, writing, provenance."""
