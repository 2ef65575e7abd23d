"""Tests that a model inherits, worlds to test with, and hypothesis strategies (those in ``worlds`` need hypothesis)."""

from crossrec.testing.conformance import ModelTests

__all__ = ["ModelTests"]
