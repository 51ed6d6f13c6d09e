"""The state of a rollout: its row, its phase, its splits."""
