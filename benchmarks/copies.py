"""What proof costs: 1 GiB and 5,000 small files to a folder and over SSH on loopback, every byte written, put on the
disk, read back cold and recorded, beside what cp, rsync and rclone take to move them (they prove nothing).

The floor of a proven copy is writing, fsync, and a cold read: it is measured in the same run. Peers that are not
installed are left out. A busy machine makes us slower than what does not hash: `chrt -r 30` before the command gives
this run the processors.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import Row, arguments, folder, report, wall_and_cpu
from sqlalchemy import insert

import registry
from registry import clock
from registry.copies import where_run
from registry.copies.alerts import custody_alerts
from registry.copies.record import load_artifacts
from registry.copies.remotes import add_remote
from registry.copies.transfer import copy_artifacts
from registry.database import Database, open_database
from registry.hashing import digest_file
from registry.remotes import open_store
from registry.remotes.base import Meter
from registry.remotes.disk import Disk
from registry.tables import Artifact, Copy, Experiment, Remote, RunRow


def seconds(work: Callable[[], object]) -> float:
    """Return the wall seconds of one call, begun with nothing left to be written."""
    os.sync()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def least(reps: int, prepare: Callable[[], object], work: Callable[[], object]) -> float:
    """Return the least of several timings: what the work costs when nothing else is in its way."""
    timings = []
    for _ in range(reps):
        prepare()
        timings.append(seconds(work))
    return min(timings)


def cleared(path: Path) -> Callable[[], None]:
    """Return what empties a folder before a repetition."""

    def clear() -> None:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()

    return clear


def run(*words: object, **environment: str) -> Callable[[], object]:
    return lambda: subprocess.run(
        [str(word) for word in words], check=True, capture_output=True, env={**os.environ, **environment}
    )


# --- floors


def write_and_sync(source: Path, target: Path) -> None:
    """Write a file's bytes and put them on the disk: no hash, no rename, no record."""
    with open(source, "rb", buffering=0) as reading, open(target, "wb", buffering=0) as writing:
        block = memoryview(bytearray(4 << 20))
        while n_read := reading.readinto(block):
            writing.write(block[:n_read])
        os.fsync(writing.fileno())


def read_cold(path: Path) -> None:
    """Read a file's bytes from the disk: no hash."""
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        block = memoryview(bytearray(4 << 20))
        while file.readinto(block):
            pass


