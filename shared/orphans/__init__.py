"""Deployments that nothing is sent to: found, told, deleted."""
