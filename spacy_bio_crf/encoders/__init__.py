"""Encoders: layers that turn Docs into vectors of their sub-words."""
