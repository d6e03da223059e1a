"""An SSH host, reached by the system's own `ssh` with the user's configuration, agent and jump hosts.

One connection runs our helper in the host's Python; without one, small shell scripts do the same (`ssh_shell`). An
answer counts only when it is whole. REGISTRY_SSH names another ssh command (`ssh -F file`).
"""

import contextlib
import json
import os
import re
import select
import shlex
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import IO, TYPE_CHECKING, Any, ClassVar

from registry.errors import NotFoundError, UnreachableError, UsageError
from registry.remotes.base import Meter, Put, Reading, Source, Store, Stream
from registry.remotes.disk import digest_blocks
from registry.remotes.folder import AnyDisk, DiskStore

if TYPE_CHECKING:
    from registry.remotes.ssh_shell import ShellDisk

SILENCE_S = 600.0
"""How long a connected host may say nothing while it works (a large fsync, a slow disk)."""
CONNECT_S = 60.0
MOST_NOISE_BYTES = 1 << 20
_OPTIONS = (
    "-T", "-oBatchMode=yes", "-oConnectTimeout=15", "-oConnectionAttempts=2",
    "-oServerAliveInterval=15", "-oServerAliveCountMax=4", "-oClearAllForwardings=yes",
)  # fmt: skip
_MODULES = ("registry.leases", "registry.remotes.disk", "registry.remotes.inventory", "registry.remotes.helper")
_BOOTSTRAP = "import sys,json;exec(json.loads(sys.stdin.buffer.readline()))"
_PROGRAM = """
import sys, types
if sys.version_info < (3, 8):
    sys.exit(93)
for name in ("registry", "registry.remotes"):
    sys.modules[name] = types.ModuleType(name)
for name, text in json.loads(sys.stdin.buffer.readline()):
    module = types.ModuleType(name)
    sys.modules[name] = module
    setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], module)
    exec(compile(text, name, "exec"), module.__dict__)
sys.stdout.buffer.write(b"HOLDFAST " + sys.stdin.buffer.readline())
sys.stdout.buffer.flush()
sys.modules["registry.remotes.helper"].Helper(sys.stdin.buffer, sys.stdout.buffer).serve()
"""
NO_PYTHON = (93, 126, 127)


class NoPythonError(Exception):
    """The host has no Python that could run the helper."""


@dataclass(frozen=True)
class SshAddress:
    """Where an SSH remote is: `[user@]host`, a port, and the folder there (relative to the home folder)."""

    target: str
    port: int | None
    path: str


def parse_address(url: str) -> SshAddress:
    """Return the parts of `ssh://[USER@]HOST[:PORT]/PATH` or `[USER@]HOST:PATH`. Raises UsageError."""
    match = re.fullmatch(r"ssh://([^/:\s]+)(?::(\d+))?/(.+)", url)
    if match:
        path = match[3] if match[3].startswith("~") else f"/{match[3]}"
        return _checked(SshAddress(match[1], int(match[2]) if match[2] else None, path), url)
    target, colon, path = url.partition(":")
    if not colon or not path or "/" in target or url.startswith("ssh://"):
        raise UsageError(f"not an SSH place: {url!r}", hint="write HOST:PATH or ssh://USER@HOST:PORT/PATH")
    return _checked(SshAddress(target, None, path), url)


def _checked(address: SshAddress, url: str) -> SshAddress:
    if address.target.startswith("-") or re.search(r"[\s\0]", address.target):
        raise UsageError(f"not an SSH place: {url!r}", hint="write HOST:PATH or ssh://USER@HOST:PORT/PATH")
    return address


def ssh_command(address: SshAddress) -> list[str]:
    """Return the words that run a command on the host, but for the command."""
    port = [f"-p{address.port}"] if address.port else []
    return [*shlex.split(os.environ.get("REGISTRY_SSH") or "ssh"), *_OPTIONS, *port, address.target, "--"]


