"""Signalbox: reactions to Azure Machine Learning workspace events, on Azure Functions."""
