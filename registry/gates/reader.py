"""Gate suites read from TOML: every key, word and number is checked before a suite is believed."""

import difflib
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from registry.declared import Declared, Place
from registry.errors import NotFoundError, UsageError
from registry.events import BASES, GOALS
from registry.gates.suite import BASELINE, CHANGES, COMPARISONS, PLACES, Baseline, Control, Gate, Stage, Suite

SUITES_FOLDER = Path(__file__).parent.parent / "suites"

_SUITE_KEYS = ("name", "description", "defaults", "gate", "stage", "control", "baseline")
_DEFAULT_KEYS = ("on", "basis", "required", "interval", "split", "controls")
_GATE_KEYS = (
    "name", "metric", "op", "threshold", *CHANGES, "against", "stage", "split", "on", "basis", "goal", "required",
    "advisory", "interval", "controls", "why",
)  # fmt: skip
_STAGE_KEYS = ("name", "set", "max_retries", "retry", "fallback")
_CONTROL_KEYS = ("name", "must", "command", "why")
_BASELINE_KEYS = ("name", "why")
CHANGE_PATTERN = re.compile(r"([+\-*])\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
"""A retry's change of a param: `+0.05`, `-0.1`, `*2`."""


def shipped_suites() -> list[str]:
    """Return the names of the suites that come with the program."""
    return sorted(path.stem for path in SUITES_FOLDER.glob("*.toml"))


def load_suite_text(source: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the name and the text of a suite, checked: a TOML file, or the name of a shipped suite.

    Raises NotFoundError when it is neither, UsageError when the suite is not right.
    """
    path = Path(source)
    shipped = SUITES_FOLDER / f"{path.name.removesuffix('.toml')}.toml"
    if not path.is_file():
        if path.is_dir() or path.parent != Path() or not shipped.is_file():
            raise _no_such_suite(path)
        path = shipped
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", hint="save the suite as UTF-8") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return parse_suite(text, str(path)).name, text


def _no_such_suite(path: Path) -> NotFoundError:
    names = shipped_suites()
    near = difflib.get_close_matches(path.name.removesuffix(".toml"), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"shipped suites: {', '.join(names)}"
    return NotFoundError(f"no gate suite {str(path)!r}", hint=hint)


@lru_cache(maxsize=256)
def parse_suite(text: str, source: str = "suite") -> Suite:
    """Return the suite that a TOML text describes; `source` names it in complaints and, without `name`, is its name.

    Raises UsageError that says where and what is wrong.
    """
    return _Reader(Declared(text, source)).suite()


@dataclass(frozen=True)
class _Reader:
    """Reads one suite; every method raises UsageError with the place of the first mistake."""

    file: Declared

    def suite(self) -> Suite:
        file, top = self.file, Place()
        file.known(file.tables, _SUITE_KEYS, top)
        controls = tuple(self._control(*item) for item in file.items("control"))
        baselines = tuple(self._baseline(*item) for item in file.items("baseline"))
        stages = tuple(self._stage(*item) for item in file.items("stage"))
        defaults = file.table(file.tables, "defaults", top)
        file.known(defaults, _DEFAULT_KEYS, Place("defaults"))
        gates = tuple(
            self._gate(defaults, *item, [control.name for control in controls]) for item in file.items("gate")
        )
        if not gates:
            raise file.wrong("has no gate", top, hint="a suite is made of [[gate]] tables")
        for kind, items in (("control", controls), ("baseline", baselines), ("stage", stages)):
            file.unique([item.name for item in items], kind)
        file.unique([(gate.stage, gate.name) for gate in gates], "gate")
        for gate, (_, place) in zip(gates, file.items("gate"), strict=True):
            self._refer(gate, place, [stage.name for stage in stages], [base.name for base in baselines])
        for stage, (_, place) in zip(stages, file.items("stage"), strict=True):
            if not any(gate.stage == stage.name and gate.required for gate in gates):
                hint = f'add a [[gate]] with stage = "{stage.name}"'
                raise file.wrong("has no required gate, so nothing must pass to go on", place, hint=hint)
        name = file.text(file.tables, "name", top) or Path(file.source).stem
        return Suite(name, gates, stages, controls, baselines, file.text(file.tables, "description", top))

    def _gate(self, defaults: dict[str, Any], own: dict[str, Any], place: Place, controls: list[str]) -> Gate:
        file, table = self.file, {**defaults, **own}
        file.known(own, _GATE_KEYS, place)
        metric, split = file.text(table, "metric", place), file.text(table, "split", place)
        if not metric:
            raise file.wrong("names no metric", place, hint='add metric = "val/loss"')
        op, threshold = self._requirement(table, place)
        gate = Gate(
            name=file.text(table, "name", place) or (f"{metric} ({split})" if split else metric),
            metric=metric,
            op=op,
            threshold=threshold,
            stage=file.text(table, "stage", place),
            split=split,
            on=file.choice(table, "on", PLACES, place) or "checkpoint",
            basis=self._bases(table, place),
            goal=file.choice(table, "goal", GOALS, place),
            required=self._required(table, place),
            interval=file.flag(table, "interval", place, False),
            against=file.text(table, "against", place) or ("@production" if op in CHANGES else ""),
            controls=self._controls(table, place, controls),
            why=file.text(table, "why", place),
        )
        if gate.against and op not in CHANGES:
            hint = f"add {CHANGES[0]} = NUMBER, or drop it"
            raise file.wrong("has `against` but asks for no change", place, "against", hint=hint)
        if gate.interval and op == "==":
            raise file.wrong("asks an interval to equal a number", place, "interval", hint='use op = "between"')
        return gate

    def _requirement(self, table: dict[str, Any], place: Place) -> tuple[str, float | tuple[float, float]]:
        file, changes = self.file, [key for key in CHANGES if key in table]
        if len(changes) + ("op" in table or "threshold" in table) != 1:
            hint = f"op with threshold, or {CHANGES[0]}, or {CHANGES[1]}"
            raise file.wrong("must ask for exactly one thing", place, hint=hint)
        if changes:
            return changes[0], file.number(table, changes[0], place)
        op = file.choice(table, "op", COMPARISONS, place)
        if op is None or "threshold" not in table:
            raise file.wrong("needs both op and threshold", place, hint='for example op = ">=" and threshold = 0.02')
        if op != "between":
            return op, file.number(table, "threshold", place)
        bounds = table["threshold"]
        if not isinstance(bounds, list) or len(bounds) != 2:
            raise file.wrong("asks for `between` without two numbers", place, "threshold", hint="write [low, high]")
        low, high = (file.is_number(bound, "threshold", place) for bound in bounds)
        if low > high:
            raise file.wrong(f"has its bounds the wrong way round: [{low:g}, {high:g}]", place, "threshold")
        return op, (low, high)

    def _control(self, table: dict[str, Any], place: Place) -> Control:
        file = self.file
        file.known(table, _CONTROL_KEYS, place)
        must = file.choice(table, "must", ("pass", "fail"), place)
        if must is None:
            raise file.wrong("does not say what its answer is", place, hint='add must = "pass" or must = "fail"')
        return Control(
            file.named(table, place), must, file.words(table, "command", place), file.text(table, "why", place)
        )

    def _baseline(self, table: dict[str, Any], place: Place) -> Baseline:
        self.file.known(table, _BASELINE_KEYS, place)
        return Baseline(self.file.named(table, place), self.file.text(table, "why", place))

    def _stage(self, table: dict[str, Any], place: Place) -> Stage:
        file = self.file
        file.known(table, _STAGE_KEYS, place)
        retry, max_retries = file.table(table, "retry", place), file.count(table, "max_retries", place, 0)
        for key, change in retry.items():
            if isinstance(change, str) and re.match(r"[+\-*]", change) and not CHANGE_PATTERN.fullmatch(change):
                raise file.wrong(f"has retry {key} = {change!r}", place, "retry", hint='write "+0.05", "-0.1" or "*2"')
        if retry and not max_retries:
            raise file.wrong("says how to retry but not how often", place, "retry", hint="add max_retries")
        return Stage(
            name=file.named(table, place),
            set=file.table(table, "set", place),
            max_retries=max_retries,
            retry=retry,
            fallback=file.table(table, "fallback", place),
        )

    def _refer(self, gate: Gate, place: Place, stages: list[str], baselines: list[str]) -> None:
        """Refuse a gate that speaks of a stage or a baseline the suite does not have."""
        if gate.stage and gate.stage not in stages:
            raise self.file.unknown(gate.stage, stages, "stage", place, "stage")
        name = gate.against.removeprefix(BASELINE)
        if name != gate.against and name not in baselines:
            raise self.file.unknown(name, baselines, "baseline", place, "against")

    def _bases(self, table: dict[str, Any], place: Place) -> tuple[str, ...]:
        words = self.file.words(table, "basis", place) or ("measured",)
        if words == ("any",):
            return BASES
        for word in words:
            if word not in BASES:
                raise self.file.unknown(word, (*BASES, "any"), "basis", place, "basis")
        return words

    def _required(self, table: dict[str, Any], place: Place) -> bool:
        advisory = self.file.flag(table, "advisory", place, False)
        if advisory and table.get("required") is True:
            raise self.file.wrong("is both required and advisory", place, "advisory")
        return self.file.flag(table, "required", place, True) and not advisory

    def _controls(self, table: dict[str, Any], place: Place, known: list[str]) -> tuple[str, ...]:
        if "controls" not in table:
            return tuple(known)
        words = self.file.words(table, "controls", place)
        for word in words:
            if word not in known:
                raise self.file.unknown(word, known, "control", place, "controls")
        return words