class Connection:
    """One helper on the host. Raises UnreachableError when it does not answer, OSError for what it could not do."""

    def __init__(self, address: SshAddress) -> None:
        self._address = address
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        remote = f"exec python3 -c {shlex.quote(_BOOTSTRAP)}"
        try:
            self._process = subprocess.Popen(
                [*ssh_command(address), f"exec sh -c {shlex.quote(remote)}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise NotFoundError(f"cannot start ssh: {error.strerror}", reason_code=23) from None
        self._buffer = bytearray()
        self._greet()

    def _greet(self) -> None:
        nonce = uuid.uuid4().hex
        texts = [(name, resources.files(package).joinpath(f"{module}.py").read_text())
                 for name in _MODULES for package, _, module in [name.rpartition(".")]]  # fmt: skip
        try:
            for line in (json.dumps(_PROGRAM), json.dumps(texts), nonce):
                self._write(line.encode() + b"\n")
            self._skip_noise(f"HOLDFAST {nonce}\n".encode())
            self.ask("root", self._address.path)
        except UnreachableError:
            if self._process.returncode in NO_PYTHON:
                raise NoPythonError from None
            raise
        except BaseException:
            self.close()
            raise

    def _skip_noise(self, greeting: bytes) -> None:
        """Pass over whatever the host's shell prints before the helper speaks."""
        deadline = time.monotonic() + CONNECT_S
        while greeting not in self._buffer:
            if len(self._buffer) > MOST_NOISE_BYTES:
                raise self._lost("its shell prints without end")
            self._fill(max(0.0, deadline - time.monotonic()))
        del self._buffer[: self._buffer.index(greeting) + len(greeting)]

    # bytes in and out

    def _write(self, block: bytes | memoryview) -> None:
        assert self._process.stdin is not None
        view = memoryview(block)
        try:
            while view:
                view = view[self._process.stdin.write(view) or 0 :]
        except (OSError, ValueError):
            raise self._lost("the connection broke") from None

    def _fill(self, timeout_s: float = SILENCE_S) -> None:
        if self._process.stdout is None or self._process.stdout.closed:
            raise self._lost("the connection broke")
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        if not ready:
            raise self._lost(f"it said nothing for {timeout_s:.0f} s")
        block = os.read(self._process.stdout.fileno(), 1 << 18)
        if not block:
            raise self._lost("the connection broke")
        self._buffer += block

    def _line(self) -> dict[str, Any]:
        while (at := self._buffer.find(b"\n")) < 0:
            self._fill()
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._lost(f"it answered {line[:60]!r}") from None
        if "error" in answer:
            raise OSError(answer["errno"], answer["error"], answer.get("path"))
        return dict(answer)

    def _lost(self, why: str) -> UnreachableError:
        """Close a broken connection and return the error for it, with what ssh itself said."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2.0)
        self._process.kill()
        self._process.wait()
        said: list[str] = []
        if not self._errors.closed:
            self._errors.seek(0)
            lines = self._errors.read().decode("utf-8", "replace").splitlines()
            said = [line.strip() for line in lines if line.strip()]
        self.close()
        words = "; ".join(said[-2:]) or why
        hint = "does `ssh` reach it without a password?"
        return UnreachableError(f"{self._address.target}: {words}", hint=hint, reason_code=15)

    # asking

    def send(self, op: str, *args: Any, payload: bytes | memoryview = b"") -> None:
        """Ask for something that is not answered."""
        request = {"op": op, "args": list(args), **({"n_bytes": len(payload)} if payload else {})}
        self._write(json.dumps(request).encode() + b"\n")
        if payload:
            self._write(payload)

    def ask(self, op: str, *args: Any, payload: bytes = b"") -> Any:
        """Ask for something and return the answer."""
        self.send(op, *args, payload=payload)
        return self._line()["ok"]

    def items(self, op: str, *args: Any) -> Iterator[Any]:
        """Ask for a list and yield its items; an answer without its end is none."""
        self.send(op, *args)
        n_items, answer = 0, {}
        try:
            while "end" not in (answer := self._line()):
                n_items += 1
                yield answer["item"]
        except OSError:
            answer = {"end": n_items}
            raise
        finally:
            if "end" not in answer:
                self.close()
        if answer["end"] != n_items:
            raise self._lost(f"{n_items} answers came of {answer['end']}")

    def read(self, key: str) -> "RemoteFile":
        """Ask for a file's bytes."""
        self.send("read", key)
        return RemoteFile(self)

    def take(self, block: memoryview) -> int:
        """Fill a block with the next bytes of the answer; returns how many there were."""
        if not self._buffer:
            self._fill()
        n_bytes = min(len(block), len(self._buffer))
        block[:n_bytes] = self._buffer[:n_bytes]
        del self._buffer[:n_bytes]
        return n_bytes

    def close(self) -> None:
        """End the helper."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()


class RemoteFile:
    """A file that is being sent; `end` is what the host said of it when it was whole."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._n_left = 0
        self.end: dict[str, Any] = {}

    def readinto(self, block: memoryview) -> int:
        """Return the next bytes, 0 when the host said that it was the last."""
        if self.end:
            return 0
        if not self._n_left:
            answer = self._connection._line()
            if "end" in answer:
                self.end = answer
                return 0
            self._n_left = int(answer["item"])
        n_read = self._connection.take(block[: self._n_left])
        self._n_left -= n_read
        return n_read

    def drain(self) -> None:
        """Read what is left, so that the connection can be asked again."""
        scratch = memoryview(bytearray(1 << 16))
        while self.readinto(scratch):
            pass


class RemoteDisk:
    """The methods of `Disk` through a helper."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a method of `Disk` that needs nothing but its answer."""
        if name not in _PLAIN_CALLS:
            raise AttributeError(name)
        return lambda *args: self.connection.ask("call", name, *args)

    def find_all(self, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return sizes and tokens."""
        return {key: (there[0], there[1]) for key, there in self.connection.ask("call", "find_all", list(keys)).items()}

    def digests(self, keys: Sequence[str], tick: Callable[[int], None]) -> Iterator[dict[str, Any]]:
        """Hash files on the host."""
        for found in self.connection.items("digests", list(keys)):
            tick(found.get("size_bytes", 0))
            yield found

    def begin(self, digest: str, resume: bool) -> tuple[str, int, str]:
        """Open a temporary file; a small one without waiting for the answer."""
        if resume:
            name, n_held, held_digest = self.connection.ask("call", "begin", digest, True)
            return str(name), int(n_held), str(held_digest)
        name = f"tmp/{digest}.{uuid.uuid4().hex}"
        self.connection.send("create", name)
        return name, 0, ""

    def write(self, name: str, block: memoryview) -> None:
        """Append to a temporary file, without waiting."""
        self.connection.send("write", name, payload=block)

    def give_up(self, name: str, keep: bool) -> None:
        """Close a temporary file, as far as the host can still be told."""
        with contextlib.suppress(UnreachableError):
            self.connection.send("give_up", name, keep)

    def commit(self, moves: Sequence[tuple[str, str, int]]) -> None:
        """Make temporary files final."""
        self.connection.ask("commit", [list(move) for move in moves])

    def read_small(self, key: str) -> bytes | None:
        """Return a small file."""
        content = self.connection.ask("call", "read_small", key)
        return None if content is None else str(content).encode("latin-1")

    def write_small(self, key: str, content: bytes) -> None:
        """Replace a small file."""
        self.connection.ask("write_small", key, payload=content or b"\n")


_PLAIN_CALLS = {"facts", "identity", "stamp", "keys", "rewind", "move", "remove", "write_sums", "clean"}


class SshStore(DiskStore):
    """A folder on an SSH host. Each thread has a connection of its own; a broken one is made anew for the next ask."""

    kind: ClassVar[str] = "ssh"
    read_level: ClassVar[int] = 3

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = parse_address(url)
        self._local = threading.local()
        self._all: list[Connection] = []
        self._lock = threading.Lock()
        self._has_python: bool | None = None
        self._shell: ShellDisk | None = None

    def connection(self) -> Connection:
        """Return this thread's connection. Raises UnreachableError, NoPythonError."""
        found: Connection | None = getattr(self._local, "connection", None)
        if found is None or found._process.poll() is not None:
            found = Connection(self._address)
            self._local.connection = found
            with self._lock:
                self._all.append(found)
        return found

    def _disk(self) -> AnyDisk:
        if self._has_python is not False:
            try:
                disk = RemoteDisk(self.connection())
                self._has_python = True
                return disk
            except NoPythonError:
                self._has_python = False
        if self._shell is None:
            from registry.remotes.ssh_shell import ShellDisk

            self._shell = ShellDisk(self._address)
        return self._shell

    def put(self, sources: Sequence[Source], meter: Meter) -> list[Put]:
        """Store blobs through the helper; on a host without Python rsync carries them where it is on both ends."""
        disk = self._disk()
        if isinstance(disk, RemoteDisk):
            return super().put(sources, meter)
        from registry.remotes.ssh_rsync import can_carry, put_by_rsync

        assert self._shell is not None
        if not can_carry(self._shell, sources):
            return super().put(sources, meter)
        with self._told():
            return put_by_rsync(self._shell, self._address, sources, meter)

    def _readings_back(self, keys: Sequence[str], meter: Meter) -> Iterator[Reading]:
        """Read files through the connection and hash them here."""
        for key in keys:
            yield self._read_back(key, meter)

    def _read_back(self, key: str, meter: Meter) -> Reading:
        disk = self._disk()
        found = disk.find_all([key])
        if key not in found:
            return Reading(key, "missing")
        try:
            with self.open(key) as stream:

                def readinto(block: memoryview) -> int | None:
                    n_read = stream.readinto(block)
                    meter.advance(n_read or 0)
                    return n_read

                digest, size = digest_blocks(readinto, found[key][0])
                end = getattr(stream, "end", {})
        except OSError as error:
            return Reading(key, "unreadable", error=error.strerror or str(error))
        after = self._disk().find_all([key]).get(key, (0, ""))[1]
        return Reading(key, "read", digest, size, end.get("before", found[key][1]), end.get("after", after),
                       bool(end.get("cold")))  # fmt: skip

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator[Stream]:
        """Open a file for reading."""
        disk = self._disk()
        if key not in disk.find_all([key]):
            raise NotFoundError(f"{self.url} does not hold {key}", reason_code=14)
        if not isinstance(disk, RemoteDisk):
            with disk.open(key) as stream:  # type: ignore[attr-defined]
                yield stream
            return
        file = disk.connection.read(key)
        try:
            yield file
        except BaseException:
            disk.connection.close()
            raise
        file.drain()

    def nowhere(self) -> Store:
        """Return a host that does not exist."""
        return SshStore("ssh://holdfast-nowhere.invalid/nowhere")

    def close(self) -> None:
        """End every connection."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()
        if self._shell is not None:
            self._shell.close()
