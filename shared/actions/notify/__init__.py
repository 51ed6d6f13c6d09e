"""`notify`: tell a channel something about an event."""
