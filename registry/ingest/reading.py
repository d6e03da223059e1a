"""One transaction of the engine: the next bytes of one run's files become records, roles, points and a status.

Either all of it is committed (points, where they stand, cursors, parser states) or nothing.
"""

import json
import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text as sql
from sqlmodel import Session, select

from registry import clock, events
from registry.database import Database
from registry.ingest import origins, status
from registry.ingest.cursors import Packed, continues, open_cursors, set_fingerprint
from registry.ingest.decode import MAX_LINE_BYTES, encoding_of
from registry.ingest.discover import Found
from registry.ingest.doubts import Summary, doubts
from registry.ingest.fileformat import FileFormat
from registry.ingest.formats.files import FILE_FORMATS, TEXT, read_text, trust_of
from registry.ingest.grammar import LineFormat
from registry.ingest.group import Candidate, Source, family_of
from registry.ingest.identify import BINARY, HEAD_BYTES, identify
from registry.ingest.jsontext import printable
from registry.ingest.merge import MAX_NAME_CHARS, Holder, Roles
from registry.ingest.records import Identity, Inputs, Pointer, Record, Remark, State, Values
from registry.ingest.replay import Stored, unseen
from registry.ingest.runs import run_id_of
from registry.ingest.users import formats_for
from registry.projection import Projector
from registry.tables import LogCursor, MetricSeries, Param, RunRow

CHUNK_BYTES = 1 << 20
_LAST_NUMBER = re.compile(r"\.(\d+)\D*$")


class Rebuild(Exception):
    """The run was recorded under roles that no longer hold: take it back and read it anew under these."""

    def __init__(self, roles: Packed) -> None:
        super().__init__("read anew")
        self.roles = roles


class _File:
    """One file of the run during this transaction."""

    def __init__(self, source: Source, found: Found, cursor: LogCursor) -> None:
        self.source = source
        self.found = found
        self.cursor = cursor
        self.state: State = json.loads(cursor.state)
        self.grew = False

    @property
    def facts(self) -> State:
        """What the file says of the run's end and inputs."""
        return self.state.setdefault("facts", {})  # type: ignore[no-any-return]

    def is_done(self) -> bool:
        """Return whether the file was read to its end as it is now."""
        cursor = self.cursor
        return (cursor.size_bytes, cursor.mtime_ns, cursor.device, cursor.inode) == self.found.token

    def read(self, offset: int, n_bytes: int) -> bytes:
        with open(self.found.path, "rb") as stream:
            stream.seek(offset)
            return stream.read(n_bytes)


