"""Training: optimizer steps of torch networks, and logs."""
