"""From drift to a model that helps."""
