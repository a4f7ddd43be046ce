"""What a restoration takes and gives: selection, checks, loading, writing, provenance."""
