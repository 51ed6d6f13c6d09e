"""`retrain`: start a training, where a policy says that drift is a reason to."""
