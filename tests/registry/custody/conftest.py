"""Real parts for the tests of copies: another disk, an SSH server of our own, an S3 service behind a faulty network."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.database import Database, open_database

OTHER_DISKS = ("/dev/shm", f"/run/user/{os.getuid()}", "/var/tmp")


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another filesystem than the test's own."""
    here = os.stat(tmp_path).st_dev
    for candidate in OTHER_DISKS:
        if os.access(candidate, os.W_OK) and os.stat(candidate).st_dev != here:
            folder = Path(tempfile.mkdtemp(prefix="holdfast-", dir=candidate))
            yield folder
            shutil.rmtree(folder, ignore_errors=True)
            return
    pytest.skip("this machine has no second filesystem that may be written to")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = open_database(os.environ.get("REGISTRY_DB") or str(tmp_path / "runs.db"), create=True)
    yield database
    database.close()


class Recorded:
    """A run that was recorded and has ended."""

    def __init__(self, run_id: str, folder: Path, files: dict[str, Path]) -> None:
        self.id, self.folder, self.files = run_id, folder, files


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Recorded]:
    """Record a run with artifacts: `record(best=b"bytes", tree={"a": b"x"})`; its files lie in `out/<name>/`."""

    def make(name: str = "run", **artifacts: Any) -> Recorded:
        artifacts = artifacts or {"best": b"weights of " + name.encode() * 200}
        files: dict[str, Path] = {}
        with registry.init(experiment="e", name=name) as run:
            for role, content in artifacts.items():
                path = tmp_path / "out" / name / role
                path.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, dict):
                    for child, child_bytes in content.items():
                        (path / child).parent.mkdir(parents=True, exist_ok=True)
                        (path / child).write_bytes(child_bytes)
                else:
                    path = path.with_suffix(".bin")
                    path.write_bytes(content)
                run.log_artifact(path, role="checkpoint" if role == "tree" else role, step=1)
                files[role] = path
        return Recorded(run.id, run.folder, files)

    return make


@pytest.fixture
def nas(cli: Callable[..., Any], other_disk: Path) -> Path:
    """A remote on another disk, whose copies count."""
    place = other_disk / "nas"
    cli("remote", "add", "nas", place, "--domain", "nas", "--class", "durable", "-q")
    return place


def blob_path(place: Path, digest: str) -> Path:
    return place / "blobs" / "sha256" / digest[:2] / digest


def flip_byte(path: Path, at: int = 5) -> None:
    """Flip one byte at rest, and give the file its old size and dates back."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def poll(question: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Ask until the answer is true; fails when it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.02)
    raise AssertionError("it never came about")


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# --- SSH


class Sshd:
    """An SSH server of our own, as an ordinary user, on a port of loopback; `box` is its name in our configuration."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        self.folder, self.port = folder, free_port()
        for name in ("host", "key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        shutil.copy(folder / "key.pub", folder / "authorized")
        (folder / "authorized").chmod(0o600)
        settings = {
            "Port": self.port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "UsePAM": "no",
            "AuthorizedKeysFile": folder / "authorized", "StrictModes": "no", "PidFile": folder / "pid",
            "PermitUserEnvironment": "no", "MaxStartups": "100",
        }  # fmt: skip
        (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self.client = folder / "client"
        self.configure()
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
        poll(self._answers)

    def configure(self, **extra: object) -> None:
        options = {
            "HostName": "127.0.0.1", "Port": self.port, "IdentityFile": self.folder / "key", "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.folder / "known", "StrictHostKeyChecking": "accept-new", **extra,
        }  # fmt: skip
        self.client.write_text("Host box\n" + "".join(f"  {name} {value}\n" for name, value in options.items()))

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        command = ["ssh", "-F", str(self.client), "-oBatchMode=yes", "box", "true"]
        return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="session")
def sshd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if not (shutil.which("sshd") or Path("/usr/sbin/sshd").exists()) or not shutil.which("ssh-keygen"):
        pytest.skip("no sshd here: apt-get install openssh-server")
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture
def box(sshd_server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """The SSH host `box`, reached through REGISTRY_SSH."""
    sshd_server.configure()
    monkeypatch.setenv("REGISTRY_SSH", f"ssh -F {sshd_server.client}")
    return sshd_server


# --- S3 behind a network that can be made to fail


class FaultyNetwork:
    """A TCP proxy. `fault` is called with each block on its way up (to the service) or down, and returns what goes on:
    the block, other bytes, or None to break the connection off."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.fault: Callable[[str, bytes], bytes | None] = lambda direction, block: block
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            for source, sink, direction in ((near, far, "up"), (far, near, "down")):
                threading.Thread(target=self._pump, args=(source, sink, direction), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        try:
            while block := source.recv(1 << 16):
                passed = self.fault(direction, block)
                if passed is None:
                    break
                sink.sendall(passed)
        except OSError:
            pass
        for end in (source, sink):
            with closing(end):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self) -> None:
        self._listener.close()


class Bucket:
    """A bucket of a local S3 service, reached through a network that can fail."""

    def __init__(self, name: str, port: int) -> None:
        import boto3

        self.name, self.network = name, FaultyNetwork(port)
        self.direct = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
        self.direct.create_bucket(Bucket=name)
        self.url = f"s3://{name}/copies?endpoint=http://127.0.0.1:{self.network.port}&region=us-east-1"


@pytest.fixture(scope="session")
def s3_service() -> Iterator[int]:
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield int(server.get_host_and_port()[1])
    server.stop()


@pytest.fixture
def bucket(s3_service: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name, value in (("ACCESS_KEY_ID", "k"), ("SECRET_ACCESS_KEY", "s"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    found = Bucket(f"bucket-{os.urandom(4).hex()}", s3_service)
    yield found
    found.direct.close()
    found.network.close()


@pytest.fixture
def rclone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An rclone place of its own configuration."""
    if not shutil.which("rclone"):
        pytest.skip("no rclone here: apt-get install rclone")
    (tmp_path / "rclone.conf").write_text(f"[far]\ntype = alias\nremote = {tmp_path / 'far'}\n")
    (tmp_path / "far").mkdir()
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "rclone.conf"))
    return "rclone:far:copies"
