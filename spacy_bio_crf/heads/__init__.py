"""Heads: from vectors to a lattice, and from a lattice to a loss or to entities."""
