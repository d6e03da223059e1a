"""Logs that other programs write become runs: discover, group, identify, decode, parse, merge, project.

Parsers are pure; a file's cursor, its parser's state and its points are committed in one transaction.
"""
