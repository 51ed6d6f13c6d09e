"""How a rollout is to go, as it is written."""
