"""A command on another host is a run here: nothing is lost or doubled when the connection is cut, nothing counts that
did not arrive whole, and the host is not released with something on it that nobody recorded.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.registry.custody.conftest import FaultyNetwork, Sshd, box, other_disk, poll, sshd_server  # noqa: F401

REGISTRY = [sys.executable, "-m", "registry"]
HERE = Path(sys.executable).parent


@pytest.fixture
def there(own_folder, box, tmp_path_factory):  # noqa: F811
    """The root on the host `box`, named in registry.toml; the test stands in a git repository of its own."""
    root = tmp_path_factory.mktemp("there")
    Path("registry.toml").write_text(f'[hosts.box]\nssh = "box"\nroot = "{root}"\n')
    Path(".gitignore").write_text("ignored/\n")
    Path("ignored").mkdir()
    Path("ignored/big").write_text("stays here")
    subprocess.run(["git", "init", "-q"], check=True)
    return root


def start(*words, script=None, **options):
    """Start `registry run --host box -- python job.py`."""
    if script is not None:
        Path("job.py").write_text(script)
    command = [*REGISTRY, "run", "--host", "box", "--name", "job", *words]
    return subprocess.Popen(
        [*command, "--", sys.executable, "job.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def end(process, code=0):
    out, err = process.communicate(timeout=170)
    assert process.returncode == code and 'Traceback (most recent call last):\n  File "/work' not in err, (out, err)
    return out, err


def the_run(cli):
    (row,) = cli("ls", "--json").json
    return cli("show", row["id"], "--json").json


TRAIN = """
import os, pathlib, sys, time, registry
print("begins in", os.path.basename(os.getcwd()), sorted(p.name for p in pathlib.Path().iterdir()))
with registry.init(params={"lr": 0.1}) as run:
    for step in range(200):
        run.log({"loss": 1.0 / (step + 1)}, step=step)
        print("line", step, flush=True)
        time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)
    pathlib.Path("out").mkdir()
    pathlib.Path("out/best.bin").write_bytes(b"weights" * 1000)
    pathlib.Path("out/extra.bin").write_bytes(b"more")
    run.log_artifact("out/best.bin", role="best", step=199)
"""


def test_a_command_there_is_a_run_here(cli, there):
    out, err = end(start("--artifact", "last=out/extra.bin", "--tag", "far", script=TRAIN))
    assert "'ignored'" not in out and "'job.py'" in out and out.count("line ") == 200
    run = the_run(cli)
    assert run["status"] == "finished" and run["exit_code"] == 0 and run["tags"] == ["far"], err
    assert run["metrics"]["loss"]["count"] == 200 and run["params"]["lr"] == 0.1
    assert {(item["role"], Path(item["path"]).name) for item in run["artifacts"]} == {
        ("best", "best.bin"), ("last", "extra.bin"),
    }  # fmt: skip
    for item in run["artifacts"]:
        assert Path(item["path"]).read_bytes() == (there / item["path"]).read_bytes()
    (journal,) = Path("runs").glob("*/journal.jsonl")
    assert journal.read_bytes() == (there / journal).read_bytes()
    assert Path(journal.parent, "output.log").read_text() == out


SLOW = TRAIN.replace("time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)", "time.sleep(0.01)")


def test_cut_connections_lose_and_double_nothing(cli, there, sshd_server):  # noqa: F811
    network = FaultyNetwork(sshd_server.port)
    budget = [20_000]

    def cut(direction, block):
        budget[0] -= len(block)
        if budget[0] > 0:
            return block
        budget[0] = 12_000
        cuts.append(direction)
        return None

    cuts: list[str] = []
    sshd_server.configure(Port=network.port)
    process = start(script=SLOW)
    poll(lambda: any(Path("runs").glob("*/output.log")), 60)
    network.fault = cut
    poll(lambda: len(cuts) >= 2, 60)
    network.fault = lambda direction, block: block
    out, err = end(process)
    network.close()
    assert "trying again" in err
    assert [line for line in out.splitlines() if line.startswith("line")] == [f"line {n}" for n in range(200)]
    run = the_run(cli)
    assert run["status"] == "finished" and run["metrics"]["loss"]["count"] == 200


WAITS = """
import os, pathlib, time
print("pid", os.getpid(), flush=True)
while not pathlib.Path("/proc/self/cwd/go").exists():
    time.sleep(0.02)
