"""Thin Faust agents. Imported by name: autodiscovery skips a module that fails to import, with exit code 0."""

from agents import catalog, conversions

__all__ = ["catalog", "conversions"]
