"""Images that lie a little off each other."""
