"""Each kind of step in progress: its decisions, and its texts for people."""
