"""The report: one page that needs nothing else, made to be read, searched and passed on."""

from .page import render_report

__all__ = ["render_report"]
