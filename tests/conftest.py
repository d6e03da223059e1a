"""Every test works in a folder of its own, with no registry above it and no REGISTRY_* in its environment."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from registry.cli.main import main

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # `make test &`: what the tests start must hear Ctrl-C all the same
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in list(os.environ):
        if name.startswith("REGISTRY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    yield tmp_path


class Said:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run `registry …` in this process; `code` is the exit code that must come (None: any)."""

    def run(*words: object, code: int | None = 0) -> Said:
        from registry.cli import output

        output.out.__dict__.pop("console", None)
        output.out.__dict__.pop("errors", None)
        capsys.readouterr()
        got = main([str(word) for word in words])
        said = capsys.readouterr()
        assert code is None or got == code, f"exit code {got}, not {code}:\n{said.out}\n{said.err}"
        assert "Traceback" not in said.err
        return Said(got, said.out, said.err)

    return run


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start a real Python process with a script; it is killed at the end of the test if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
        )
        started.append(process)
        return process

    yield start  # type: ignore[misc]
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
