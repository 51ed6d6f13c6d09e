"""The operator's commands, one module each: `python manage.py --help`."""
