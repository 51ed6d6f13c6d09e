"""One module per target of a retraining."""
