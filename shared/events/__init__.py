"""What arrives: one frozen type per kind of event, and what reads it."""
