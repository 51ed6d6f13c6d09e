"""`shift_traffic`: move an endpoint's traffic between existing deployments."""
