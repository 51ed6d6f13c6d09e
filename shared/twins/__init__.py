"""The ports in memory, for tests and benchmarks. Never deployed."""
