"""What is written down of an event: claims, outcomes, records, dead letters."""
