"""The strategy of a rollout: steps and gates, as they are written."""
