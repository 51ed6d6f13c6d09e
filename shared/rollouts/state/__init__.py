"""What a rollout is, and where it stands."""
