"""Rollouts: from a strategy, by gates, to all traffic or back."""
