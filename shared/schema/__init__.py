"""Reading files that people write, so that every mistake is told with its line."""
