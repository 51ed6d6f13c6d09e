"""`retrain`: start a training, if a policy says that drift is a reason to."""
