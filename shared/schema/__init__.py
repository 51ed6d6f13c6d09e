"""Reading files that people write: every mistake is reported with its line."""
