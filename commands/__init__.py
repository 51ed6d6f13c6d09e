"""The operator's commands, one module each: `signalbox --help`."""
