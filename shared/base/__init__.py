"""The ground: errors, settings, time, names, words, and the ports to storage."""
