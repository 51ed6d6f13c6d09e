"""How files that people write are read, so that every mistake is told with its line."""
