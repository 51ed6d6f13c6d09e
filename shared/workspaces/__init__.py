"""Azure Machine Learning as the app sees it: endpoints, models, runs, metrics."""
