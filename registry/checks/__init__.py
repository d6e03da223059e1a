"""Checks of data sets: declared in TOML, made in one pass over the records, with every violation and its values."""

from registry.checks.declare import CheckSuite, parse_checks
from registry.checks.engine import Outcome, Violation, validate

__all__ = ["CheckSuite", "Outcome", "Violation", "parse_checks", "validate"]
