"""`registry run --host HOST -- CMD…`: the working tree goes there, and a supervisor that outlives the connection runs
the command. Journal and output come back byte for byte, what it made is fetched and compared, and only then may the
guard let the machine go.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any

import msgspec

from registry import events, places
from registry.data_policy import require_usable
from registry.errors import HoldfastError, NotFoundError, UnreachableError, UsageError
from registry.hashing import freeze
from registry.places import find_run_folder, folder_name
from registry.remotes.ssh import SshAddress
from registry.settings import Host as HostSettings
from registry.settings import load_settings
from registry.starting import describe_start, new_run_id
from registry.wrapper import Declared, Outcome, default_name, fixed_part, last_line, role_of, split_role
from runners.launch.host import CutOffError, Host
from runners.launch.mirror import Mirror
from runners.launch.tree import working_tree

DEFAULT_ROOT = "holdfast"
RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
EXIT_REFUSED = 3

Say = Callable[[str], None]


@dataclass
class Session:
    """One run on one host: where it is here and there, and what to do when it has ended."""

    place: str
    address: str
    run_id: str
    host: Host
    mirror: Mirror
    say: Say
    patterns: tuple[str, ...] = ()
    cwd: str = "."
    copy_to: tuple[str, ...] = ()


def launch(
    address: str, declared: Declared, *, place: str, say: Say, attach: str | None = None, copy_to: tuple[str, ...] = ()
) -> Outcome:
    """Run a command on a host (`user@host`, or a name of registry.toml) as a run of the registry here.

    With `attach` follow a run that was left. Raises UnreachableError before anything began, HoldfastError for what the
    host complains of; a connection lost later is taken up again for as long as it takes.
    """
    settings = load_settings(places.root_folder(address)).hosts.get(place, HostSettings())
    if settings.release and not settings.root:
        raise UsageError(f"[hosts.{place}] has `release` and no `root`", hint="the guard sweeps the root: name it")
    target = _ssh_address(settings.ssh or place, settings.root or DEFAULT_ROOT)
    if attach:
        session = _find(address, attach, place, target, say)
    else:
        session = _begin(address, declared, place, target, settings, say, copy_to)
    code, problems = _finish(session, _follow(session))
    refused = _release(session, settings) if not problems else False
    return Outcome(session.run_id, code or (EXIT_REFUSED if refused else 1 if problems else 0), tuple(problems))


def _ssh_address(words: str, root: str) -> SshAddress:
    port = re.fullmatch(r"(.+):(\d+)", words)
    target, number = (port[1], int(port[2])) if port else (words, None)
    if target.startswith("-") or not target.strip() or re.search(r"\s", target):
        raise UsageError(f"--host {words!r}", hint="write user@host, or a name of [hosts.NAME] in registry.toml")
    return SshAddress(target, number, root)


# --- the beginning


def _begin(
    address: str, declared: Declared, place: str, target: SshAddress, settings: HostSettings, say: Say,
    copy_to: tuple[str, ...],
) -> Session:  # fmt: skip
    """Send the working tree and start the supervisor; what fails before that leaves a failed run, or none."""
    if not declared.command:
        raise UsageError("no command to run", hint=f"registry run --host {place} -- python train.py")
    patterns = declared.artifacts
    if any(PurePosixPath(split_role(pattern)[1]).is_absolute() for pattern in patterns):
        raise UsageError("--artifact with an absolute path", hint="name files relative to the working folder")
    top, names, cwd = working_tree(Path.cwd(), places.root_folder(address))
    run_id = new_run_id()
    name = declared.name or os.environ.get("REGISTRY_RUN_NAME") or default_name(declared.command)
    host = Host(target, folder_name(name, run_id))
    facts = host.ask("facts")
    host.root = facts["root"]
    say(f"{len(names)} files to {place}:{facts['tree']}")
    host.send(top, names, facts["tree"])
    facts |= host.ask("clock")
    lines = _first_lines(address, declared, place, settings, run_id, name, facts, cwd)
    mirror = Mirror(places.runs_folder(address) / host.name)
    mirror.folder.mkdir(parents=True)
    if not places.is_server(address) and not Path(address).exists():
        Path(address).touch()
    mirror.take("J", lines)
    session = Session(place, address, run_id, host, mirror, say, patterns, cwd, copy_to)
    spec = {
        "lines": lines.decode(), "command": declared.command, "cwd": cwd, "patterns": list(patterns),
        "copy_to": list(copy_to), "environment": {"REGISTRY_RUN_ID": run_id},
    }  # fmt: skip
    _insist(session, lambda: host.ask("start", spec))
    say(f"run {run_id} on {place}; it goes on there whatever happens here")
    return session


def _first_lines(
    address: str, declared: Declared, place: str, settings: HostSettings, run_id: str, name: str,
    facts: dict[str, Any], cwd: str,
) -> bytes:  # fmt: skip
    """Return the first lines of the journal: the start, as the other machine is, the suite, the data sets."""
    there = PurePosixPath(facts["tree"], cwd)
    start = describe_start(
        run_id,
        name=name,
        experiment=declared.experiment,
        command=declared.command,
        params=declared.params,
        tags=declared.tags,
        parent=declared.parent,
        cost_per_hour=declared.cost_per_hour if declared.cost_per_hour is not None else settings.cost_per_hour,
    )
    start = msgspec.structs.replace(
        start,
        at=facts["now"],
        cwd=str(there),
        host={"name": place, "node": facts["node"], "platform": facts["platform"], "python": facts["python"]},
        device={"cores": facts["cores"], **({"gpus": facts["gpus"]} if facts["gpus"] else {})},
        roots=[str(there / path) for path in _roots(declared) if str(path) != "."],
    )
    lines = [events.encode(start)]
    if declared.suite:
        lines.append(events.encode(events.Gates(at=time.time(), suite=declared.suite[0], text=declared.suite[1])))
    known = require_usable(address, declared.datasets, declared.experiment, allow=declared.allow_data)
    for reference in declared.datasets:
        data_name, _, version = reference.rpartition("@")
        found = known[reference]
        use = events.UseDataset(
            at=time.time(), name=data_name, version=version, digest=found.digest if found else None,
            override=declared.allow_data,
        )  # fmt: skip
        lines.append(events.encode(use))
    return b"".join(lines)


def _roots(declared: Declared) -> list[Path]:
    return [Path(root) for root in declared.roots] + [fixed_part(split_role(text)[1]) for text in declared.artifacts]


def _find(address: str, run_id: str, place: str, target: SshAddress, say: Say) -> Session:
    """Return the session of a run that was begun before. Raises NotFoundError."""
    folder = find_run_folder(places.runs_folder(address), run_id)
    if folder is None:
        raise NotFoundError(f"no run {run_id} in {places.runs_folder(address)}", hint="give its whole id")
    host = Host(target, folder.name)
    host.root = host.ask("facts")["root"]
    spec = host.ask("spec")
    return Session(
        place, address, run_id, host, Mirror(folder), say, tuple(spec["patterns"]), spec["cwd"], tuple(spec["copy_to"])
    )


# --- while it runs


def _insist(session: Session, work: Callable[[], Any]) -> Any:
    """Do something over a connection, again and again while the host cannot be reached."""
    for attempt in range(1_000_000_000):
        try:
            return work()
        except (CutOffError, UnreachableError) as error:
            wait_s = RETRY_S[min(attempt, len(RETRY_S) - 1)]
            why = error.message if isinstance(error, UnreachableError) else "the connection was lost"
            if attempt in (0, len(RETRY_S)):
                session.say(f"{why}; the run goes on there, trying again")
            time.sleep(wait_s)
    raise AssertionError


def _follow(session: Session) -> dict[str, Any]:
    """Mirror journal and output until the command has ended; return how. A signal is passed on, a second detaches."""
    asked: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        raise _SignalledError

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    passed_on = 0
    try:
        while True:
            try:
                if len(asked) > passed_on:
                    session.say(f"passing {signal.Signals(asked[0]).name} on; once more detaches")
                    _insist(session, lambda: session.host.ask("interrupt", {"signal": asked[0]}))
                    passed_on = 1
                return dict(_insist(session, lambda: _stream(session)))
            except _SignalledError:
                if len(asked) > 1:
                    session.say(f"it goes on there: registry run --host {session.place} --attach {session.run_id}")
                    raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _SignalledError(Exception):
    """Somebody wants this to end."""


def _stream(session: Session) -> dict[str, Any]:
    for kind, block in session.host.frames("follow", session.mirror.offsets()):
        if kind == "E":
            return dict(json.loads(block))
        session.mirror.take(kind, block)
    raise CutOffError("follow")


# --- when it has ended


def _finish(session: Session, ended: dict[str, Any]) -> tuple[int, list[str]]:
    """Fetch and compare what it made, write the end into the journal; returns the exit code and the problems."""
    artifacts, problems = _insist(session, lambda: _fetch(session))
    status, code, evidence = _ending(session, ended)
    lines = [events.encode(artifact) for artifact in artifacts]
    lines += [events.encode(events.Note(at=time.time(), text=words, level="warning")) for words in problems]
    lines.append(events.encode(events.End(at=time.time(), status=status, exit_code=code, evidence=evidence)))
    _insist(session, lambda: session.host.ask("finish", b"".join(lines)))
    _insist(session, lambda: _stream(session))
    return code if code is not None else 1, problems


def _ending(session: Session, ended: dict[str, Any]) -> tuple[str, int | None, str]:
    if "lost" in ended:
        return "crashed", None, f"the supervisor on {session.place} is gone and said nothing"
    code = int(ended["code"])
    if code < 0:
        return "killed", 128 - code, f"signal {signal.Signals(-code).name} on {session.place}"
    if code == 0:
        return "finished", 0, f"exit code 0 on {session.place}"
    said = ended.get("error") or (last_line(session.mirror.output) if session.mirror.output.exists() else "")
    return "failed", code, f"exit code {code}" + (f": {said}" if said else "")


def _fetch(session: Session) -> tuple[list[events.Artifact], list[str]]:
    """Bring here what was recorded there and what was declared, and compare every byte's digest."""
    recorded = _recorded(session)
    inside = {path: artifact for path, artifact in recorded.items() if not PurePosixPath(path).is_absolute()}
    problems = [
        f"{path} lies outside of {session.host.root}, so it was not fetched" for path in set(recorded) - set(inside)
    ]
    wanted = {"cwd": session.cwd, "patterns": [split_role(text)[1] for text in session.patterns], "also": list(inside)}
    there = session.host.ask("match", wanted)
    declared = {path: text for text in session.patterns for path in there["found"][split_role(text)[1]]}
    problems += [
        f"--artifact {split_role(text)[1]}: nothing there, so nothing was kept"
        for text in session.patterns
        if not there["found"][split_role(text)[1]]
    ]
    stored = {str(PurePosixPath(path).relative_to(session.host.root)): text for path, text in declared.items()}
    here = places.root_folder(session.address)
    present = {PurePosixPath(path).relative_to(session.host.root) for path in there["digests"]}
    missing = [path for path in inside if not any(file.is_relative_to(path) for file in present)]
    problems += [f"{path} was recorded and is not there any more" for path in missing if path not in stored]
    session.host.fetch(sorted({*inside, *stored} - set(missing)), here)
    problems += _differing(here, session.host.root, there["digests"])
    made = []
    for path, text in stored.items():
        if path in inside:
            continue
        try:
            made.append(_artifact(here, path, split_role(text)[0] or role_of(Path(path))))
        except HoldfastError as error:
            problems.append(f"--artifact {split_role(text)[1]}: {error}")
    for path, artifact in inside.items():
        if path not in missing and freeze(here / path).digest != artifact.digest:
            problems.append(f"{path} is not what was recorded there: it changed after it was hashed")
    return made, problems


