"""The dashboard: what a person sees of the registry. It reads the record and asks it to act; it knows no SQL."""
