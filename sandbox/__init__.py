"""The cloud on one machine: what cannot be had locally is stood in for, the rest is real."""
