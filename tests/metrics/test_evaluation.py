"""Figures of the evaluation against their definitions, seqeval and nervaluate."""
