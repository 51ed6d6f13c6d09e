"""The records of an event: claims, outcomes, dead letters."""
