"""The paper's tables and figures made again, as far as this machine can train: `python -m dpm reproduce`."""
