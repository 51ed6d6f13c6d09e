"""From a rollout's state and an observation to a decision. Pure."""
