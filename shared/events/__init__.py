"""Events that arrive: one frozen type per kind, and the modules that read them."""
