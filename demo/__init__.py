"""The app in the sandbox: what `make demo` plays."""
