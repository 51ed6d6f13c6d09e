"""One tick of a rollout: observe, decide, apply, save, tell."""
