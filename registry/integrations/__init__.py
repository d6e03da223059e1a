"""Front doors for scripts that log elsewhere today: a Trainer callback, a Lightning logger, and drop-in shims.

Recording never stops a training: what cannot be recorded is told once and passed over.
"""
