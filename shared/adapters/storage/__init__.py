"""The app's storage account."""
