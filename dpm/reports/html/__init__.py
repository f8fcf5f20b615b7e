"""`python -m dpm report`: one or several runs as a self-contained HTML page, or served live while they train."""
