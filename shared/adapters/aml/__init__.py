"""Azure Machine Learning, its metrics, and what is asked of its data planes."""
