"""What everything stands on: errors, settings, time, names, words, ports to storage."""