print("went on", flush=True)
"""


def far_pid(there):
    return poll(lambda: next((int(path.read_text() or 0) for path in there.glob(".holdfast/*/pid")), 0), 60)


def test_it_outlives_the_program_here_and_is_taken_up_again(cli, there):
    process = start(script=WAITS)
    poll(lambda: any(path.stat().st_size for path in Path("runs").glob("*/output.log")), 60)
    process.kill()
    process.communicate()
    os.kill(far_pid(there), 0)
    (tree,) = there.glob("work/*")
    (tree / "go").touch()
    (journal,) = Path("runs").glob("*/journal.jsonl")
    run_id = journal.parent.name.rpartition("-")[2]
    again = subprocess.run([*REGISTRY, "run", "--host", "box", "--attach", run_id], capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout == "went on\n", again.stderr
    assert the_run(cli)["status"] == "finished"
    assert Path(journal.parent, "output.log").read_text().splitlines()[1:] == ["went on"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, 137), (signal.SIGTERM, 143)])
def test_a_process_that_is_killed_there(cli, there, number, code):
    process = start(script=WAITS)
    os.kill(far_pid(there), number)
    end(process, code)
    run = the_run(cli)
    assert run["status"] == "killed" and number.name in run["evidence"]


def test_a_supervisor_that_is_killed_is_told_as_a_crash(cli, there):
    process = start(script=WAITS)
    pid = far_pid(there)
    supervisor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    end(process, 1)
    run = the_run(cli)
    assert run["status"] == "crashed" and "supervisor" in run["evidence"]
    os.kill(pid, signal.SIGKILL)


def test_a_signal_here_reaches_the_command_there(cli, there):
    process = start(script=WAITS)
    far_pid(there)
    poll(lambda: any(path.stat().st_size for path in Path("runs").glob("*/output.log")), 60)
    process.send_signal(signal.SIGTERM)
    end(process, 143)
    assert the_run(cli)["status"] == "killed"


def test_a_second_signal_detaches_and_the_command_goes_on(cli, there):
    process = start(script="import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + WAITS)
    pid = far_pid(there)
    poll(lambda: any(path.stat().st_size for path in Path("runs").glob("*/output.log")), 60)
    process.send_signal(signal.SIGTERM)
    assert any("once more detaches" in line for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGTERM)
    _, err = end(process, 130)
    assert "--attach" in err
    os.kill(pid, signal.SIGKILL)


MISNAMED = """
import pathlib
pathlib.Path("checkpoint").mkdir()
pathlib.Path("checkpoint/model.bin").write_bytes(b"w" * 1_000_000)
"""


def test_a_misnamed_folder_keeps_the_host(cli, there, own_folder):
    settings = Path("registry.toml")
    settings.write_text(settings.read_text() + f'release = "touch {own_folder}/released"\n')
    _, err = end(start("--artifact", "best=checkpoints/*.bin", script=MISNAMED), 1)
    assert "checkpoints/*.bin: nothing there" in err and not Path("released").exists()
    said = subprocess.run([*REGISTRY, "guard", "--host", "box", "--dry-run"], capture_output=True, text=True)
    assert said.returncode == 3 and "checkpoint/model.bin" in said.stderr


FILLS = """
import os, registry
with registry.init() as run:
    run.log({"loss": 0.5}, step=1)
try:
    with open("filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(65_536))
except OSError:
    os._exit(3)
"""


@pytest.fixture
def small_disk(there):
    """The host's root on a disk of four megabytes."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(there)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield there
    subprocess.run(["umount", "--lazy", str(there)], check=True)


def test_a_disk_that_the_command_fills_swallows_neither_its_end_nor_the_refusal(cli, small_disk, own_folder):
    settings = Path("registry.toml")
    settings.write_text(settings.read_text() + f'release = "touch {own_folder}/released"\n')
    end(start("--artifact", "best=missing.bin", script=FILLS), 3)
    run = the_run(cli)
    assert run["status"] == "failed" and run["exit_code"] == 3 and "exit code 3" in run["evidence"]
    assert run["metrics"]["loss"]["count"] == 1 and not Path("released").exists()
    assert any("missing.bin: nothing there" in note["text"] for note in run["notes"])
    (journal,) = Path("runs").glob("*/journal.jsonl")
    assert journal.read_bytes() == (small_disk / journal).read_bytes()
    assert next(small_disk.glob("work/*/filler")).stat().st_size > 1_000_000, "the host keeps what it has"


def test_the_host_is_released_when_all_is_safe_elsewhere(cli, there, own_folder, other_disk):  # noqa: F811
    settings = Path("registry.toml")
    settings.write_text(settings.read_text() + f'release = "touch {own_folder}/released"\n')
    cli("init")
    cli("remote", "add", "vault", other_disk / "vault", "--class", "durable", "--domain", "vault")
    settings.write_text(settings.read_text() + "[policy]\nnum_copies = 1\n")
    script = MISNAMED.replace('"checkpoint"', '"checkpoints"').replace("checkpoint/", "checkpoints/")
    words = ("--artifact", "best=checkpoints/*.bin", "--copy-to", "vault")
    out, err = end(start(*words, script=script))
    assert Path("released").exists(), (out, err)


def test_what_cannot_begin_says_so_and_leaves_no_run(cli, there, sshd_server):  # noqa: F811
    sshd_server.configure(Port=1)
    _, err = end(start(script="pass"), 5)
    assert "cannot be reached" in err and not list(Path("runs").glob("*"))
    assert end(start("--artifact", "/absolute", script="pass"), 2)
    sshd_server.configure()
    command = [*REGISTRY, "run", "--host", "box", "--", "no-such-program"]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 127
    run = the_run(cli)
    assert run["status"] == "failed" and "cannot start no-such-program" in run["evidence"]
