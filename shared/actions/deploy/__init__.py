"""`deploy`: put a registered model on an endpoint, without code."""
