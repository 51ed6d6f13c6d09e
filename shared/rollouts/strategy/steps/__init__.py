"""Each kind of step as it is written: its value, its place among others, its words."""
