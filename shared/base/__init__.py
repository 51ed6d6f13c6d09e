"""The ground: errors, settings, time, names, words, storage and its documents."""
