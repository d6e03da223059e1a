"""Two processes of one training are one run: rank 0 records, an error of the other is kept, the loss is the same, the
shards of a checkpoint are one artifact."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys, torch, torch.distributed as dist, registry
torch.set_num_threads(1)
world = int(os.environ.get("WORLD_SIZE", "1"))
rank = int(os.environ.get("RANK", "0"))
if world > 1:
    dist.init_process_group("gloo")
torch.manual_seed(0)
model = torch.nn.Linear(8, 1)
data, target = torch.randn(64, 8), torch.randn(64, 1)
trained = torch.nn.parallel.DistributedDataParallel(model) if world > 1 else model
optimiser = torch.optim.SGD(model.parameters(), 0.05)
with registry.init(experiment="e", name="two", params={"world": world}) as run:
    run.log({"system/memory": 1.0 + rank}, step=0)
    for step in range(20):
        part = slice(rank * 64 // world, (rank + 1) * 64 // world)
        loss = (trained(data[part]) - target[part]).square().mean()
        optimiser.zero_grad(); loss.backward(); optimiser.step()
        if world > 1:
            dist.all_reduce(loss := loss.detach().clone()); loss /= world
        run.log({"loss": loss.item()}, step=step)
        if "--fail" in sys.argv and rank == 1 and step == 10:
            raise ValueError("the second card is broken")
    torch.save(model.state_dict(), f"model{rank}.pt")
    run.log_artifact(f"model{rank}.pt", role="best", step=19)
if world > 1:
    dist.barrier()
    dist.destroy_process_group()
"""
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py"]


@pytest.fixture(autouse=True)
def script(own_folder, monkeypatch):
    Path("train.py").write_text(SCRIPT)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def run(*command, code=0):
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (said.returncode == 0) == (code == 0), said.stderr
    return said.stderr


def losses(cli):
    import registry

    with registry.open() as record:
        return {row["params"]["world"]: record.history(row["id"], "loss") for row in record.runs()}


def test_two_ranks_are_one_run_with_the_loss_of_one(cli):
    run(*TWO)
    run(sys.executable, "train.py")
    found = losses(cli)
    assert [step for step, _ in found[2]] == list(range(20))
    assert [value for _, value in found[2]] == pytest.approx([value for _, value in found[1]], rel=1e-5)
    (two,) = [row for row in cli("ls", "--json").json if row["params"]["world"] == 2]
    assert two["status"] == "finished" and two["artifacts"]["total"] == 1
    assert {"system/memory", "system/rank1/memory"} <= two["metrics"].keys()


def test_inside_the_wrapper_the_ranks_join_its_run_and_an_error_is_kept(cli):
    run(sys.executable, "-m", "registry", "run", "--", *TWO, "--fail", code=1)
    (row,) = cli("ls", "--json").json
    shown = cli("show", row["id"], "--json").json
    assert shown["status"] == "failed" and shown["metrics"]["loss"]["count"] >= 10
    assert any("rank 1" in note["text"] and "second card" in note["text"] for note in shown["notes"])


SHARDS = """
import os, torch, torch.distributed as dist, torch.distributed.checkpoint as dcp, registry
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
torch.set_num_threads(1)
dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
torch.manual_seed(0)
whole = torch.randn(64, 32)
state = {"weight": distribute_tensor(whole, mesh, [Shard(0)])}
with registry.init(experiment="e", name="sharded") as run:
    run.log({"loss": 0.5}, step=1)
    dcp.save(state, checkpoint_id="step-1")
    dist.barrier()
    run.log_artifact("step-1", role="checkpoint", step=1)
again = {"weight": distribute_tensor(torch.zeros(64, 32), mesh, [Shard(0)])}
dcp.load(again, checkpoint_id="step-1")
assert torch.equal(again["weight"].full_tensor(), whole)
dist.barrier()
dist.destroy_process_group()
"""


def test_the_shards_of_a_checkpoint_are_one_artifact_tree(cli):
    Path("train.py").write_text(SHARDS)
    run(*TWO)
    (row,) = cli("ls", "--json").json
    (artifact,) = cli("show", row["id"], "--json").json["artifacts"]
    shards = sorted(path.name for path in Path("step-1").iterdir())
    assert shards == [".metadata", "__0_0.distcp", "__1_0.distcp"]
    assert (artifact["path"], artifact["role"], artifact["step"]) == ("step-1", "checkpoint", 1)
    assert artifact["size_bytes"] == sum(Path("step-1", name).stat().st_size for name in shards)
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    Path("vault").mkdir()
    cli("remote", "add", "vault", "vault")
    cli("copy", row["id"], "--to", "vault")
    Path("step-1/__1_0.distcp").unlink()
    cli("fetch", row["id"])
    assert sorted(path.name for path in Path("step-1").iterdir()) == shards


ACCELERATE = """
import accelerate, torch, registry
torch.set_num_threads(1)
accelerator = accelerate.Accelerator(cpu=True)
torch.manual_seed(0)
model = torch.nn.Linear(8, 1)
optimiser = torch.optim.SGD(model.parameters(), 0.05)
model, optimiser = accelerator.prepare(model, optimiser)
with registry.init(experiment="e", name="accelerated") as run:
    for step in range(5):
        loss = model(torch.ones(4, 8)).square().mean()
        optimiser.zero_grad(); accelerator.backward(loss); optimiser.step()
        run.log({"loss": accelerator.gather(loss.detach()[None]).mean().item()}, step=step)
    run.note(f"I am {accelerator.process_index} of {accelerator.num_processes}")
accelerator.end_training()
"""


def test_under_accelerate_launch_the_processes_are_one_run(cli):
    Path("train.py").write_text(ACCELERATE)
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    run(sys.executable, *launch, "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "train.py")
    (row,) = cli("ls", "--json").json
    shown = cli("show", row["id"], "--json").json
    assert shown["status"] == "finished" and shown["metrics"]["loss"]["count"] == 5
    assert sorted(note["text"] for note in shown["notes"]) == ["I am 0 of 2", "rank 1: I am 1 of 2"]
