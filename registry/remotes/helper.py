"""The far end of an SSH remote: does to a disk there what the near end asks, over stdin and stdout.

Standard library only: this text and those of `disk` and `inventory` are sent to the host's own Python on each
connection, so nothing has to be installed there. A request is a JSON line, perhaps followed by bytes; an answer is
one or more JSON lines, the last of which has `ok`, `error` or `end`: an answer that stops before that is no answer.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any, BinaryIO

from registry.remotes import inventory
from registry.remotes.disk import BLOCK_BYTES, MEASURED_FILESYSTEMS, Disk, DiskReads, mount_of, stat_token

BATCHED = 64


class Helper:
    """Serves one connection."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests = requests
        self._answers = answers
        self._disk = Disk(".")
        self._failed: dict[str, OSError] = {}

    def serve(self) -> None:
        """Answer requests until there are no more."""
        while True:
            line = self._requests.readline()
            if not line:
                return
            request = json.loads(line)
            payload = self._requests.read(request["n_bytes"]) if request.get("n_bytes") else b""
            try:
                getattr(self, "do_" + request["op"])(*request["args"], **({"payload": payload} if payload else {}))
            except OSError as error:
                self._say({"error": error.strerror or str(error), "errno": error.errno or 5, "path": error.filename})
            except (ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
                self._say({"error": str(error), "errno": 22, "path": None})

    def _say(self, answer: dict[str, Any], *, flush: bool = True) -> None:
        self._answers.write(json.dumps(answer).encode() + b"\n")
        if flush:
            self._answers.flush()

    # what is asked

    def do_root(self, root: str) -> None:
        """Work below this folder from now on."""
        self._disk = Disk(root)
        self._say({"ok": self._disk.root})

    def do_call(self, name: str, *args: Any) -> None:
        """Call a method of `Disk` and return what it returns."""
        result = getattr(self._disk, name)(*args)
        self._say({"ok": result.decode("latin-1") if isinstance(result, bytes) else result})

    def do_create(self, name: str) -> None:
        """Open a fresh temporary file of this name; not answered, what goes wrong is told at `commit`."""
        try:
            self._disk.create(name)
        except OSError as error:
            self._failed[name] = error

    def do_write(self, name: str, payload: bytes = b"") -> None:
        """Append to a temporary file; not answered, what goes wrong is told at `commit`."""
        if name not in self._failed:
            try:
                self._disk.write(name, memoryview(payload))
            except OSError as error:
                self._failed[name] = error

    def do_give_up(self, name: str, keep: bool) -> None:
        """Close a temporary file; not answered."""
        self._failed.pop(name, None)
        self._disk.give_up(name, keep)

    def do_commit(self, moves: list[list[Any]]) -> None:
        """Make temporary files final, all or none."""
        for name, _, _ in moves:
            if name in self._failed:
                raise self._failed.pop(name)
        self._disk.commit([(name, key, size) for name, key, size in moves])
        self._say({"ok": None})

    def do_write_small(self, key: str, payload: bytes = b"") -> None:
        """Replace a small file."""
        self._disk.write_small(key, payload)
        self._say({"ok": None})

    def do_digests(self, keys: list[str]) -> None:
        """Hash files past the page cache, and say what each holds."""
        n_said = 0
        for found in self._disk.digests(keys, lambda n_bytes: None):
            n_said += 1
            self._say({"item": found}, flush=n_said % BATCHED == 0)
        self._say({"end": n_said})

    def do_read(self, key: str) -> None:
        """Send a file past the page cache, in pieces, and say at the end what its stat was before and after."""
        descriptor = self._disk.open_read(key)
        reads = DiskReads()
        try:
            before = os.fstat(descriptor)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            n_before = reads()
            size = 0
            while True:
                block = os.read(descriptor, BLOCK_BYTES)
                if not block:
                    break
                self._say({"item": len(block)}, flush=False)
                self._answers.write(block)
                size += len(block)
            n_after = reads()
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
            reads.close()
        measured = mount_of(self._disk.root)[0] in MEASURED_FILESYSTEMS
        cold = not measured or n_before is None or n_after is None or n_after - n_before >= size
        tokens = {"before": stat_token(before), "after": stat_token(after)}
        self._say({"end": size, "cold": cold, **tokens})

    def do_list_files(self, root: str, since: float | None, skip: list[str]) -> None:
        """List the files below any folder of the host."""
        files = inventory.list_files(os.path.expanduser(root), since, skip)
        for file in files:
            self._say({"item": file}, flush=False)
        self._say({"end": len(files)})

    def do_digest_files(self, paths: list[str]) -> None:
        """Hash any files of the host."""
        n_said = 0
        for found in inventory.digest_files([os.path.expanduser(path) for path in paths]):
            n_said += 1
            self._say({"item": found}, flush=False)
        self._say({"end": n_said})

    def do_output_of(self, arguments: list[str]) -> None:
        """Run a program that only reads, and return what it prints; None when it fails."""
        done = subprocess.run(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=30
        )
        self._say({"ok": done.stdout.decode("latin-1") if done.returncode == 0 else None})
