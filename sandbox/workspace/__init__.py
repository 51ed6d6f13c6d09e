"""An emulator of the Azure Machine Learning control plane and of its scoring data plane."""
