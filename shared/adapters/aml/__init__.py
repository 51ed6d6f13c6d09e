"""Azure Machine Learning over the wire: ARM, its data planes, Azure Monitor's metrics."""
