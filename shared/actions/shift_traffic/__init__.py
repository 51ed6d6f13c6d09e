"""`shift_traffic`: move an endpoint's traffic between deployments that are there."""
