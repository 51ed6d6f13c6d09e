"""From drift to a model that helps: policy, targets, loops."""
