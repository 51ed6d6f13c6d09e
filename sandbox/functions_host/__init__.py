"""A small Azure Functions host around the real Python worker library."""
