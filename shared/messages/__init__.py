"""Messages to people: their text, their sending, their repeats."""
