"""`register`: make a model version of what a run has made."""
