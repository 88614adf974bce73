"""Pipelines from Hugging Face checkpoints, as checkpoints, and on the hub."""
