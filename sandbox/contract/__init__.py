"""The published contract of Azure Machine Learning, which every exchange is held to."""
