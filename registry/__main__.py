"""`python -m registry` is the `registry` command."""

from registry.cli.main import run

if __name__ == "__main__":
    run()
