"""reactions.yaml: read, checked, matched, its values made from an event."""
