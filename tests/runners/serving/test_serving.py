"""What is deployed is what answers: its bytes proven, typed and bounded requests, and no request lost in a switch."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import registry
from runners.ternary_vae.model import DualVae
from runners.training.checkpoints import save_bytes

TOKEN = "correct-horse-battery-staple"


def make_run(name: str, content: bytes, accuracy: float, family: str = "ternary_vae") -> None:
    """Record a run whose best checkpoint has these bytes."""
    path = Path(f"{name}.safetensors")
    path.write_bytes(content)
    with registry.init(experiment="e", name=name, params={"family": family}) as run:
        run.define_metric("accuracy", goal="max", primary=True)
        run.log_artifact(path, role="best", step=1)
        run.log_evaluation(artifact="best", metrics={"accuracy": accuracy})


def weights(seed: int) -> bytes:
    """Return an untrained dual VAE of this seed."""
    torch.manual_seed(seed)
    return save_bytes(DualVae().state_dict(), {"family": "ternary_vae"})


@pytest.fixture
def two_runs(cli):
    """A registry with the runs `one` (deployed) and `two` (ready to be)."""
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    Path("vault").mkdir()
    cli("init")
    cli("remote", "add", "vault", "vault")
    for seed, name in enumerate(("one", "two")):
        make_run(name, weights(seed), accuracy=0.5 + seed / 10)
        cli("copy", name, "--to", "vault")
    cli("promote", "one")
    return cli


class Server:
    """A running `registry serve`."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process, self.url = process, url

    def ask(self, path, body=None, **headers):
        """Return the status and the parsed answer; a body makes it a POST of JSON."""
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **{key.replace("_", "-"): value for key, value in headers.items()}}
        request = urllib.request.Request(self.url + path, data=content, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def wait_for(self, **wanted):
        """Poll /health until it says all of `wanted`."""
        deadline = time.monotonic() + 30
        while True:
            found = self.ask("/health")[1]
            if wanted.items() <= found.items():
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


def command(*words):
    return [sys.executable, "-m", "registry", "serve", *words]


@contextmanager
def serving(*words, **environment):
    process = subprocess.Popen(
        command("production", "--port", "0", *words),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if "listening at " in line:
                break
        else:
            raise AssertionError("".join(said))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Server(process, line.split("listening at ")[1].strip())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        process.stderr.close()


def test_it_answers_typed_requests_and_refuses_others(two_runs):
    with serving("--max-bytes", "500") as server:
        status, health = server.ask("/health")
        assert status == 200 and health["run_name"] == "one" and health["status"] == "ok"
        assert len(health["digest"]) == 64 and health["since"]
        status, answer = server.ask("/predict", {"n": 5, "vae": "A", "seed": 3})
        assert status == 200 and len(answer["ids"]) == 5
        numbers = [sum((trit + 1) * 3**place for place, trit in enumerate(trits)) for trits in answer["trits"]]
        assert numbers == answer["ids"]
        assert server.ask("/predict", {"n": 5, "vae": "A", "seed": 3})[1] == answer
        assert server.ask("/schema")[1]["predict"]["request"]["properties"]["n"]["maximum"] == 10_000
        for wrong in ({"n": 0}, {"n": "many"}, {"vae": "C"}, {"unknown": 1}, [], b"{", b"\xff"):
            assert server.ask("/predict", wrong)[0] == 422, wrong
        assert server.ask("/predict", b" " * 501)[0] == 413
        assert server.ask("/nothing", {})[0] == 404
        assert server.ask("/predict", {"n": 1}, Content_Type="text/plain")[0] == 415
        assert server.ask("/health", Host="evil.example")[0] == 421


def test_promotion_and_rollback_drop_no_request(two_runs):
    cli = two_runs
    with serving() as server:
        failures, runs, done = [], set(), threading.Event()

        def load() -> None:
            while not done.is_set():
                try:
                    request = urllib.request.Request(
                        server.url + "/predict", data=b'{"n": 3}', headers={"Content-Type": "application/json"}
                    )
                    with urllib.request.urlopen(request, timeout=30) as answer:
                        runs.add(answer.headers["X-Holdfast-Digest"])
                except OSError as error:
                    failures.append(error)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        cli("promote", "two")
        second = server.wait_for(run_name="two")
        cli("rollback", "production")
        first = server.wait_for(run_name="one")
        done.set()
        for thread in threads:
            thread.join()
    assert failures == [] and runs == {first["digest"], second["digest"]}


def test_changed_bytes_are_not_served(two_runs):
    with open("one.safetensors", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    said = subprocess.run(command("production"), capture_output=True, text=True, timeout=60)
    assert said.returncode == 1 and "is not what was deployed" in said.stderr


def test_a_deployment_that_cannot_be_served_leaves_the_old_one_answering(two_runs):
    cli = two_runs
    with serving() as server:
        cli("promote", "two")
        server.wait_for(run_name="two")
        Path("one.safetensors").write_bytes(b"no weights")
        cli("rollback", "production", code=None)
        make_run("three", b"no weights either", accuracy=0.9)
        cli("copy", "three", "--to", "vault")
        cli("promote", "three")
        found = server.wait_for(status="behind")
        assert found["run_name"] == "two" and "three" in found["reason"]
        assert server.ask("/health")[0] == 503
        assert server.ask("/predict", {"n": 2})[0] == 200


def test_other_machines_need_a_token(two_runs):
    said = subprocess.run(command("production", "--host", "0.0.0.0"), capture_output=True, text=True, timeout=60)
    assert said.returncode == 3 and "REGISTRY_SERVE_TOKEN" in said.stderr
    with serving("--host", "0.0.0.0", REGISTRY_SERVE_TOKEN=TOKEN) as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert server.ask("/predict", {"n": 1})[0] == 401
        assert server.ask("/predict", {"n": 1}, Authorization="Bearer wrong")[0] == 401
        assert server.ask("/predict", {"n": 1}, Authorization=f"Bearer {TOKEN}")[0] == 200
        assert server.ask("/health") == (200, {"status": "ok"})
        assert server.ask("/health", Authorization=f"Bearer {TOKEN}")[1]["run_name"] == "one"


def test_nothing_deployed_a_taken_port_and_a_family_without_endpoint(two_runs):
    cli = two_runs

    def refused(*words):
        said = subprocess.run(command(*words), capture_output=True, text=True, timeout=60)
        assert "Traceback" not in said.stderr
        return said.returncode, said.stderr

    code, words = refused("staging")
    assert code == 4 and "nothing is deployed to 'staging'" in words
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert refused("production", "--port", str(taken.getsockname()[1]))[0] == 5
    make_run("other", b"x", accuracy=0.9, family="unheard-of")
    cli("copy", "other", "--to", "vault")
    cli("promote", "other", "--to", "elsewhere")
    code, words = refused("elsewhere")
    assert code == 2 and "unheard-of" in words and "ternary_vae" in words
