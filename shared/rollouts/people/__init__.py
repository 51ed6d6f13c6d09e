"""The view of a rollout for people: progress, forecast, messages."""
