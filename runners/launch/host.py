"""The other machine as this one sees it: its supervisor's verbs, and files in both directions. Over ssh and rsync."""

import json
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from registry.errors import HoldfastError, NotFoundError, UnreachableError
from registry.remotes.ssh import SshAddress, ssh_command

_BOOTSTRAP = "import sys;exec(compile(sys.stdin.buffer.read(int(sys.argv[1])),'supervisor','exec'))"
SSH_FAILED = 255
NO_PYTHON = (126, 127)


class CutOffError(Exception):
    """The connection ended before the answer did."""


class Host:
    """A machine reached over SSH, for one run: `root` is the registry's folder there, `name` the run's folder."""

    def __init__(self, address: SshAddress, name: str) -> None:
        self._ssh = ssh_command(address)
        self._target = address.target
        self.root, self.name = address.path, name
        self._program = resources.files("runners.launch").joinpath("supervisor.py").read_bytes()

    def ask(self, verb: str, payload: Any = None) -> dict[str, Any]:
        """Return the answer to one verb. Raises CutOffError, UnreachableError, HoldfastError for what it complains."""
        answers = [json.loads(content) for kind, content in self.frames(verb, payload) if kind == "A"]
        if len(answers) != 1:
            raise CutOffError(verb)
        return dict(answers[0])

    def frames(self, verb: str, payload: Any = None) -> Iterator[tuple[str, bytes]]:
        """Yield what a verb sends, block by block. Raises as `ask` does; a torn block is never yielded."""
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        with self._started(verb) as process:
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(self._program + content)
                process.stdin.close()
            except BrokenPipeError:
                pass
            while header := process.stdout.readline():
                kind, _, length = header.decode("ascii", "replace").strip().partition(" ")
                if not length.isdigit():
                    continue
                block = process.stdout.read(int(length))
                if len(block) < int(length):
                    break
                yield kind, block
            assert process.stderr is not None
            said = process.stderr.read().decode("utf-8", "replace").strip()
            self._explain(process.wait(), said)

    @contextmanager
    def _started(self, verb: str) -> Iterator["subprocess.Popen[bytes]"]:
        words = ["exec", "python3", "-c", _BOOTSTRAP, str(len(self._program)), verb, self.root, self.name]
        process = subprocess.Popen(
            [*self._ssh, shlex.join(words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            with process:
                try:
                    yield process
                except BaseException:
                    process.kill()
                    raise
        finally:
            process.poll()

    def _explain(self, code: int, said: str) -> None:
        last = said.splitlines()[-1] if said else ""
        if code == SSH_FAILED:
            raise UnreachableError(f"{self._target} cannot be reached: {last or 'the connection was lost'}")
        if code in NO_PYTHON:
            raise NotFoundError(f"{self._target} has no python3", hint="the supervisor there needs Python 3.8 or newer")
        if code > 0:
            raise HoldfastError(f"{self._target}: {last}")

    def send(self, folder: Path, names: Sequence[str], to: str) -> None:
        """Copy named files of a local folder into a folder there. Raises UnreachableError, HoldfastError."""
        self._rsync([f"{folder}/", f"{self._target}:{to}/"], names)

    def fetch(self, names: Sequence[str], to: Path) -> None:
        """Copy files and folders, named from the root there, to the same names below a local folder."""
        to.mkdir(parents=True, exist_ok=True)
        self._rsync(["-r", "--partial", f"{self._target}:{self.root}/", f"{to}/"], names)

    def _rsync(self, words: Sequence[str], names: Sequence[str]) -> None:
        if not names:
            return
        command = [
            "rsync",
            "-a",
            "--protect-args",
            "--from0",
            "--files-from=-",
            "-e",
            shlex.join(self._ssh[:-2]),
            *words,
        ]
        try:
            done = subprocess.run(
                command,
                input="\0".join(names).encode("utf-8", "surrogateescape"),
                capture_output=True,
                start_new_session=True,
            )
        except OSError as error:
            raise NotFoundError(f"cannot start rsync: {error.strerror}", hint="apt-get install rsync") from None
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()
            kind = UnreachableError if done.returncode in (12, 30, 35, SSH_FAILED) else HoldfastError
            raise kind(f"rsync with {self._target}: {last[0] if last else done.returncode}")
