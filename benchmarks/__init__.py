"""Measurements against peers, side by side. Not tests, and not part of what is installed."""
