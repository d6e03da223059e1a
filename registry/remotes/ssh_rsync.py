"""rsync as the carrier to a host that has no Python: many small files in one stream, and large ones resumed.

It carries and proves nothing: what arrived is hashed on the host before it gets its name, whatever rsync's exit code
said.
"""

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from registry import clock
from registry.errors import CheckFailedError, HoldfastError, UnreachableError
from registry.remotes.base import Meter, NoSpaceError, Put, Source, blob_key
from registry.remotes.folder import other_bytes
from registry.remotes.ssh import SshAddress, ssh_command
from registry.remotes.ssh_shell import ShellDisk

FOLDER = "tmp/rsync"
_PARTIAL = (23, 24)


def can_carry(disk: ShellDisk, sources: Sequence[Source]) -> bool:
    """Return whether rsync is on both ends and every source is a file."""
    if shutil.which("rsync") is None or not all(source.path for source in sources):
        return False
    return disk.has("rsync")


def put_by_rsync(disk: ShellDisk, address: SshAddress, sources: Sequence[Source], meter: Meter) -> list[Put]:
    """Carry files to temporary names, hash them there, and give those that are right their own."""
    started_at = clock.now()
    carried = _carry(address, disk, sources, meter)
    found = {
        reading["key"]: reading for reading in disk.digests([_temporary(source) for source in sources], lambda n: None)
    }
    right = [source for source in sources if found[_temporary(source)].get("digest") == source.digest]
    disk.commit_names([(_temporary(source), blob_key(source.digest), source.size_bytes) for source in right])
    errors = {
        source.digest: _error(source, found[_temporary(source)], carried) for source in sources if source not in right
    }
    for source in sources:
        if source not in right and found[_temporary(source)]["found"] == "read":
            disk.remove(_temporary(source))
    ended_at = clock.now()
    return [Put(s.digest, started_at, ended_at, errors.get(s.digest), s.size_bytes) for s in sources]


def _temporary(source: Source) -> str:
    return f"{FOLDER}/{source.digest}"


def _error(source: Source, found: dict[str, object], carried: str) -> HoldfastError:
    if found["found"] == "read" and not carried:
        return other_bytes(source)
    words = carried or "rsync said that it was sent, and it is not there"
    return CheckFailedError(f"{source.where}: {words}", reason_code=18 if carried else 14)


def _carry(address: SshAddress, disk: ShellDisk, sources: Sequence[Source], meter: Meter) -> str:
    """Run rsync over links named by digest; returns what it complained of, "" for nothing."""
    disk.make_folder(FOLDER)
    *shell, target, _ = ssh_command(address)
    with tempfile.TemporaryDirectory(prefix="hf-rsync-") as folder:
        for source in sources:
            assert source.path is not None
            Path(folder, source.digest).symlink_to(source.path.absolute())
        limit = [f"--bwlimit={max(1, int(meter.rate_bytes_s) // 1024)}"] if meter.rate_bytes_s else []
        done = subprocess.run(
            ["rsync", "--copy-links", "--recursive", "--inplace", "--partial", "--ignore-times", *limit,
             "-e", shlex.join(shell), f"{folder}/", f"{target}:{disk.absolute(FOLDER)}/"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    for source in sources:
        meter.advance(source.size_bytes)
    if done.returncode == 0:
        return ""
    words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if "No space left" in done.stderr:
        raise NoSpaceError(f"no space left on {address.target}", reason_code=22)
    if done.returncode in _PARTIAL:
        return f"rsync sent only part: {words}"
    raise UnreachableError(f"{address.target}: rsync: {words}", reason_code=15)
