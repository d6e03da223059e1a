"""The dashboard in a browser: textual-serve behind our own page and our own door."""