class Reading:
    """Reads on in the files of one run, inside the caller's transaction."""

    def __init__(
        self,
        session: Session,
        db: Database,
        candidate: Candidate,
        found: dict[str, Found],
        root: Path,
        user_formats: list[tuple[str, LineFormat]],
        source: str,
    ) -> None:
        self.session = session
        self.db = db
        self.candidate = candidate
        self.found = found
        self.root = root
        self.user_formats = user_formats
        self.source = source
        self.projector = Projector(session, is_sqlite=db.is_sqlite)
        self.created = False
        self.is_running = False
        self.n_points = 0
        self.run_id = run_id_of(candidate.foreign_id)
        self._batch: list[events.AnyEvent] = []
        self._offsets: dict[str, dict[int, list[int]]] = {}

    def run(self, *, at_rest: bool) -> bool:
        """Read up to about CHUNK_BYTES and return whether there is more. Raises Rebuild to have the run read anew."""
        self.files = self._open_files()
        if not self.files:
            return False
        self._inputs_before = self._inputs()
        self.roles = Roles(
            [self._holder(file) for file in self.files],
            {file.cursor.path: json.loads(file.cursor.roles) for file in self.files},
        )
        more = self._read_files()
        if not more and at_rest:
            self._settle()
        self._finish(at_rest=at_rest and not more)
        return more

    def _open_files(self) -> list[_File]:
        cursors = open_cursors(self.session, self.candidate, self.found)
        if cursors is None:
            return []
        run_ids = {cursor.run_id for cursor in cursors if cursor.run_id}
        if run_ids:
            self.run_id = min(run_ids)
        files = [
            _File(source, self.found[source.path], cursor)
            for source, cursor in zip(self.candidate.sources, cursors, strict=True)
        ]
        for file in files:
            self._format_of(file)
        return files

    def _holder(self, file: _File) -> Holder:
        name = os.path.basename(file.source.path)
        label = "tensorboard" if "tfevents" in name else name.split(".", 1)[0]
        trust = trust_of(file.cursor.format or file.source.kind, name)
        return Holder(file.cursor.path, label, trust, family_of(file.source.path))

    # --- reading

    def _read_files(self) -> bool:
        budget = CHUNK_BYTES
        for file in self.files:
            if file.is_done():
                continue
            if budget <= 0:
                return True
            n_read, more = self._read_file(file, budget)
            budget -= n_read
            if more:
                return True
        return False

    def _read_file(self, file: _File, budget: int) -> tuple[int, bool]:
        """Read one file on; returns the bytes read and whether there are more that make whole lines."""
        form = self._format_of(file)
        if form is None:
            self._mark_done(file)
            return 0, False
        if form.whole:
            return self._read_whole(file, form)
        cursor = file.cursor
        if cursor.offset > 0 and not continues(cursor, file.found):
            self._begin_generation(file, form)
        elif file.state.pop("took_tail", False) and file.read(cursor.offset, 1) not in (b"", b"\n", b"\r"):
            self.roles.rebuild = True
            self._raise_if_rebuild()
        started_at = cursor.offset
        buffer = file.read(cursor.offset, max(budget, CHUNK_BYTES))
        records, consumed = form.read(file.state, buffer, cursor.offset, last=False)
        if consumed == 0 and CHUNK_BYTES <= len(buffer) < MAX_LINE_BYTES:
            buffer = file.read(cursor.offset, MAX_LINE_BYTES)
            records, consumed = form.read(file.state, buffer, cursor.offset, last=False)
        if consumed == 0 and len(buffer) >= MAX_LINE_BYTES:
            records, consumed = [Remark(f"a line of over {MAX_LINE_BYTES} bytes was left out", "warning")], len(buffer)
            file.state["in_long_line"] = True
        cursor.offset += consumed
        file.grew = bool(cursor.read_at) and consumed > 0
        cursor.read_at = clock.now()
        self._route(file, records)
        if consumed == 0 or cursor.offset >= file.found.size:
            self._mark_done(file)
            return len(buffer), False
        cursor.size_bytes = -1
        self._fingerprint(file)
        return cursor.offset - started_at, True

    def _read_whole(self, file: _File, form: FileFormat) -> tuple[int, bool]:
        name = os.path.basename(file.source.path)
        buffer = file.read(0, file.found.size)
        state: State = {**form.start(name), "name": name, "metric": file.source.metric, "replay": {}}
        records, consumed = form.read(state, buffer, 0, last=True)
        if consumed or not file.state:
            file.state = state
            file.cursor.offset = consumed
            self._route(file, records)
        file.cursor.read_at = clock.now()
        self._mark_done(file)
        return len(buffer), False

    def _format_of(self, file: _File) -> FileFormat | None:
        """Return the file's format, identified by its first bytes where that is not yet known."""
        cursor, source = file.cursor, file.source
        name = os.path.basename(source.path)
        if not cursor.format:
            kind = source.kind
            if not kind or kind == "text":
                kind = identify(source.path, file.read(0, HEAD_BYTES)) or ""
            if not kind:
                return None
            cursor.format = kind
        form = FILE_FORMATS.get(cursor.format)
        if form is None or cursor.format == BINARY:
            return None
        if form is TEXT and (extra := formats_for(name, self.user_formats)):
            form = replace(TEXT, read=partial(read_text, extra=extra))
        cursor.format_version = form.version
        if "name" not in file.state:
            file.state = {**form.start(name), "name": name, "metric": source.metric, "facts": file.facts}
            file.state["encoding"] = encoding_of(file.read(0, 4096))
            if file.cursor.format == "text":
                file.state["rank"] = source.rank
        return form

    def _begin_generation(self, file: _File, form: FileFormat) -> None:
        """The file was truncated or replaced: read it from its start, and pass over the values that are known."""
        name = os.path.basename(file.source.path)
        file.cursor.offset, file.cursor.generation = 0, file.cursor.generation + 1
        file.state = {**form.start(name), "name": name, "metric": file.source.metric, "replay": {}}
        file.state["encoding"] = encoding_of(file.read(0, 4096))

    def _mark_done(self, file: _File) -> None:
        cursor, found = file.cursor, file.found
        cursor.size_bytes, cursor.mtime_ns, cursor.device, cursor.inode = found.token
        cursor.settled = False
        self._fingerprint(file)

    def _fingerprint(self, file: _File) -> None:
        if file.cursor.format not in ("", BINARY):
            set_fingerprint(file.cursor, file.found.path)

    # --- records

    def _route(self, file: _File, records: list[Record]) -> None:
        """Put values under the names that their file's roles give them; keep what else is said as facts."""
        name = os.path.basename(file.source.path)
        routed: list[Values] = []
        group: list[Values] = []
        plain: dict[tuple[str, ...], bool] = {}
        for record in records:
            if type(record) is Values:
                group.append(record)
                if file.source.rank == 0 and (values := self._routed(file, record, plain)) is not None:
                    routed.append(values)
                continue
            status.fold_values(file.facts, group)
            group = []
            if type(record) is Inputs:
                file.facts.setdefault("inputs", {}).update(_plain(record.values))
            elif type(record) is Identity:
                file.facts["identity"] = {
                    key: value for key in record.__struct_fields__ if (value := getattr(record, key))
                }
            elif type(record) is Pointer:
                pointers = file.facts.setdefault("pointers", [])
                if [record.role, record.place, record.step] not in pointers:
                    pointers.append([record.role, record.place, record.step])
            elif type(record) is Remark:
                file.facts.setdefault("remarks", {})[record.text] = record.level
            else:
                status.fold(file.facts, record, name)
        status.fold_values(file.facts, group)
        replay = file.state.get("replay")
        if replay is not None and routed:
            routed = unseen(replay, routed, self._stored)
        self._post(file, routed)

    def _routed(self, file: _File, record: Values, plain: dict[tuple[str, ...], bool]) -> Values | None:
        """Return a record under the names that the roles give; `plain` keeps which kinds of them stay as they are."""
        kind = (record.axis, *record.values)
        stays = plain.get(kind)
        if stays:
            return record
        values = self._by_role(file, record)
        if stays is None:
            plain[kind] = values == record.values
        return Values(record.offset, values, record.step, record.at, record.axis) if values else None

    def _by_role(self, file: _File, record: Values) -> dict[str, float]:
        path, prefix = file.cursor.path, file.source.prefix
        kept: dict[str, float] = {}
        for name, value in record.values.items():
            role = self.roles.role(path, prefix + name, record.axis)
            if role.kind in ("own", "as"):
                kept[role.target] = value
            elif record.step is not None and role.wants_more():
                role.waiting.append([record.step, value])
        return kept

    def _post(self, file: _File, routed: list[Values]) -> None:
        if not routed:
            return
        mtime = file.found.mtime_ns / 1e9
        self._begin_run(routed[0].at or mtime)
        cursor_id = self._cursor_id(file.cursor)
        offsets = self._offsets
        for values in routed:
            self._batch.append(events.Metrics(at=values.at or mtime, v=values.values, s=values.step))  # type: ignore[arg-type]
            for name in values.values:
                by_file = offsets.get(name)
                if by_file is None:
                    by_file = offsets[name] = {}
                at_offsets = by_file.get(cursor_id)
                if at_offsets is None:
                    at_offsets = by_file[cursor_id] = []
                at_offsets.append(values.offset)

    def _stored(self, name: str) -> Stored:
        return Stored(self.session, self.run_id, name)

    def _cursor_id(self, cursor: LogCursor) -> int:
        if cursor.id is None:
            self.session.add(cursor)
            self.session.flush()
        assert cursor.id is not None
        return cursor.id

    # --- the run

    def _begin_run(self, at: float) -> None:
        """Make the run's row, once."""
        if self.created or self.session.get(RunRow, self.run_id) is not None:
            return
        self.created = True
        self._start(at)

    def _identity(self) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for file in reversed(self.files):
            said.update(file.facts.get("identity", {}))
        return said

    def _start(self, at: float) -> None:
        said = self._identity()
        self.files[0].facts["started_as"] = said
        firsts = [file.facts["first_at"] for file in self.files if file.facts.get("first_at")]
        started_at = said.get("started_at") or min([at, *firsts])
        event = events.Start(
            at=started_at,
            run=self.run_id,
            name=said.get("name") or self.candidate.name,
            experiment=said.get("experiment") or self.candidate.experiment or _folder_name(self.root) or "default",
            params=self._inputs(),
            command=said.get("command", []),
            cwd=self.candidate.key if os.path.isdir(self.candidate.key) else os.path.dirname(self.candidate.key),
            git=said.get("git"),
            host={"name": said["host"]} if said.get("host") else {},
            tags=said.get("tags", []),
            source=self.source,
            foreign_id=self.candidate.foreign_id,
        )
        self.projector.apply(self.run_id, [event])

    def _inputs(self) -> dict[str, Any]:
        inputs: dict[str, Any] = {}
        for file in reversed(self.files):
            inputs.update(file.facts.get("inputs", {}))
        return inputs

    # --- at rest

    def _settle(self) -> None:
        for file in self.files:
            form = self._format_of(file)
            if form is None or form.whole:
                continue
            if file.cursor.offset < file.found.size and form.torn_tail:
                self._take_tail(file, form)
            self._route(file, list(form.settle(file.state)))
            file.cursor.settled = True

    def _take_tail(self, file: _File, form: FileFormat) -> None:
        """Take an unterminated last line of a file that nobody writes, if nothing of it seems to be missing."""
        tail = file.read(file.cursor.offset, file.found.size - file.cursor.offset)
        if file.state.get("in_long_line") or _seems_torn(tail, file.state.get("recent", "")):
            return
        records, consumed = form.read(file.state, tail, file.cursor.offset, last=True)
        file.cursor.offset += consumed
        file.state["took_tail"] = True
        self._fingerprint(file)
        self._route(file, records)

    # --- commit

    def _finish(self, *, at_rest: bool) -> None:
        self._raise_if_rebuild()
        for file in self.files:
            self.session.add(file.cursor)
        if self._batch:
            self.n_points = self.projector.apply(self.run_id, self._batch)
        if not self._is_run():
            self._save()
            return
        self._begin_run(min(file.found.mtime_ns for file in self.files) / 1e9)
        self._update_run()
        self.projector.flush()
        self._write_origins()
        self._compare_echoes()
        if at_rest:
            self.roles.settle()
            self._raise_if_rebuild()
            self._tell_of_numbers()
        self._raise_if_rebuild()
        self._save()
        for file in self.files:
            file.cursor.run_id = self.run_id

    def _is_run(self) -> bool:
        """Return whether the files make a run: points, a folder that only runs have, or a training that failed."""
        if self._batch or self.candidate.certain or self.session.get(RunRow, self.run_id) is not None:
            return True
        return any(
            (file.facts.get("end") or {}).get("status") in ("failed", "killed") and file.state.get("speaks")
            for file in self.files
        )

    def _raise_if_rebuild(self) -> None:
        if self.roles.rebuild:
            raise Rebuild({file.cursor.path: self.roles.packed(file.cursor.path) for file in self.files})

    def _save(self) -> None:
        for file in self.files:
            file.cursor.state = json.dumps(file.state)
            file.cursor.roles = json.dumps(self.roles.packed(file.cursor.path))

    def _update_run(self) -> None:
        row = self.session.get(RunRow, self.run_id)
        assert row is not None
        if self.files[0].facts.get("started_as", {}) != self._identity():
            self._start(row.started_at or clock.now())
        self._apply_inputs()
        for file in self.files:
            total = file.facts.get("totals", {}).get("step")
            if total is not None:
                row.total_steps = total
            self._apply_remarks(file)
        newest = max(file.found.mtime_ns for file in self.files) / 1e9
        standing = self._judge(row, newest)
        self.is_running = standing.status == "running"
        if standing.status != row.status or (standing.evidence != row.evidence and standing.status != "running"):
            if standing.status in events.END_STATUSES:
                last_at = max(
                    [file.facts["last_at"] for file in self.files if file.facts.get("last_at")], default=newest
                )
                end = events.End(at=last_at, status=standing.status, evidence=standing.evidence)
                self.projector.apply(self.run_id, [end])
            else:
                row.status, row.evidence, row.ended_at = standing.status, standing.evidence, None

    def _apply_inputs(self) -> None:
        """Record the parameters that changed, and take out those that a rewritten file no longer has."""
        inputs = self._inputs()
        changed = {key: value for key, value in inputs.items() if self._inputs_before.get(key, inputs) != value}
        if changed:
            self.projector.apply(self.run_id, [events.Params(at=clock.now(), values=changed)])
        for key in self._inputs_before.keys() - inputs.keys():
            gone = self.session.get(Param, (self.run_id, key))
            if gone is not None:
                self.session.delete(gone)

    def _tell_of_numbers(self) -> None:
        """Note what a person should know of the series: repeated in two files, different in two, or doubtful."""
        for file in self.files:
            roles = self.roles.table[file.cursor.path]
            repeated = sorted(name for name, role in roles.items() if role.kind == "echo" and role.checked)
            apart = sorted(role.target for role in roles.values() if role.kind == "as")
            if repeated:
                self._tell(file, f"repeats {', '.join(repeated)} of another file of the run; recorded once")
            if apart:
                self._tell(
                    file, f"differs from another file of the run, so it is kept apart: {', '.join(apart)}", "warning"
                )
        query = select(MetricSeries).where(MetricSeries.run_id == self.run_id)
        found = [
            Summary(row.name, row.count, row.non_finite, row.first_value, row.last_value, row.min_value)
            for row in self.session.exec(query)
        ]
        for words in doubts(found):
            self._tell(self.files[0], words, "warning")
        self.projector.flush()

    def _tell(self, file: _File, words: str, level: str = "info") -> None:
        """Note something on the run, once."""
        told = file.facts.setdefault("told", [])
        if words not in told:
            told.append(words)
            note = events.Note(at=clock.now(), level=level, text=f"{os.path.basename(file.source.path)}: {words}")
            self.projector.apply(self.run_id, [note])

    def _apply_remarks(self, file: _File) -> None:
        for words, level in file.facts.get("remarks", {}).items():
            self._tell(file, words, level)

    def _judge(self, row: RunRow, newest: float) -> status.Standing:
        facts = {os.path.basename(file.source.path): file.facts for file in self.files}
        longest = max(self.files, key=lambda file: int(file.facts.get("n", 0))).facts
        interval_s = None
        if longest.get("n", 0) > 1 and "first_at" in longest:
            interval_s = (longest["last_at"] - longest["first_at"]) / (longest["n"] - 1)
        now = clock.now()
        return status.judge(
            facts,
            quiet_s=now - newest,
            interval_s=interval_s,
            growing=any(file.grew for file in self.files),
            was_running=not self.created and row.status in ("running", "stalled"),
            now=now,
        )

    def _write_origins(self) -> None:
        if not self._offsets:
            return
        query = select(MetricSeries.name, MetricSeries.id, MetricSeries.count).where(MetricSeries.run_id == self.run_id)
        stretches = []
        for name, series_id, count in self.session.exec(query):
            by_file = self._offsets.get(name)
            if by_file is None or series_id is None:
                continue
            seq = count - sum(map(len, by_file.values()))
            for cursor_id, offsets in by_file.items():
                stretches.append(origins.Stretch(series_id, seq, cursor_id, offsets))
                seq += len(offsets)
        origins.append(self.session, stretches)

    def _compare_echoes(self) -> None:
        for file in self.files:
            for name, role in list(self.roles.table[file.cursor.path].items()):
                if role.kind == "echo" and role.waiting:
                    owner, last_step = self._owner(role.target, [step for step, _value in role.waiting])
                    self.roles.compare(file.cursor.path, name, owner, last_step)

    def _owner(self, name: str, steps: list[int]) -> tuple[dict[int, list[float | None]], int | None]:
        """Return the recorded values of a series at these steps, and its last step."""
        found: dict[int, list[float | None]] = {}
        series = self.session.exec(
            select(MetricSeries.id, MetricSeries.last_step).where(
                MetricSeries.run_id == self.run_id, MetricSeries.name == name
            )
        ).first()
        if series is None:
            return found, None
        low, high = min(steps), max(steps)
        rows = self.session.connection().execute(
            sql("SELECT step, value FROM metric_point WHERE series_id = :id AND step BETWEEN :low AND :high"),
            {"id": series[0], "low": low, "high": high},
        )
        for step, value in rows:
            found.setdefault(step, []).append(value)
        return found, series[1]


def _folder_name(root: Path) -> str:
    return root.parent.name if root.is_file() else root.name


def _plain(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as the record can hold them."""
    return {
        printable(str(key))[:MAX_NAME_CHARS]: printable(value) if isinstance(value, str) else value
        for key, value in inputs.items()
    }


def _seems_torn(tail: bytes, recent: str) -> bool:
    """Return whether an unterminated line may lack its end: an open object, or a last number with fewer decimals."""
    text = tail.decode("utf-8", "replace").rstrip()
    if text.lstrip().startswith(("{", "[")) or "{'" in text:
        return not text.endswith(("}", "]"))
    here, before = _LAST_NUMBER.search(text), _LAST_NUMBER.search(recent)
    return bool(before) and (here is None or len(here[1]) < len(before[1])) if before else False
