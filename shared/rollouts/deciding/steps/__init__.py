"""Each kind of step as it is done: what it decides, and what people read of it."""
