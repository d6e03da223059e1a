"""The kinds of check. Each looks at the records that its `split`, `where` and `at` choose."""

import hashlib
import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from registry.checks.engine import Findings, Outcome, Violation
from registry.checks.expression import MissingFieldError, Rule, RuleError
from registry.checks.records import DataFile, Record, normalised

MISSING = object()
MAX_SHOWN_LETTERS = 200


@dataclass(frozen=True)
class Selection:
    """Which records a check looks at, and at which part of them (`at` is a path such as `answer.items`)."""

    split: str = ""
    where: Rule | None = None
    at: tuple[str, ...] = ()

    def part(self, record: Record) -> Any:
        """Return the chosen part of a record, MISSING when it has none, None (the object) when it is not chosen."""
        if record.error or (self.split and record.split != self.split) or not self._chosen(record):
            return NOT_CHOSEN
        part = record.value
        for key in self.at:
            part = _inner(part)
            part = part.get(key, MISSING) if isinstance(part, Mapping) else MISSING
        return part

    def _chosen(self, record: Record) -> bool:
        if self.where is None:
            return True
        try:
            return self.where.holds(scope_of(record.value, record.value))
        except (MissingFieldError, RuleError):
            return False


NOT_CHOSEN = object()


def scope_of(part: Any, record: Any) -> dict[str, Any]:
    """Return the names a rule sees: the fields of the part, and `record` for the whole."""
    fields = dict(part) if isinstance(part, Mapping) else {"value": part}
    return {"record": record, **fields}


def _inner(part: Any) -> Any:
    """Return what a text holds when it is JSON itself (answers are often stored so)."""
    if not isinstance(part, str):
        return part
    try:
        return json.loads(part)
    except ValueError:
        return part


