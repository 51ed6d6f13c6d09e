"""`register`: make a model version of a run's output."""
