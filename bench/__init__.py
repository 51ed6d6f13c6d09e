"""Figures of the app, each against a floor that is measured, or stated, in the same run."""