def shown(value: Any) -> Any:
    """Return a value as a report shows it: long texts and lists are cut, and say so."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= MAX_SHOWN_LETTERS else f"{text[:MAX_SHOWN_LETTERS]}… ({len(text)} characters)"


class JsonCheck:
    """Every record is JSON (with `at`: holds JSON there); with `may_be_empty` no record at all is as good."""

    def __init__(self, name: str, selection: Selection, *, may_be_empty: bool = False) -> None:
        self._findings = Findings(name, "json")
        self._selection = selection
        self._may_be_empty = may_be_empty

    def see(self, record: Record) -> None:
        """Look at one record."""
        if record.error and not self._selection.at:
            self._findings.n_checked += 1
            self._findings.add(record, record.error)
            return
        part = self._selection.part(record)
        if part is NOT_CHOSEN:
            return
        self._findings.n_checked += 1
        if part is MISSING:
            self._findings.add(record, f"no field {'.'.join(self._selection.at)}")
        elif self._selection.at and isinstance(part, str):
            try:
                json.loads(part)
            except ValueError as error:
                self._findings.add(record, f"not JSON: {error}", {self._selection.at[-1]: shown(part)})

    def finish(self, files: Sequence[DataFile]) -> Outcome:
        """Say what was found."""
        found = self._findings.outcome()
        return replace(found, verdict="pass", reason="") if self._may_be_empty and not found.n_checked else found


class SchemaCheck:
    """Every record satisfies a JSON Schema, chosen by a field of the record when there are several."""

    def __init__(self, name: str, selection: Selection, schemas: Mapping[str, Any], by: tuple[str, ...]) -> None:
        self._findings = Findings(name, "schema")
        self._selection = selection
        self._validators = {key: _validator(schema) for key, schema in schemas.items()}
        self._by = by

    def see(self, record: Record) -> None:
        """Look at one record."""
        part = _inner(self._selection.part(record))
        if part is NOT_CHOSEN:
            return
        self._findings.n_checked += 1
        if part is MISSING:
            self._findings.add(record, f"no field {'.'.join(self._selection.at)}")
            return
        key = str(field_of(record.value, self._by)) if self._by else ""
        validator = self._validators.get(key)
        if validator is None:
            self._findings.add(record, f"no schema for {'.'.join(self._by)} = {key!r}")
            return
        for error in validator.iter_errors(part):
            self._findings.add(record, error.message[:300], {error.json_path: shown(error.instance)})

    def finish(self, files: Sequence[DataFile]) -> Outcome:
        """Say what was found."""
        return self._findings.outcome()


def _validator(schema: Any) -> Any:
    import jsonschema

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    kind.check_schema(schema)
    return kind(schema, format_checker=kind.FORMAT_CHECKER)


def field_of(value: Any, path: Sequence[str]) -> Any:
    """Return the field at a path of a record, MISSING when there is none."""
    for key in path:
        value = _inner(value)
        value = value.get(key, MISSING) if isinstance(value, Mapping) else MISSING
    return value


class RelationCheck:
    """A rule between the fields of every record holds."""

    def __init__(self, name: str, selection: Selection, rule: Rule) -> None:
        self._findings = Findings(name, "relation")
        self._selection = selection
        self._rule = rule

    def see(self, record: Record) -> None:
        """Look at one record."""
        part = _inner(self._selection.part(record))
        if part is NOT_CHOSEN:
            return
        self._findings.n_checked += 1
        scope = scope_of(part, record.value)
        try:
            if not self._rule.holds(scope):
                self._findings.add(record, f"{self._rule.shown(scope)} does not hold", self._values(scope))
        except MissingFieldError as error:
            self._findings.add(record, f"no field {error}", self._values(scope))
        except RuleError as error:
            self._findings.add(record, str(error), self._values(scope))

    def _values(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        return {name: shown(scope[name]) for name in self._rule.fields if name in scope and name != "record"}

    def finish(self, files: Sequence[DataFile]) -> Outcome:
        """Say what was found."""
        return self._findings.outcome()


def _fingerprint(values: Sequence[Any], *, loosely: bool) -> bytes:
    texts = [normalised(value) if loosely else json.dumps(value, sort_keys=True, default=str) for value in values]
    return hashlib.blake2b("\x1f".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class UniqueCheck:
    """No two records have the same values of some fields (of no field: are the same)."""

    def __init__(self, name: str, selection: Selection, fields: Sequence[tuple[str, ...]]) -> None:
        self._findings = Findings(name, "unique")
        self._selection = selection
        self._fields = fields
        self._seen: dict[bytes, tuple[str, int]] = {}

    def see(self, record: Record) -> None:
        """Look at one record."""
        part = self._selection.part(record)
        if part is NOT_CHOSEN:
            return
        self._findings.n_checked += 1
        values = [field_of(part, path) for path in self._fields] or [part]
        if MISSING in values:
            self._findings.add(record, f"no field {'.'.join(self._fields[values.index(MISSING)])}")
            return
        first = self._seen.setdefault(_fingerprint(values, loosely=False), (record.file, record.number))
        if first != (record.file, record.number):
            named = {".".join(path): shown(value) for path, value in zip(self._fields, values, strict=False)}
            self._findings.add(record, f"the same as record {first[1]} of {first[0]}", named)

    def finish(self, files: Sequence[DataFile]) -> Outcome:
        """Say what was found."""
        return self._findings.outcome()


class LeakageCheck:
    """No record of one split is in another: word for word, or but for case, spacing and punctuation."""

    def __init__(
        self,
        name: str,
        selection: Selection,
        fields: Sequence[tuple[str, ...]],
        between: tuple[str, str],
        loosely: bool,
    ) -> None:
        self._findings = Findings(name, "leakage")
        self._selection = selection
        self._fields = fields
        self._between = between
        self._loosely = loosely
        self._known: dict[bytes, tuple[Record, bytes]] = {}
        self._asked: list[tuple[Record, bytes, bytes]] = []

    def see(self, record: Record) -> None:
        """Look at one record."""
        part = self._selection.part(record)
        if part is NOT_CHOSEN or record.split not in self._between:
            return
        values = [field_of(part, path) for path in self._fields] or [part]
        if MISSING in values:
            return
        exact = _fingerprint(values, loosely=False)
        key = _fingerprint(values, loosely=True) if self._loosely else exact
        light = Record(record.file, record.split, record.number, None)
        if record.split == self._between[0]:
            self._known.setdefault(key, (light, exact))
        else:
            self._asked.append((light, key, exact))

    def finish(self, files: Sequence[DataFile]) -> Outcome:
        """Say what was found."""
        splits = {file.split for file in files}
        absent = [split for split in self._between if split not in splits]
        self._findings.n_checked = len(self._asked)
        for record, key, exact in self._asked:
            if key in self._known:
                twin, twin_exact = self._known[key]
                how = "is" if exact == twin_exact else "is, but for case, spacing or punctuation,"
                self._findings.add(record, f"{how} record {twin.number} of {twin.file} ({twin.split})")
        return self._findings.outcome(unknown=f"the data set has no split {absent[0]!r}" if absent else "")


class _Counting:
    """Counts records by class and split."""

    def __init__(
        self, name: str, kind: str, selection: Selection, field: tuple[str, ...], classes: Sequence[str]
    ) -> None:
        self._findings = Findings(name, kind)
        self._selection = selection
        self._field = field
        self._declared = classes
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)

    def see(self, record: Record) -> None:
        """Look at one record."""
        part = self._selection.part(record)
        if part is NOT_CHOSEN:
            return
        self._findings.n_checked += 1
        value = field_of(part, self._field)
        if value is MISSING:
            self._findings.add(record, f"no field {'.'.join(self._field)}")
        else:
            self._counts[record.split][value if isinstance(value, str) else json.dumps(value)] += 1

    def _classes(self) -> list[str]:
        return sorted({*self._declared, *(name for counts in self._counts.values() for name in counts)})


class MinPerClassCheck(_Counting):
    """Every class has at least so many records in a split (in the whole set when none is named)."""

    def __init__(
        self, name: str, selection: Selection, field: tuple[str, ...], classes: Sequence[str], minimum: int, split: str
    ) -> None:
        super().__init__(name, "min_per_class", selection, field, classes)
        self._minimum = minimum
        self._split = split

    def finish(self, files: Sequence[DataFile]) -> Outcome:
        """Say what was found."""
        if self._split and self._split not in {file.split for file in files}:
            return self._findings.outcome(unknown=f"the data set has no split {self._split!r}")
        for name in self._classes():
            count = sum(counts[name] for split, counts in self._counts.items() if self._split in ("", split))
            if count < self._minimum:
                where = f" in {self._split}" if self._split else ""
                message = f"{name} has {count} records{where}, fewer than {self._minimum}"
                self._findings.add_violation(Violation("", None, message, {"class": name, "count": count}))
        return self._findings.outcome()


class DistributionCheck(_Counting):
    """The share of every class in one split is within a factor of its share in another."""

    def __init__(
        self, name: str, selection: Selection, field: tuple[str, ...], between: tuple[str, str], max_ratio: float
    ) -> None:
        super().__init__(name, "distribution", selection, field, ())
        self._between = between
        self._max_ratio = max_ratio

    def finish(self, files: Sequence[DataFile]) -> Outcome:
        """Say what was found."""
        counts = [self._counts[split] for split in self._between]
        totals = [sum(count.values()) for count in counts]
        if 0 in totals:
            return self._findings.outcome(unknown=f"the split {self._between[totals.index(0)]!r} has no records")
        for name in self._classes():
            shares = [count[name] / total for count, total in zip(counts, totals, strict=True)]
            low, high = sorted(shares)
            if high > 0 and high > low * self._max_ratio:
                ratio = f"{shares[0] / shares[1]:.3g}" if shares[1] else "infinite"
                said = " and ".join(f"{s:.2%} of {split}" for s, split in zip(shares, self._between, strict=True))
                message = f"{name} is {said}: a ratio of {ratio}, beyond {self._max_ratio:g}"
                values = {"class": name, **{f"n_{s}": c[name] for s, c in zip(self._between, counts, strict=True)}}
                self._findings.add_violation(Violation("", None, message, values))
        return self._findings.outcome()


class CommandCheck:
    """A user's own program: its exit code is the verdict, its JSON lines are the violations.

    It is given the paths of the files as arguments. A violation is a line
    `{"record": 3, "file": "…", "message": "…", "values": {…}}`; lines that are no JSON object are its own talk.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path, timeout_s: float) -> None:
        self._findings = Findings(name, "command")
        self._command = list(command)
        self._folder = folder
        self._timeout_s = timeout_s

    def see(self, record: Record) -> None:
        """Count one record."""
        self._findings.n_checked += 1

    def finish(self, files: Sequence[DataFile]) -> Outcome:
        """Run the program and say what it found."""
        paths = [str(file.path.resolve()) for file in files]
        try:
            done = subprocess.run(
                [*self._command, *paths],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return self._findings.outcome(unknown=f"no answer within {self._timeout_s:g} s")
        except OSError as error:
            return self._findings.outcome(unknown=f"{self._command[0]}: {error.strerror or error}")
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            self._note(line)
        self._findings.n_checked = max(self._findings.n_checked, 1)
        if done.returncode and not self._findings.n_violations:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            message = f"exit code {done.returncode}{f': {said[-1][:300]}' if said else ''}"
            self._findings.add_violation(Violation("", None, message))
        return self._findings.outcome()

    def _note(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if isinstance(said, dict):
            number = said.get("record")
            self._findings.add_violation(
                Violation(
                    file=str(said.get("file", "")),
                    record=number if isinstance(number, int) else None,
                    message=str(said.get("message", "violation")),
                    values=said["values"] if isinstance(said.get("values"), dict) else {},
                )
            )
