"""One module per trigger: each takes the binding and calls one function of shared."""
