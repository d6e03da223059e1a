"""Checks declared in a TOML file of `[[check]]` tables; a check that could be misread is refused."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.checks.engine import Check
from registry.checks.expression import Rule, compile_rule
from registry.checks.kinds import (
    CommandCheck,
    DistributionCheck,
    JsonCheck,
    LeakageCheck,
    MinPerClassCheck,
    RelationCheck,
    SchemaCheck,
    Selection,
    UniqueCheck,
)
from registry.declared import Declared, Place
from registry.errors import UsageError

_COMMON = ("name", "kind", "split", "where", "at")
_KEYS: dict[str, tuple[str, ...]] = {
    "json": (),
    "schema": ("schema", "schemas", "by"),
    "relation": ("rule",),
    "unique": ("fields",),
    "leakage": ("fields", "between", "normalise"),
    "min_per_class": ("field", "minimum", "classes"),
    "distribution": ("field", "between", "max_ratio"),
    "command": ("command", "timeout_s"),
}


@dataclass(frozen=True)
class Declaration:
    """One declared check; `make` gives a fresh one for each validation."""

    name: str
    kind: str
    make: Callable[[], Check]


@dataclass(frozen=True)
class CheckSuite:
    """The declared checks of a data set."""

    declarations: tuple[Declaration, ...]

    def make(self) -> list[Check]:
        """Return fresh checks, one that every record can be read among them.

        Where only commands are declared, files that hold no records (arrays, pictures) are theirs to judge.
        """
        checks = [declaration.make() for declaration in self.declarations]
        kinds = {declaration.kind for declaration in self.declarations}
        if "json" not in kinds:
            checks.insert(0, JsonCheck("every record can be read", Selection(), may_be_empty=kinds == {"command"}))
        return checks


def built_in(splits: Sequence[str]) -> CheckSuite:
    """Return the checks of a data set that declares none: records can be read, and no test record was trained on."""
    declarations = [
        Declaration("every record can be read", "json", lambda: JsonCheck("every record can be read", Selection()))
    ]
    if "train" in splits:
        for split in sorted({"test", "val"} & set(splits)):
            name, between = f"no {split} record in train", ("train", split)
            declarations.append(
                Declaration(
                    name,
                    "leakage",
                    lambda name=name, between=between: LeakageCheck(name, Selection(), (), between, False),  # type: ignore[misc]
                )
            )
    return CheckSuite(tuple(declarations))


def parse_checks(text: str, source: str, folder: Path) -> CheckSuite:
    """Return the checks that a TOML text declares; files it names are looked for in `folder`.

    Raises UsageError that says where and what is wrong.
    """
    file = Declared(text, source)
    file.known(file.tables, ("check",), Place())
    reader = _Reader(file, folder)
    declarations = tuple(reader.check(*item) for item in file.items("check"))
    if not declarations:
        raise file.wrong("declares no check", Place(), hint="write [[check]] tables")
    file.unique([declaration.name for declaration in declarations], "check")
    return CheckSuite(declarations)


@dataclass(frozen=True)
class _Reader:
    file: Declared
    folder: Path

    def check(self, table: dict[str, Any], place: Place) -> Declaration:
        """Return one declared check. Raises UsageError."""
        kind = self.file.choice(table, "kind", tuple(_KEYS), place)
        if kind is None:
            raise self.file.wrong("has no kind", place, hint=f"one of {', '.join(_KEYS)}")
        self.file.known(table, (*_COMMON, *_KEYS[kind]), place)
        name = self.file.text(table, "name", place) or f"{kind} {place.number}"
        make = getattr(self, f"_{kind}")(name, table, place)
        return Declaration(name, kind, make)

    # --- one method a kind

    def _json(self, name: str, table: dict[str, Any], place: Place) -> Callable[[], Check]:
        selection = self._selection(table, place)
        return lambda: JsonCheck(name, selection)

    def _schema(self, name: str, table: dict[str, Any], place: Place) -> Callable[[], Check]:
        selection, by = self._selection(table, place), self._path(table, "by", place)
        if ("schema" in table) == ("schemas" in table) or bool(by) != ("schemas" in table):
            hint = 'schema = "FILE" (or a table), or schemas = "FOLDER" with by = "FIELD"'
            raise self.file.wrong("needs one schema, or a folder of them", place, hint=hint)
        schemas = self._schemas(table, place)
        make: Callable[[], Check] = lambda: SchemaCheck(name, selection, schemas, by)  # noqa: E731
        self._try(make, place, "schema")
        return make

    def _relation(self, name: str, table: dict[str, Any], place: Place) -> Callable[[], Check]:
        selection, rule = self._selection(table, place), self._rule(table, "rule", place)
        if rule is None:
            raise self.file.wrong("has no rule", place, hint='for example rule = "abs(net + tax - total) < 0.02"')
        return lambda: RelationCheck(name, selection, rule)

    def _unique(self, name: str, table: dict[str, Any], place: Place) -> Callable[[], Check]:
        selection, fields = self._selection(table, place), self._paths(table, "fields", place)
        return lambda: UniqueCheck(name, selection, fields)

    def _leakage(self, name: str, table: dict[str, Any], place: Place) -> Callable[[], Check]:
        selection, fields = self._selection(table, place), self._paths(table, "fields", place)
        between, loosely = self._between(table, place), self.file.flag(table, "normalise", place, True)
        return lambda: LeakageCheck(name, selection, fields, between, loosely)

    def _min_per_class(self, name: str, table: dict[str, Any], place: Place) -> Callable[[], Check]:
        field, classes = self._field(table, place), self.file.words(table, "classes", place)
        minimum, split = self.file.count(table, "minimum", place, 1), self.file.text(table, "split", place)
        selection = Selection("", self._rule(table, "where", place), self._path(table, "at", place))
        return lambda: MinPerClassCheck(name, selection, field, classes, minimum, split)

    def _distribution(self, name: str, table: dict[str, Any], place: Place) -> Callable[[], Check]:
        selection, field, between = (
            self._selection(table, place),
            self._field(table, place),
            self._between(table, place),
        )
        max_ratio = self.file.number(table, "max_ratio", place)
        if max_ratio < 1:
            raise self.file.wrong(f"has max_ratio = {max_ratio:g}", place, "max_ratio", hint="write 1 or more")
        return lambda: DistributionCheck(name, selection, field, between, max_ratio)

    def _command(self, name: str, table: dict[str, Any], place: Place) -> Callable[[], Check]:
        command = self.file.words(table, "command", place)
        timeout_s = self.file.number(table, "timeout_s", place) if "timeout_s" in table else 600.0
        if not command:
            raise self.file.wrong("has no command", place, hint='command = ["python", "check.py"]')
        return lambda: CommandCheck(name, command, self.folder, timeout_s)

    # --- values

    def _selection(self, table: dict[str, Any], place: Place) -> Selection:
        return Selection(
            self.file.text(table, "split", place), self._rule(table, "where", place), self._path(table, "at", place)
        )

    def _rule(self, table: dict[str, Any], key: str, place: Place) -> Rule | None:
        text = self.file.text(table, key, place)
        if not text:
            return None
        try:
            return compile_rule(text)
        except UsageError as error:
            raise self.file.wrong(f"has a wrong {error.message}", place, key, hint=error.hint) from None

    def _path(self, table: dict[str, Any], key: str, place: Place) -> tuple[str, ...]:
        text = self.file.text(table, key, place)
        return tuple(text.split(".")) if text else ()

    def _paths(self, table: dict[str, Any], key: str, place: Place) -> list[tuple[str, ...]]:
        return [tuple(word.split(".")) for word in self.file.words(table, key, place)]

    def _field(self, table: dict[str, Any], place: Place) -> tuple[str, ...]:
        path = self._path(table, "field", place)
        if not path:
            raise self.file.wrong("names no field", place, hint='field = "label"')
        return path

    def _between(self, table: dict[str, Any], place: Place) -> tuple[str, str]:
        words = self.file.words(table, "between", place) or ("train", "test")
        if len(words) != 2:
            raise self.file.wrong("needs two splits", place, "between", hint='between = ["train", "test"]')
        return words[0], words[1]

    def _schemas(self, table: dict[str, Any], place: Place) -> Mapping[str, Any]:
        if isinstance(table.get("schema"), dict):
            return {"": table["schema"]}
        if "schema" in table:
            return {"": self._read_json(self.folder / self.file.text(table, "schema", place), place)}
        folder = self.folder / self.file.text(table, "schemas", place)
        found = {path.stem: self._read_json(path, place) for path in sorted(folder.glob("*.json"))}
        if not found:
            raise self.file.wrong(f"finds no schema in {folder}", place, "schemas")
        return found

    def _read_json(self, path: Path, place: Place) -> Any:
        try:
            return json.loads(path.read_bytes())
        except OSError as error:
            raise self.file.wrong(f"cannot read {path}: {error.strerror}", place, "schema") from None
        except ValueError as error:
            raise self.file.wrong(f"reads {path}, which is not JSON: {error}", place, "schema") from None

    def _try(self, make: Callable[[], Check], place: Place, key: str) -> None:
        import jsonschema

        try:
            make()
        except jsonschema.SchemaError as error:
            raise self.file.wrong(f"has a wrong schema: {error.message[:200]}", place, key) from None
