"""Runs that `start` has started, each followed until it has ended."""
