"""Components, the only room that writes to Docs."""
