"""Old backups go by a clear rule, and never the last one that reads right, nor a byte that anything else needs."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import registry
from registry import clock, retention
from registry.backup import Listed
from registry.copies.pins import write_pin
from registry.database import Database
from registry.remotes.folder import FolderStore
from registry.retention import prune_backups, why_kept
from registry.settings import BackupPolicy

from .conftest import Recorded, blob_path

Cli = Callable[..., Any]
NOW = 1_900_000_000.0
DAY = 86_400.0

backups = st.lists(st.floats(NOW - 400 * DAY, NOW + 10 * DAY), min_size=1, max_size=12, unique=True).map(
    lambda times: [Listed("ours", f"{number:064x}", at, 3, 100) for number, at in enumerate(times)]
)
policies = st.builds(BackupPolicy, keep_last=st.integers(1, 5), keep_for=st.sampled_from(["1h", "30d", "365d"]))


@given(listed=backups, policy=policies, number=st.integers(0, 11))
def test_what_was_proven_what_is_young_and_the_last_ones_never_go(
    listed: list[Listed], policy: BackupPolicy, number: int
) -> None:
    proven = listed[number % len(listed)].digest
    reasons = why_kept(listed, proven, NOW, policy)
    newest = sorted(listed, key=lambda backup: -backup.at)
    assert reasons[proven] and all(reasons[backup.digest] for backup in newest[: policy.keep_last])
    for backup in newest[policy.keep_last :]:
        gone = not reasons[backup.digest]
        assert gone == (backup.digest != proven and NOW - backup.at >= policy.keep_for_s)


def test_the_rule_needs_at_least_one_backup(cli: Cli, nas: Path, tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("[backup]\nkeep_last = 0\n")
    assert "keep_last" in cli("ls", code=2).err


@pytest.fixture
def history(cli: Cli, record: Callable[..., Recorded], nas: Path, tmp_path: Path) -> list[str]:
    """Five backups of a growing registry, a day between them; returns their digests, the oldest first."""
    (tmp_path / "registry.toml").write_text('[backup]\nkeep_last = 2\nkeep_for = "36h"\n')
    digests = []
    for day in range(5):
        record(f"run{day}")
        with clock.frozen(clock.now() - (5 - day) * DAY):
            digests.append(cli("backup", "--to", "nas", "--json").json["digest"])
    return digests


def kept(cli: Cli, nas: Path) -> set[str]:
    return {listed["digest"] for listed in cli("restore", nas, "--list", "--json").json}


def test_old_ones_go_and_those_that_stay_come_back(cli: Cli, nas: Path, tmp_path: Path, history: list[str]) -> None:
    n_before = len([path for path in (nas / "blobs").rglob("*") if path.is_file()])
    said = cli("backup", "--to", "nas", "--prune", "--json").json
    assert set(said["pruned"]) == set(history[:4]) and said["freed_bytes"] > 0
    assert kept(cli, nas) == {history[4], said["digest"]}
    assert len([path for path in (nas / "blobs").rglob("*") if path.is_file()]) < n_before
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=nas).returncode == 0
    for number, digest in enumerate(kept(cli, nas)):
        cli("restore", nas, "--digest", digest, "--into", tmp_path / f"new{number}")
    assert "registry-no-backup" not in {alert["code"] for alert in cli("alerts", "--json").json}
    cli("verify", "--all")


def test_without_the_word_nothing_goes(cli: Cli, nas: Path, history: list[str]) -> None:
    cli("backup", "--to", "nas")
    assert set(history) < kept(cli, nas)


def test_nothing_goes_when_the_new_one_could_not_be_proven(
    cli: Cli, nas: Path, history: list[str], db: Database
) -> None:
    made = cli("backup", "--to", "nas", "--json").json
    blob_path(nas, made["digest"]).unlink()
    from registry.tables import Backup

    proven = Backup(digest=made["digest"], remote_id="x", at=clock.now(), n_files=1, size_bytes=1, by="t")
    with pytest.raises(registry.RefusedError, match="not whole"):
        prune_backups(db, "nas", proven)
    assert set(history) <= kept(cli, nas)


@pytest.mark.parametrize("holder", ["a pin", "another registry's run", "an artifact", "nothing"])
def test_what_anything_else_needs_stays(
    cli: Cli, record: Callable[..., Recorded], nas: Path, tmp_path: Path, history: list[str], holder: str
) -> None:
    manifest = blob_path(nas, history[0]).read_text()
    old_record = next(line.split()[0] for line in manifest.splitlines() if line.endswith(" runs.db"))
    if holder == "a pin":
        write_pin(FolderStore(str(nas)), "theirs", clock.now() + 600, [old_record])
    elif holder == "another registry's run":
        (nas / "index").mkdir(exist_ok=True)
        (nas / "index" / "feedbeef00.txt").write_text(f"{old_record}  theirs.bin\n")
    elif holder == "an artifact":
        (tmp_path / "kept.db").write_bytes(blob_path(nas, old_record).read_bytes())
        cli("keep", record("again").id, tmp_path / "kept.db", "--role", "log")
    assert history[0] in cli("backup", "--to", "nas", "--prune", "--json").json["pruned"]
    assert blob_path(nas, old_record).exists() == (holder != "nothing")


def test_a_backup_of_another_registry_is_not_ours_to_prune(
    cli: Cli, nas: Path, tmp_path: Path, history: list[str]
) -> None:
    theirs = nas / "backups" / f"{history[1]}.json"
    theirs.write_text(json.dumps({**json.loads(theirs.read_text()), "registry": "another"}))
    cli("backup", "--to", "nas", "--prune")
    assert history[1] in kept(cli, nas)
    cli("restore", nas, "--digest", history[1], "--into", tmp_path / "theirs")


def test_half_a_backup_never_looks_like_one(
    cli: Cli, nas: Path, tmp_path: Path, history: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off in the middle of the removal, what is still listed can still be restored."""

    def cut(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(retention, "_remove", cut)
    cli("backup", "--to", "nas", "--prune", code=130)
    monkeypatch.undo()
    for number, digest in enumerate(kept(cli, nas)):
        cli("restore", nas, "--digest", digest, "--into", tmp_path / f"new{number}")
