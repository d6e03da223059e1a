"""`registry run -- CMD`: the command behaves as if it ran alone, and everything about it is recorded."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

REGISTRY = [sys.executable, "-m", "registry"]


def run(*words, **options):
    return subprocess.run([*REGISTRY, *words], capture_output=True, text=True, timeout=120, **options)


def output_log():
    return next(Path("runs").glob("*/output.log")).read_bytes()


def test_output_and_exit_code_are_passed_on_unchanged(cli):
    script = "import sys; print('out', flush=True); print('err', file=sys.stderr, flush=True); sys.exit(7)"
    done = run("run", "--name", "seven", "--", sys.executable, "-c", script)
    assert done.returncode == 7
    assert done.stdout == "out\n"
    assert done.stderr.splitlines()[0] == "err"
    assert sorted(output_log().split()) == [b"err", b"out"]
    row = cli("show", "seven", "--json").json
    assert row["status"] == "failed" and row["exit_code"] == 7 and row["evidence"].startswith("exit code 7")
    assert row["command"][-1] == script


def test_bytes_that_are_no_text_pass_through(cli):
    script = r"import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000)"
    done = subprocess.run([*REGISTRY, "run", "--", sys.executable, "-c", script], capture_output=True, timeout=120)
    assert done.stdout == bytes(range(256)) * 1000 == output_log()


def test_what_the_script_logs_lands_in_the_same_run(cli):
    script = "import registry; run = registry.init(params={'lr': 1}); run.log({'loss': 0.5}, step=1); run.finish()"
    assert run("run", "--experiment", "e", "--", sys.executable, "-c", script).returncode == 0
    rows = cli("ls", "--json").json
    assert len(rows) == 1
    assert rows[0]["status"] == "finished" and rows[0]["experiment"] == "e"
    assert rows[0]["params"] == {"lr": 1} and rows[0]["metrics"]["loss"]["last"] == 0.5


def test_a_script_that_says_it_failed_is_failed_whatever_its_exit_code(cli):
    run("run", "--", sys.executable, "-c", "import registry; registry.init().finish('failed')")
    assert cli("ls", "--json").json[0]["status"] == "failed"


def test_declared_artifacts_are_hashed_at_the_end(cli):
    script = "import os; os.mkdir('ckpt'); open('ckpt/best.pt','wb').write(b'w'); open('ckpt/last.pt','wb').write(b'v')"
    done = run("run", "--artifact", "ckpt/*.pt", "--", sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    found = {a["role"]: a["path"] for a in cli("show", "latest", "--json").json["artifacts"]}
    assert found == {"best": "ckpt/best.pt", "last": "ckpt/last.pt"}


def test_declared_artifacts_that_are_not_there_are_no_success(cli):
    done = run("run", "--artifact", "best=checkpoints_v2/*.pt", "--", sys.executable, "-c", "pass")
    assert done.returncode == 1
    assert "--artifact checkpoints_v2/*.pt: nothing there, so nothing was kept" in done.stderr
    notes = cli("show", "latest", "--json").json["notes"]
    assert any("nothing was kept" in note["text"] for note in notes)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_signals_are_forwarded(cli, own_folder, name):
    script = (
        "import signal, sys, time\n"
        f"signal.signal(signal.{name}, lambda *a: (print('got it', flush=True), sys.exit(5)))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(0.05)"
    )
    command = [*REGISTRY, "run", "--", sys.executable, "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(getattr(signal, name))
    out, _ = process.communicate(timeout=60)
    assert out == "got it\n" and process.returncode == 5
    assert cli("ls", "--json").json[0]["status"] == "failed"


def test_a_command_ended_by_a_signal_is_killed_and_says_which(cli):
    done = run("run", "--", sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert done.returncode == 128 + signal.SIGKILL
    row = cli("ls", "--json").json[0]
    assert row["status"] == "killed" and row["evidence"] == "signal SIGKILL"


def test_when_the_wrapper_itself_is_killed_the_run_is_crashed(cli):
    script = (
        "import os, registry, time; registry.init().log({'a': 1.0}); print(os.getpid(), flush=True); time.sleep(300)"
    )
    command = [*REGISTRY, "run", "--", sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        try:
            assert cli("ls", "--json").json[0]["status"] == "crashed"
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_command_that_does_not_exist_is_one_line(cli):
    done = run("run", "--", "no-such-program-here")
    assert done.returncode == 4
    assert "cannot start 'no-such-program-here'" in done.stderr and "Traceback" not in done.stderr
    assert cli("ls", "--json").json[0]["status"] == "failed"


def test_no_command_is_a_usage_error():
    assert run("run").returncode == 2


def test_a_program_on_a_terminal_sees_a_terminal(own_folder):
    script = "import sys, os; print('tty', sys.stdout.isatty(), os.get_terminal_size().columns); sys.stdout.flush()"
    child = pexpect.spawn(
        REGISTRY[0], [*REGISTRY[1:], "run", "--", sys.executable, "-c", script], dimensions=(30, 77), encoding="utf-8"
    )
    child.expect("tty True 77\r\n", timeout=60)
    child.expect(pexpect.EOF, timeout=60)
    assert b"tty True 77\n" in output_log()


def test_ctrl_c_on_a_terminal_reaches_the_command_once(own_folder, cli):
    script = (
        "import signal, sys, time\n"
        "n = 0\n"
        "def got(*a):\n"
        "    global n; n += 1\n"
        "signal.signal(signal.SIGINT, got)\n"
        "print('ready', flush=True)\n"
        "end = time.monotonic() + 1.5\n"
        "while time.monotonic() < end: time.sleep(0.05)\n"
        "print('interrupts', n, flush=True)\n"
    )
    child = pexpect.spawn(REGISTRY[0], [*REGISTRY[1:], "run", "--", sys.executable, "-c", script], encoding="utf-8")
    child.expect("ready", timeout=60)
    child.sendintr()
    child.expect("interrupts 1", timeout=60)
    child.expect(pexpect.EOF, timeout=60)


def test_names_of_the_environment_but_no_values_are_recorded(cli):
    run("run", "--", sys.executable, "-c", "pass", env={**os.environ, "API_KEY": "hunter2"})
    row = cli("show", "latest", "--json").json
    assert "API_KEY" in row["environment"]
    assert "hunter2" not in Path("runs").rglob("journal.jsonl").__next__().read_text()


def test_the_git_state_is_recorded(cli, own_folder):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)

    git("init", "-q")
    (own_folder / "train.py").write_text("print(1)")
    git("add", "train.py")
    git("commit", "-qm", "one")
    run("run", "--", sys.executable, "train.py")
    assert cli("show", "latest", "--json").json["git"]["dirty"] is False
    assert cli("show", "latest", "--json").json["name"] == "train"
    (own_folder / "train.py").write_text("print(2)")
    run("run", "--", sys.executable, "train.py")
    assert cli("show", "latest", "--json").json["git"]["dirty"] is True


def test_log_prints_what_the_run_said_and_follows_it_to_its_end(cli):
    script = "import time\nfor i in range(5): print('line', i, flush=True); time.sleep(0.1)"
    process = subprocess.Popen(
        [*REGISTRY, "run", "--name", "talks", "--", sys.executable, "-c", script], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(Path("runs").glob("*/output.log")) and time.monotonic() < deadline:
        time.sleep(0.02)
    followed = run("log", "talks", "-f")
    process.wait()
    assert followed.stdout == "".join(f"line {i}\n" for i in range(5))
    assert run("log", "talks", "-n", "2").stdout == "line 3\nline 4\n"


def test_params_and_tags_and_data_from_the_command_line(cli):
    words = ["--param", "lr=0.1", "--param", "name=adam", "--tag", "x"]
    run("run", *words, "--", sys.executable, "-c", "pass")
    row = cli("ls", "--json").json[0]
    assert row["params"] == {"lr": 0.1, "name": "adam"} and row["tags"] == ["x"]
    assert run("run", "--param", "lr", "--", "true").returncode == 2
