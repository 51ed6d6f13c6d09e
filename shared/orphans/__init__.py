"""Deployments that nothing is sent to: found, reported, deleted."""
