"""Gold annotation: the tags that training and presets allow."""
