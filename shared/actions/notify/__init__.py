"""`notify`: send a message about an event to a channel."""
