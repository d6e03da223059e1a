"""The `registry` command: one file per group of verbs; stdout only through `output`, exit codes only in `main`."""
