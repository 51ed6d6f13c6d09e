"""One event from its trigger to its outcome, and the sweep."""
