"""The ports in memory, for tests, benchmarks and rehearsals. Never deployed."""
