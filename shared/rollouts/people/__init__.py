"""What people see of a rollout, and what they are told."""
