"""The methods of `Disk` on an SSH host that has no Python: POSIX shell, coreutils, and openssl or sha256sum.

Each method is one short script. Every script ends in a line `END`, and without it there was no answer.
"""

import base64
import contextlib
import json
import shlex
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from registry.errors import UnreachableError
from registry.remotes.base import Stream
from registry.remotes.disk import MARKER_NAME, SUMS_NAME
from registry.remotes.ssh import SshAddress, ssh_command

_TIMEOUT_S = 3600.0
_TOKEN = "stat -c '%i:%s:%y:%z'"
_HASH = (
    "hash() { if command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r; else sha256sum; fi | cut -c1-64; }"
)
_MEMORY = ("tmpfs", "ramfs")
_NETWORK = ("nfs", "cifs", "smb", "fuseblk", "fuse", "9p", "ceph", "lustre")


class ShellDisk:
    """One folder on the host; a connection for each question."""

    def __init__(self, address: SshAddress) -> None:
        self._address = address
        root = address.path
        home = root == "~" or root.startswith("~/")
        self._root = f'"$HOME"/{shlex.quote(root[2:] or ".")}' if home else shlex.quote(root)
        self._open: dict[str, subprocess.Popen[bytes] | None] = {}
        self._sockets = tempfile.TemporaryDirectory(prefix="hf-")

    def _start(self, script: str) -> "subprocess.Popen[bytes]":
        """Start a script on the host; all of them share one connection."""
        shared = ["-oControlMaster=auto", f"-oControlPath={self._sockets.name}/%C", "-oControlPersist=20"]
        *words, target, end = ssh_command(self._address)
        return subprocess.Popen(
            [*words, *shared, target, end, f"exec sh -c {shlex.quote(script)}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def close(self) -> None:
        """End the shared connection."""
        *words, target, _ = ssh_command(self._address)
        stop = [*words, f"-oControlPath={self._sockets.name}/%C", "-Oexit", target]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(stop, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10)
        self._sockets.cleanup()

    def _run(self, script: str, lines: Sequence[str] = (), *, content: bytes = b"", go: bool = True) -> list[str]:
        """Run a script in the place's folder and return its lines but the last, which must be END.

        It reads `lines`, or `content`, from its standard input.
        """
        enter = f"cd {self._root} || exit 66; " if go else ""
        process = self._start(f"{_HASH}; {enter}{script}; echo END")
        given = content or "".join(f"{line}\n" for line in lines).encode()
        try:
            said, errors = process.communicate(given, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise UnreachableError(f"{self._address.target} does not answer", reason_code=15) from None
        found = said.decode("utf-8", "surrogateescape").splitlines()
        if process.returncode or not found or found[-1] != "END":
            raise self._failed(process.returncode, errors)
        return [line[2:] for line in found[:-1] if line.startswith("= ")]

    def _failed(self, code: int, errors: bytes) -> Exception:
        words = errors.decode("utf-8", "replace").strip().splitlines()
        last = words[-1] if words else f"exit code {code}"
        if "No space left" in last or "quota exceeded" in last:
            return OSError(28, last)
        if code == 17:
            return FileExistsError(17, "exists")
        return UnreachableError(f"{self._address.target}: {last}", reason_code=15)

    # identity

    def facts(self) -> dict[str, Any]:
        """Return which machine and disk it is."""
        root = f'd={self._root}; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; cd "$d"; '
        script = root + (
            "echo = $(hostname); echo = $(cat /proc/sys/kernel/random/boot_id 2>/dev/null);"
            " echo = $(stat -f -c '%i' .); echo = $(stat -f -c '%T' .); echo = $(df -Pk . | awk 'END {print $4}');"
            ' echo "= $PWD"'
        )
        host, boot, fsid, kind, free, path = (self._run(script, go=False) + [""] * 6)[:6]
        words = fsid.rjust(16, "0")
        medium = "memory" if kind in _MEMORY else "network" if kind.startswith(_NETWORK) else "disk"
        swapped = (words[8:] + words[:8]).lstrip("0")  # stat(1) prints the halves the other way round than statvfs
        return {
            "host": host,
            "boot_id": boot,
            "filesystem": f"fsid:{swapped}" if swapped else "",
            "medium": medium,
            "free_bytes": int(free) * 1024 if free.isdigit() else None,
            "path": path,
        }

    def identity(self) -> dict[str, Any] | None:
        """Return the marker."""
        script = (
            f"f={self._root}/{MARKER_NAME}; if [ -e \"$f\" ]; then printf '= '; tr -d '\\n' < \"$f\" || exit 1; echo;"
            f" elif [ -d {self._root} ] && ! ls {self._root} >/dev/null; then exit 1; fi"
        )
        lines = self._run(script, go=False)
        if not lines:
            return None
        try:
            return dict(json.loads(lines[0]))
        except ValueError:
            raise UnreachableError(f"{self._address.target}: its marker cannot be read", reason_code=15) from None

    def stamp(self, marker: dict[str, Any]) -> None:
        """Write the marker of a new place."""
        script = (
            f"mkdir -p {self._root} && cd {self._root} || exit 1; set -C; IFS= read -r line;"
            f" printf '%s\\n' \"$line\" > {MARKER_NAME} || exit 17; sync {MARKER_NAME} . 2>/dev/null || sync"
        )
        self._run(script, [json.dumps(marker)], go=False)

    # looking

    def find_all(self, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return sizes and tokens."""
        script = (
            'while IFS= read -r k; do if [ -f "$k" ] && [ ! -L "$k" ]; then'
            f' t=$({_TOKEN} "$k" | tr " " "_") || exit 1; echo "= $(stat -c %s "$k") $t $k"; fi; done'
        )
        lines = [line.split(" ", 2) for line in self._run(script, keys)]
        return {key: (int(size), token) for size, token, key in lines}

    def keys(self, prefix: str) -> list[str]:
        """Return the files below a folder."""
        script = f"if [ -d {shlex.quote(prefix)} ]; then find {shlex.quote(prefix)} -type f | sed 's/^/= /'; fi"
        return sorted(self._run(script))

    def digests(self, keys: Sequence[str], tick: Callable[[int], None]) -> Iterator[dict[str, Any]]:
        """Hash files on the host, having told its cache to forget them."""
        script = (
            'while IFS= read -r k; do if [ ! -e "$k" ]; then echo "= missing $k"; continue; fi;'
            f' b=$({_TOKEN} "$k" | tr " " "_"); c=0; dd if="$k" iflag=nocache count=0 2>/dev/null && c=1;'
            ' d=$(hash < "$k"); s=$(wc -c < "$k" | tr -d " ");'
            f' a=$({_TOKEN} "$k" | tr " " "_"); echo "= read $d $s $b $a $c $k"; done'
        )
        lines = self._run(script, keys)
        if len(lines) != len(keys):
            raise UnreachableError(f"{self._address.target}: {len(lines)} answers of {len(keys)}", reason_code=15)
        for line in lines:
            found, _, rest = line.partition(" ")
            if found == "missing":
                yield {"key": rest, "found": "missing"}
                continue
            digest, size, before, after, cold, key = rest.split(" ", 5)
            if len(digest) != 64:
                yield {"key": key, "found": "unreadable", "error": "it could not be hashed"}
                continue
            tick(int(size))
            yield {
                "key": key, "found": "read", "digest": digest, "size_bytes": int(size), "before": before,
                "after": after, "cold": cold == "1",
            }  # fmt: skip

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator[Stream]:
        """Open a file for reading; its end is believed only when the host said that all was sent."""
        process = self._start(f"cd {self._root} && exec cat {shlex.quote(key)}")
        assert process.stdout is not None and process.stdin is not None
        process.stdin.close()
        try:
            yield process.stdout  # type: ignore[misc]
            if process.wait(timeout=60.0):
                raise UnreachableError(f"{self._address.target}: sending {key} broke off", reason_code=15)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            if process.stderr is not None:
                process.stderr.close()

    # what rsync needs

    def has(self, program: str) -> bool:
        """Return whether the host has a program."""
        return bool(self._run(f"if command -v {shlex.quote(program)} >/dev/null; then echo '= yes'; fi"))

    def make_folder(self, key: str) -> None:
        """Make a folder below the place."""
        self._run(f"mkdir -p {shlex.quote(key)} || exit 1")

    def absolute(self, key: str) -> str:
        """Return the absolute path of a key on the host."""
        (folder,) = self._run('echo "= $PWD"')
        return f"{folder}/{key}"

    # writing

    def begin(self, digest: str, resume: bool) -> tuple[str, int, str]:
        """Open a temporary file, taking up what an earlier transfer of the same blob left."""
        held = [key for key in self.keys("tmp") if key.startswith(f"tmp/{digest}")] if resume else []
        name = held[0] if held else f"tmp/{digest}.{uuid.uuid4().hex}"
        found: dict[str, Any] = {"size_bytes": 0, "digest": ""}
        if held:
            found = next(self.digests([name], lambda n_bytes: None))
        self._append_to(name)
        return name, int(found["size_bytes"]), str(found["digest"])

    def _append_to(self, name: str, *, fresh: bool = False) -> None:
        for other in list(self._open):
            self._finish(other)
        arrow = ">" if fresh else ">>"
        self._open[name] = self._start(f"cd {self._root} && mkdir -p tmp && exec cat {arrow} {shlex.quote(name)}")

    def write(self, name: str, block: memoryview) -> None:
        """Append to a temporary file."""
        process = self._open[name]
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(block)
        except OSError:
            _, errors = process.communicate()
            self._open[name] = None
            raise self._failed(process.returncode, errors) from None

    def rewind(self, name: str) -> None:
        """Empty a temporary file."""
        self._append_to(name, fresh=True)

    def _finish(self, name: str) -> None:
        """See that everything sent to a temporary file was written."""
        process, self._open[name] = self._open[name], None
        if process is not None:
            _, errors = process.communicate(timeout=_TIMEOUT_S)
            if process.returncode:
                raise self._failed(process.returncode, errors)

    def give_up(self, name: str, keep: bool) -> None:
        """Close a temporary file."""
        if name not in self._open:
            return
        with contextlib.suppress(UnreachableError, OSError):
            self._finish(name)
        del self._open[name]
        if not keep:
            with contextlib.suppress(UnreachableError, OSError):
                self.remove(name)

    def commit(self, moves: Sequence[tuple[str, str, int]]) -> None:
        """Put temporary files on the disk, rename them, put the names on the disk."""
        for name, _, _ in moves:
            self._finish(name)
        self.commit_names(moves)
        for name, _, _ in moves:
            del self._open[name]

    def commit_names(self, moves: Sequence[tuple[str, str, int]]) -> None:
        """Put files that are all written on the disk, rename them, put the names on the disk."""
        if not moves:
            return
        script = (
            'list=$(cat); printf "%s\\n" "$list" | while read -r n k s; do [ "$(wc -c < "$n" | tr -d " ")" = "$s" ] ||'
            ' { echo "$n is short" >&2; exit 5; }; sync "$n" 2>/dev/null || sync || exit 5; done || exit 5;'
            ' printf "%s\\n" "$list" | while read -r n k s; do d=$(dirname "$k"); mkdir -p "$d" && mv -f "$n" "$k" &&'
            ' { sync "$d" "$(dirname "$d")" 2>/dev/null || sync; } || exit 5; done || exit 5'
        )
        self._run(script, [f"{name} {key} {size}" for name, key, size in moves])

    def move(self, key: str, target: str) -> None:
        """Rename a file, never over another."""
        source, goal = shlex.quote(key), shlex.quote(target)
        script = (
            f'd=$(dirname {goal}); mkdir -p "$d"; [ ! -e {goal} ] || exit 17; ln {source} {goal} || exit 17;'
            f' rm {source} && {{ sync "$d" 2>/dev/null || sync; }}'
        )
        self._run(script)

    def remove(self, key: str) -> None:
        """Remove a file."""
        self._run(f"rm -f {shlex.quote(key)} || exit 1")

    def read_small(self, key: str) -> bytes | None:
        """Return a small file."""
        lines = self._run(
            f"if [ -f {shlex.quote(key)} ]; then echo '= '$(base64 < {shlex.quote(key)} | tr -d '\\n'); fi"
        )
        return base64.b64decode(lines[0]) if lines else None

    def write_small(self, key: str, content: bytes) -> None:
        """Replace a small file, whole or not at all."""
        name = f"tmp/{uuid.uuid4().hex}"
        script = (
            f"mkdir -p tmp $(dirname {shlex.quote(key)}); cat > {name} && mv -f {name} {shlex.quote(key)} || exit 1;"
            " sync . 2>/dev/null || sync"
        )
        self._run(script, content=content)

    def write_sums(self) -> int:
        """Write SHA256SUMS."""
        keys = self.keys("blobs")
        self.write_small(SUMS_NAME, "".join(f"{key.rsplit('/', 1)[1]}  {key}\n" for key in keys).encode())
        return len(keys)

    def clean(self) -> int:
        """Remove old temporary files."""
        removed = self._run(
            'find tmp -type f -mtime +7 2>/dev/null | while IFS= read -r f; do rm -f "$f"; echo "= $f"; done'
        )
        return len(removed)
