"""Motion artefacts for training and evaluation."""
