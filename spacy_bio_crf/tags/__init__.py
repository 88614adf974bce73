"""Tags of labels: tag sets, the schemes of files, and spans."""