def _recorded(session: Session) -> dict[str, events.Artifact]:
    """Return the newest artifact of each path in the journal."""
    found = {}
    for line in session.mirror.journal.read_bytes().splitlines():
        if line.startswith(b'{"t":"artifact"'):
            event = events.decode(line)
            assert isinstance(event, events.Artifact)
            found[event.path] = event
    return found


def _differing(here: Path, root: str, digests: dict[str, str]) -> list[str]:
    """Return a line for each file whose bytes here are not those there."""
    problems = []
    for path, digest in sorted(digests.items()):
        local = here / PurePosixPath(path).relative_to(root)
        if not local.is_file():
            problems.append(f"{path} did not arrive")
        elif local.stat().st_size and freeze(local).digest != digest:
            problems.append(f"{path} arrived as other bytes")
    return problems


def _artifact(here: Path, path: str, role: str) -> events.Artifact:
    frozen = freeze(here / path)
    return events.Artifact(
        at=time.time(),
        role=role,
        path=path,
        digest=frozen.digest,
        size_bytes=frozen.size_bytes,
        kind=frozen.kind,
        files=[events.ArtifactFile(file.path, file.digest, file.size_bytes) for file in frozen.files],
    )


def _release(session: Session, settings: HostSettings) -> bool:
    """Copy what was fetched to the remotes that were named, then ask the guard; returns whether it said no."""
    for remote in session.copy_to:
        if _registry(session, "copy", session.run_id, "--to", remote):
            return True
    if not settings.release:
        return False
    return bool(_registry(session, "guard", "--host", session.place, "--", *shlex.split(settings.release)))


def _registry(session: Session, *words: str) -> int:
    command = [sys.executable, "-m", "registry", "--db", session.address, *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL).returncode
