"""reactions.yaml: read, checked and matched; its values made from an event."""
