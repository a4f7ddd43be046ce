"""One self-contained HTML page for an evaluation, a training or a search."""
