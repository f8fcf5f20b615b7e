"""`python -m dpm report`: one or several runs as one HTML page that needs nothing else, or live while they train."""