def each_synced_and_read(sources: Path, target: Path) -> None:
    """Copy small files the careful way, one at a time: write, fsync, rename, fsync of the folder, read back."""
    for path in sorted(sources.iterdir()):
        content = path.read_bytes()
        temporary, final = target / f"{path.name}.tmp", target / path.name
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        descriptor = os.open(target, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        read_cold(final)


# --- what is copied


def record(big_bytes: int, n_small: int) -> tuple[str, str]:
    """Record a run with one large file and one with many small ones; returns their ids."""
    with open("big.bin", "wb") as file:
        for _ in range(big_bytes >> 22):
            file.write(os.urandom(1 << 22))
    Path("small").mkdir()
    for number in range(n_small):
        Path("small", f"{number:05d}").write_bytes(os.urandom(4096))
    ids = []
    for name in ("big.bin", "small"):
        with registry.init(experiment="bench", name=name) as made:
            made.log_artifact(name)
        ids.append(made.id)
    return ids[0], ids[1]


def copier(db: Database, run_id: str, remote: str) -> Callable[[], None]:
    """Return one whole `copy` of a run to a remote, as the command does it."""

    def copy() -> None:
        with db.read() as session:
            artifacts = load_artifacts(session, run_ids=[run_id])
        result = copy_artifacts(db, artifacts, remote)
        assert result.ok and result.n_put == result.n_files, "it was not copied and proven whole"

    return copy


def fresh_remote(db: Database, kind: str, address: str, place: Path) -> Callable[[], str]:
    """Return what makes an empty remote of a kind and returns its name."""
    numbers = iter(range(1000))

    def make() -> str:
        shutil.rmtree(place, ignore_errors=True)
        name = f"{kind}{next(numbers)}"
        add_remote(db, name, address, domain=name, klass="durable")
        return name

    return make


def proven(reps: int, db: Database, run_id: str, kind: str, address: str, place: Path) -> float:
    """Return the least wall seconds of a whole proven copy to a fresh place."""
    make, timings = fresh_remote(db, kind, address, place), []
    for _ in range(reps):
        name = make()
        timings.append(seconds(copier(db, run_id, name)))
        from registry.copies.remotes import remove_remote

        remove_remote(db, name, forget=True)
    return min(timings)


# --- the measurements


def folder_rows(reps: int, db: Database, big: str, small: str, n_small: int) -> list[Row]:
    there = Path("there")
    clear = cleared(there)
    size = Path("big.bin").stat().st_size
    floor = least(reps, clear, lambda: (write_and_sync(Path("big.bin"), there / "x"), read_cold(there / "x")))
    ours = proven(reps, db, big, "folder", "place", Path("place"))
    rows = [Row(f"folder, {size >> 20} MiB, proven", ours, "s", "<= 1.2 x", "write + fsync + cold read", floor)]
    rows += [Row(f"folder, {size >> 20} MiB, proven", ours, "s", "", peer, least(reps, clear, work))
             for peer, work in movers("big.bin", there)]  # fmt: skip
    careful = seconds(lambda: (clear(), each_synced_and_read(Path("small"), there)))
    ours = proven(reps, db, small, "files", "place", Path("place"))
    what = f"folder, {n_small:,} x 4 KiB, proven"
    rows.append(Row(what, ours, "s", "<= 1/3 x", "each file: fsync and read back", careful))
    synced = {"write all, 2 x syncfs, cold read": least(reps, clear, lambda: batched(Path("small"), there))}
    if shutil.which("rsync"):
        synced["rsync --fsync"] = least(reps, clear, run("rsync", "-a", "--fsync", "small/", "there/"))
    best = min(synced, key=lambda name: synced[name])
    rows.append(Row(what, ours, "s", "<= 1.5 x", f"best that syncs: {best}", synced[best]))
    rows += [Row(what, ours, "s", "", peer, least(reps, clear, work)) for peer, work in movers("small", there)]
    return rows


def batched(sources: Path, target: Path) -> None:
    """Copy small files the quick way that still syncs: write all, syncfs, rename all, syncfs, read all back cold."""
    names = sorted(path.name for path in sources.iterdir())
    for name in names:
        (target / f"{name}.tmp").write_bytes((sources / name).read_bytes())
    syncfs(target)
    for name in names:
        (target / f"{name}.tmp").rename(target / name)
    syncfs(target)
    for name in names:
        read_cold(target / name)


def syncfs(folder: Path) -> None:
    """Put everything of a file system on its disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    ctypes.CDLL(None).syncfs(descriptor)
    os.close(descriptor)


def movers(what: str, there: Path) -> list[tuple[str, Callable[[], object]]]:
    """Return the peers that only move bytes to a folder."""
    found: list[tuple[str, Callable[[], object]]] = [("cp -r", run("cp", "-r", what, there))]
    if shutil.which("rsync"):
        found += [("rsync -a", run("rsync", "-a", what, there))]
    if shutil.which("rclone"):
        verb = ["copyto", what, there / what] if Path(what).is_file() else ["copy", what, there / what]
        found += [("rclone copy", run("rclone", *verb))]
    return found


def ssh_rows(reps: int, db: Database, big: str, small: str, n_small: int, client: Path) -> list[Row]:
    shell = f"ssh -F {client}"
    os.environ["REGISTRY_SSH"] = shell
    here, there = Path.cwd(), Path("far")
    clear = cleared(there)
    rows = []
    for run_id, what, label in ((big, "big.bin", "1 file"), (small, "small", f"{n_small:,} x 4 KiB")):
        ours = proven(reps, db, run_id, what.replace(".", ""), f"box:{here}/place", Path("place"))
        peers = [("scp -r", run("scp", "-q", "-r", "-F", client, what, f"box:{here}/far/"))]
        if shutil.which("rsync"):
            peers += [("rsync -a", run("rsync", "-a", "-e", shell, what, f"box:{here}/far/"))]
        if shutil.which("rclone"):
            config = here / "rclone.conf"
            config.write_text(f"[box]\ntype = sftp\nssh = {shell} box\n")
            verb = ["copyto", what, f"box:{there.absolute()}/{what}"] if what == "big.bin" else [
                "copy", what, f"box:{there.absolute()}/{what}"
            ]  # fmt: skip
            if supports_ssh_option():
                peers += [("rclone copy", run("rclone", "--config", config, *verb))]
        rows += [
            Row(f"SSH on loopback, {label}, proven", ours, "s", "", peer, least(1, clear, work)) for peer, work in peers
        ]
    rows.append(remote_hashing(db, small, n_small))
    return rows


def supports_ssh_option() -> bool:
    """Return whether rclone can use the system's ssh (1.64 and newer)."""
    said = subprocess.run(["rclone", "help", "backend", "sftp"], capture_output=True, text=True).stdout
    return "--sftp-ssh " in said


def remote_hashing(db: Database, run_id: str, n_small: int) -> Row:
    """How long the host takes to hash the small files, connection and all."""
    name = fresh_remote(db, "hash", f"box:{Path.cwd()}/place", Path("place"))()
    copier(db, run_id, name)()
    keys = Disk("place").keys("blobs")

    def hash_all() -> None:
        store = open_store(f"box:{Path.cwd()}/place")
        assert len(list(store.digests(keys, Meter()))) == len(keys)
        store.close()

    return Row(f"SSH on loopback: hash {n_small:,} files there", least(3, lambda: None, hash_all), "s", "<= 1 s")


def hashing_row(reps: int) -> Row:
    """Our digest of a file that holds still, against hashlib's own rate on bytes in memory, both per second of CPU."""
    content = bytearray(64 << 20)

    def cpu_s(work: Callable[[], object]) -> float:
        return min(wall_and_cpu(work)[1] for _ in range(max(3, reps)))

    ours = cpu_s(lambda: digest_file(Path("big.bin"))) / Path("big.bin").stat().st_size
    theirs = cpu_s(lambda: hashlib.sha256(content).digest()) / len(content)
    return Row("sha256 of a file", 1e-6 / ours, "MB/s of CPU", ">= 0.9 x", "hashlib in memory", 1e-6 / theirs)


def scale_rows(n_copies: int) -> list[Row]:
    """`where` and `alerts` when the registry holds many copies, all verified."""
    with folder():
        db = open_database("runs.db", create=True)
        fill(db, n_copies)
        db.close()
        db = open_database("runs.db")

        def ask(question: Callable[..., object]) -> float:
            def asked() -> None:
                with db.read() as session:
                    question(session)

            return min(wall_and_cpu(asked)[1] for _ in range(5)) * 1e3

        alerts = ask(lambda session: custody_alerts(session, clock.now(), db.settings))
        where = ask(lambda session: where_run(session, f"{7:010x}", clock.now(), db.settings))
        db.close()
    return [
        Row(f"alerts over {n_copies:,} copies", alerts, "ms of CPU", "<= 100 ms"),
        Row(f"where RUN among {n_copies:,} copies", where, "ms of CPU", "<= 100 ms"),
    ]


def fill(db: Database, n_copies: int) -> None:
    """Put artifacts with two verified copies each into a registry, as their events would have left them."""
    now, n_artifacts = clock.now(), n_copies // 2
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(n_artifacts)]
    host = json.dumps({"name": socket.gethostname(), "pid": 1})
    runs = [
        RunRow(id=f"{number:010x}", name=f"r{number}", experiment_id=1, status="finished", host=host)
        for number in range(n_artifacts // 5)
    ]
    artifacts = [
        {"id": i + 1, "run_id": f"{i // 5:010x}", "role": "checkpoint", "path": f"runs/x/{i}.pt", "kind": "file",
         "digest": digest, "size_bytes": 1000, "recorded_at": now, "copied_at": now, "details": "{}"}
        for i, digest in enumerate(digests)
    ]  # fmt: skip
    copies = [
        {"digest": digest, "size_bytes": 1000, "remote_id": remote, "path": f"blobs/sha256/{digest[:2]}/{digest}",
         "created_at": now, "put_at": now - 30, "verified_from": now - 20, "verified_at": now - 19,
         "verified_level": 4, "method": "read back from folder, past the page cache", "token": "1:2:3:4",
         "seen_level": 4, "trouble": "", "doubt": ""}
        for digest in digests for remote in ("a", "b")
    ]  # fmt: skip
    with db.write() as session:
        session.add(Experiment(id=1, name="e", created_at=now))
        for name in ("a", "b"):
            session.add(
                Remote(id=name, name=name, url=f"/{name}", kind="folder", domain=name, labelled=True, klass="durable",
                       added_at=now - 99, filesystem=name, probe="ok")
            )  # fmt: skip
        session.flush()
        session.add_all(runs)
        session.flush()
        session.connection().execute(insert(Artifact), artifacts)
        session.connection().execute(insert(Copy), copies)


@contextlib.contextmanager
def ssh_server() -> Iterator[Path | None]:
    """Run an SSH server of our own and yield the client's configuration, None where there is no sshd."""
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(program).exists():
        yield None
        return
    home = Path("sshd").absolute()
    home.mkdir()
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    shutil.copy(home / "key.pub", home / "authorized")
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    (home / "server").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized\n"
        "UsePAM no\nStrictModes no\nMaxStartups 100\nSubsystem sftp internal-sftp\n"
    )
    (home / "client").write_text(
        f"Host box\n HostName 127.0.0.1\n Port {port}\n IdentityFile {home}/key\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {home}/known\n StrictHostKeyChecking accept-new\n LogLevel ERROR\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([program, "-D", "-e", "-f", home / "server"], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while subprocess.run(["ssh", "-F", home / "client", "box", "true"], capture_output=True).returncode:
            assert time.monotonic() < deadline, "sshd does not answer"
        yield home / "client"
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    options = arguments(__doc__ or "")
    reps = min(options.reps, 3)
    big_bytes, n_small, n_copies = (64 << 20, 500, 10_000) if options.quick else (1 << 30, 5_000, 100_000)
    rows = scale_rows(n_copies)
    with folder():
        big, small = record(big_bytes, n_small)
        db = open_database("runs.db", create=True)
        from registry.catchup import catch_up

        catch_up(db)
        rows += [hashing_row(reps), *folder_rows(reps, db, big, small, n_small)]
        with ssh_server() as client:
            if client:
                rows += ssh_rows(reps, db, big, small, n_small, client)
        db.close()
    report("copies", rows)


if __name__ == "__main__":
    main()
