"""The filter language of `registry ls --filter` and the dashboard: text -> a tree -> one SQL condition. Pure.

    loss 3e-4                       both words stand in the run's name, id, experiment, tags or notes
    "two words"  p5*  -draft        a phrase; a name that begins so; without this
    status:failed,crashed  tag:sweep  dataset:seq@v2  deployed:production  gate:fail  note:oom  host:gpu7
    params.lr>1e-3  params.opt=adam  val/loss<0.3  last:val/loss<0.3  parse_success/*>=0.9
    duration>1h  age<7d  started>=2026-11-01  cost>2
    has:nan  has:checkpoint  has:val/loss  is:running  is:invalid
    a OR b   NOT a   (a b) OR c     side by side means AND

Every value reaches the database as a bound parameter. A metric means its best by its goal, its last where it has none.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from registry.clock import parse_duration
from registry.errors import UsageError
from registry.metrics import infer_goal

MAX_TERMS = 60
MAX_DEPTH = 20
OPERATORS = ("<=", ">=", "!=", "=", "<", ">", "~")


@dataclass(frozen=True)
class Word:
    """Text that stands somewhere in what a run is called."""

    text: str


@dataclass(frozen=True)
class Is:
    """`field:value`: one of several values of a field, each as text that may hold `*`."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Compare:
    """`name op value`."""

    name: str
    op: str
    value: str


@dataclass(frozen=True)
class Not:
    """What does not match."""

    part: "Expression"


@dataclass(frozen=True)
class All:
    """Everything matches; with no parts, every run does."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Any_:
    """At least one matches."""

    parts: tuple["Expression", ...]


Expression = Word | Is | Compare | Not | All | Any_


def where(expression: str, now: float) -> tuple[str, dict[str, Any]]:
    """Return an SQL condition over the aliases `r` (run) and `e` (experiment), and its values.

    Works on SQLite and PostgreSQL. Raises UsageError that names what is wrong and what can be written instead.
    """
    binder = _Binder(now)
    return binder.sql(parse(expression)), binder.values


# --- text -> tree

_TOKEN = re.compile(r'\s+|[()]|(?:[^\s()"]|"(?:[^"\\]|\\.)*")+|"')
_COMPARISON = re.compile(r'((?:[^"<>=!~]|!(?!=)|"(?:[^"\\]|\\.)*")+?)(<=|>=|!=|=|<|>|~)(.*)', re.DOTALL)


def parse(expression: str) -> Expression:
    """Return the tree of a filter. Raises UsageError."""
    tokens = [token for token in _TOKEN.findall(expression) if not token.isspace()]
    if '"' in tokens:
        raise UsageError("a quote is not closed in the filter", hint='write "two words"')
    if len(tokens) > MAX_TERMS * 3:
        raise UsageError("the filter is too long", hint=f"use at most {MAX_TERMS} conditions")
    return _Parser(tokens).parse()


class _Parser:
    """Recursive descent: OR of ANDs of terms; AND is what stands side by side."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._n_terms = 0

    def parse(self) -> Expression:
        tree = self._either()
        if self._peek() is not None:
            raise UsageError("a ) without its ( in the filter", hint='quote it to search for it: ")"')
        return tree

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _either(self) -> Expression:
        parts = [self._every()]
        while self._peek() == "OR":
            self._take()
            parts.append(self._every())
        return parts[0] if len(parts) == 1 else Any_(tuple(parts))

    def _every(self) -> Expression:
        parts = []
        while (token := self._peek()) is not None and token not in (")", "OR"):
            if token == "AND":
                self._take()
            else:
                parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Expression:
        token = self._take()
        if token == "NOT" or (token == "-" and self._peek() not in (None, ")", "OR", "AND")):
            if self._peek() in (None, ")", "OR", "AND"):
                raise UsageError("NOT says nothing in the filter", hint="write NOT tag:draft")
            return Not(self._nested(self._one))
        if token == "(":
            return self._nested(self._in_parentheses)
        self._n_terms += 1
        if self._n_terms > MAX_TERMS:
            raise UsageError("the filter is too long", hint=f"use at most {MAX_TERMS} conditions")
        if len(token) > 1 and token[0] == "-" and not re.match(r"-[\d.]", token):
            return Not(_term(token[1:]))
        return _term(token)

    def _in_parentheses(self) -> Expression:
        tree = self._either()
        if self._peek() is None:
            raise UsageError("a ( is not closed in the filter", hint="add the )")
        self._take()
        return tree

    def _nested(self, read: Callable[[], Expression]) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UsageError("the filter is nested too deeply")
        tree = read()
        self._depth -= 1
        return tree


def _term(token: str) -> Expression:
    """Return what one token asks for."""
    if found := _COMPARISON.fullmatch(token):
        name, op, value = _unquote(found[1]), found[2], _unquote(found[3])
        if not value:
            raise UsageError(f"nothing to compare {name!r} with in the filter", hint=f"write {name}{op}VALUE")
        return Compare(name, op, value)
    field, colon, value = token.partition(":")
    if colon and '"' not in field:
        if field not in FIELDS:
            known = ", ".join(sorted(FIELDS))
            raise UsageError(f"no field {field!r} in the filter", hint=f'fields: {known}; or quote it: "{token}"')
        values = tuple(_unquote(part) for part in _split_commas(value) if _unquote(part))
        if not values:
            raise UsageError(f"{field}: what? in the filter", hint=f"write {field}:VALUE")
        return Is(field, values)
    return Word(_unquote(token))


def _split_commas(text: str) -> list[str]:
    return re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', text)


def _unquote(text: str) -> str:
    return re.sub(r'"((?:[^"\\]|\\.)*)"', lambda found: re.sub(r"\\(.)", r"\1", found[1]), text)


# --- tree -> SQL

_NUMERIC = "substr({0}, 1, 1) IN ('-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9')"
_BEST = "CASE coalesce(d.goal, {goal}) WHEN 'min' THEN s.min_value WHEN 'max' THEN s.max_value ELSE s.last_value END"
_SHOWN_BASIS = (
    "(s.basis = 'measured' OR NOT EXISTS (SELECT 1 FROM metric_series m"
    " WHERE m.run_id = r.id AND m.name = s.name AND m.basis = 'measured'))"
)

_OWN_REASON = (
    "EXISTS (SELECT 1 FROM dataset v WHERE v.state IN ('invalid', 'deprecated') AND ("
    "EXISTS (SELECT 1 FROM dataset_use u WHERE u.run_id = {run}.id AND u.name = v.name AND u.version = v.version)"
    " OR EXISTS (SELECT 1 FROM evaluation w WHERE w.run_id = {run}.id AND w.subject IS NULL"
    " AND substr(w.dataset, 1, length(v.name) + 1 + length(v.version)) = v.name || '@' || v.version)))"
)
"""A run read bad data itself; `is:invalid` adds what `registry.lineage` says of its chain of stages."""

FIELDS: dict[str, str] = {
    "name": "{like:r.name}",
    "id": "{starts:r.id}",
    "status": "{starts:r.status}",
    "experiment": "{like:e.name}",
    "exp": "{like:e.name}",
    "source": "{like:r.source}",
    "parent": "{starts:coalesce(r.parent_id, '')}",
    "host": "{like:r.host}",
    "command": "{like:r.command}",
    "commit": "{like:coalesce(r.git, '')}",
    "tag": "EXISTS (SELECT 1 FROM tag t WHERE t.run_id = r.id AND {whole:t.tag})",
    "note": "EXISTS (SELECT 1 FROM note n WHERE n.run_id = r.id AND {like:n.text})",
    "dataset": "EXISTS (SELECT 1 FROM dataset_use u WHERE u.run_id = r.id AND {starts:u.name || '@' || u.version})",
    "deployed": ("EXISTS (SELECT 1 FROM deployment y WHERE y.run_id = r.id AND y.until IS NULL AND {whole:y.target})"),
    "gate": (
        "EXISTS (SELECT 1 FROM gate_result g WHERE g.run_id = r.id"
        " AND ({starts:g.verdict} OR {whole:g.suite || '/' || g.name}))"
    ),
    "role": ("EXISTS (SELECT 1 FROM artifact a WHERE a.run_id = r.id AND a.superseded_at IS NULL AND {starts:a.role})"),
    "has": "",
    "is": "",
    "last": "",
}
"""What can stand before a colon, and the condition on one value: `like` finds text inside, `starts` at the beginning,
`whole` compares all of it."""

_HAS = {
    "tag": "EXISTS (SELECT 1 FROM tag t WHERE t.run_id = r.id)",
    "note": "EXISTS (SELECT 1 FROM note n WHERE n.run_id = r.id)",
    "nan": "EXISTS (SELECT 1 FROM metric_series s WHERE s.run_id = r.id AND s.non_finite > 0)",
    "metrics": "EXISTS (SELECT 1 FROM metric_series s WHERE s.run_id = r.id)",
    "params": "EXISTS (SELECT 1 FROM param p WHERE p.run_id = r.id)",
    "gates": "EXISTS (SELECT 1 FROM gate_result g WHERE g.run_id = r.id)",
    "dataset": "EXISTS (SELECT 1 FROM dataset_use u WHERE u.run_id = r.id)",
    "artifact": "EXISTS (SELECT 1 FROM artifact a WHERE a.run_id = r.id AND a.superseded_at IS NULL)",
    "checkpoint": (
        "EXISTS (SELECT 1 FROM artifact a WHERE a.run_id = r.id AND a.superseded_at IS NULL"
        " AND a.role IN ('checkpoint', 'best', 'last'))"
    ),
    "copy": (
        "EXISTS (SELECT 1 FROM artifact a JOIN artifact_blob b ON b.artifact_id = a.id"
        " JOIN copy c ON c.digest = b.digest WHERE a.run_id = r.id AND a.superseded_at IS NULL)"
    ),
    "parent": "r.parent_id IS NOT NULL",
    "children": "EXISTS (SELECT 1 FROM run k WHERE k.parent_id = r.id)",
    "git": "r.git IS NOT NULL",
    "segments": "r.segment > 0",
}
_IS = {
    **{
        status: f"r.status = '{status}'"
        for status in ("queued", "running", "finished", "failed", "killed", "crashed", "unknown", "stalled")
    },
    "ended": "r.ended_at IS NOT NULL",
    "deployed": "EXISTS (SELECT 1 FROM deployment y WHERE y.run_id = r.id AND y.until IS NULL)",
    "dirty": "r.git LIKE '%\"dirty\"_ true%'",
    "invalid": (
        f"({_OWN_REASON.format(run='r')}"
        f" OR EXISTS (SELECT 1 FROM run k WHERE k.parent_id = r.id AND {_OWN_REASON.format(run='k')})"
        " OR EXISTS (SELECT 1 FROM run k WHERE k.parent_id = r.parent_id AND k.started_at <= r.started_at"
        f" AND {_OWN_REASON.format(run='k')}))"
    ),
}
_TIMES = {"started": "r.started_at", "ended": "r.ended_at"}
_SPANS = {"duration": "coalesce(r.ended_at, r.heartbeat_at) - r.started_at"}
_PLAIN_NUMBERS = {"exit_code": "r.exit_code", "segment": "r.segment"}


class _Binder:
    """Turns a tree into SQL and gathers the values."""

    def __init__(self, now: float) -> None:
        self.values: dict[str, Any] = {}
        self._now = now

    def bind(self, value: Any) -> str:
        """Return the placeholder of a value."""
        name = f"f{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def sql(self, tree: Expression) -> str:
        """Return the condition of a tree."""
        match tree:
            case Word(text):
                return self._word(text)
            case Is(field, values):
                return self._any([self._is(field, value) for value in values])
            case Compare():
                return self._compare(tree)
            case Not(part):
                return f"NOT ({self.sql(part)})"
            case All(parts):
                return f"({' AND '.join(map(self.sql, parts))})" if parts else "1 = 1"
            case Any_(parts):
                return self._any([self.sql(part) for part in parts])

    @staticmethod
    def _any(conditions: list[str]) -> str:
        return conditions[0] if len(conditions) == 1 else f"({' OR '.join(conditions)})"

    # --- text

    def _like(self, column: str, text: str, kind: str) -> str:
        pattern = re.sub(r"([!%_])", r"!\1", text.lower()).replace("*", "%")
        if kind == "like" and "*" not in text:
            pattern = f"%{pattern}%"
        elif kind == "starts":
            pattern = f"{pattern}%"
        return f"lower({column}) LIKE {self.bind(pattern)} ESCAPE '!'"

    def _filled(self, template: str, value: str) -> str:
        return re.sub(r"\{(like|starts|whole):([^}]*)\}", lambda m: self._like(m[2], value, m[1]), template)

    def _word(self, text: str) -> str:
        places = ("r.name", "r.id", "e.name")
        named = [self._like(place, text, "like") for place in places]
        tagged = self._filled("EXISTS (SELECT 1 FROM tag t WHERE t.run_id = r.id AND {like:t.tag})", text)
        noted = self._filled("EXISTS (SELECT 1 FROM note n WHERE n.run_id = r.id AND {like:n.text})", text)
        return self._any([*named, tagged, noted])

    def _is(self, field: str, value: str) -> str:
        if field == "has":
            return _HAS.get(value) or self._has_name(value)
        if field == "is":
            if value not in _IS:
                raise UsageError(f"is:{value} in the filter", hint=f"write is: and one of {', '.join(_IS)}")
            return _IS[value]
        if field == "last":
            raise UsageError(f"last:{value} compares with nothing in the filter", hint=f"write last:{value}<0.3")
        return self._filled(FIELDS[field], value)

    def _has_name(self, name: str) -> str:
        metric = self._filled("EXISTS (SELECT 1 FROM metric_series s WHERE s.run_id = r.id AND {whole:s.name})", name)
        param = self._filled(
            "EXISTS (SELECT 1 FROM param p WHERE p.run_id = r.id AND {whole:p.key})", name.removeprefix("params.")
        )
        return self._any([metric, param])

    # --- comparisons

    def _compare(self, term: Compare) -> str:
        if term.name in _TIMES:
            return f"{_TIMES[term.name]} {self._order(term)} {self.bind(_day(term.value))}"
        if term.name == "age":
            moment = self.bind(self._now - _seconds(term.value))
            return f"r.started_at {_TURNED.get(term.op, term.op)} {moment}"
        if term.name in _SPANS:
            return f"{_SPANS[term.name]} {self._order(term)} {self.bind(_seconds(term.value))}"
        if term.name in _PLAIN_NUMBERS:
            return f"{_PLAIN_NUMBERS[term.name]} {self._order(term)} {self.bind(_number(term))}"
        if term.name.startswith("params."):
            return self._param(term.name.removeprefix("params."), term)
        if term.name.startswith("last:"):
            return self._metric(term.name.removeprefix("last:"), term, "s.last_value")
        if term.name in FIELDS and term.name not in ("last", "has", "is"):
            return self._field(term)
        return self._metric_or_param(term)

    def _field(self, term: Compare) -> str:
        template = FIELDS[term.name]
        if term.op == "~":
            return self._filled(template, f"*{term.value}*")
        if term.op not in ("=", "!="):
            raise UsageError(f"{term.name}{term.op} in the filter", hint=f"{term.name} is text: use : = or !=")
        exact = self._filled(re.sub(r"\{(like|starts):", "{whole:", template), term.value)
        return exact if term.op == "=" else f"NOT ({exact})"

    def _metric_or_param(self, term: Compare) -> str:
        conditions = [self._param(term.name, term)]
        if _as_number(term.value) is not None and term.op != "~":
            goal = infer_goal(term.name)
            best = _BEST.format(goal=f"'{goal}'" if goal else "NULL")
            conditions.insert(0, self._metric(term.name, term, best))
        return self._any(conditions)

    def _metric(self, name: str, term: Compare, value: str) -> str:
        named = self._like("s.name", name, "whole") if "*" in name else f"s.name = {self.bind(name)}"
        return (
            "EXISTS (SELECT 1 FROM metric_series s"
            " LEFT JOIN metric_definition d ON d.run_id = s.run_id AND d.name = s.name"
            f" WHERE s.run_id = r.id AND {named} AND {_SHOWN_BASIS}"
            f" AND {value} {self._order(term)} {self.bind(_number(term))})"
        )

    def _param(self, key: str, term: Compare) -> str:
        named = self._like("p.key", key, "whole") if "*" in key else f"p.key = {self.bind(key)}"
        return f"EXISTS (SELECT 1 FROM param p WHERE p.run_id = r.id AND {named} AND {self._param_value(term)})"

    def _param_value(self, term: Compare) -> str:
        if term.op == "~":
            return self._like("p.value", term.value, "like")
        number = _as_number(term.value)
        if number is not None:
            cast = f"CASE WHEN {_NUMERIC.format('p.value')} THEN CAST(p.value AS DOUBLE PRECISION) END"
            same = f"{cast} {self._order(term)} {self.bind(number)}"
            return same if term.op != "!=" else f"({same} OR NOT {_NUMERIC.format('p.value')})"
        if term.op not in ("=", "!="):
            raise UsageError(f"{term.value!r} is no number in the filter", hint=f"write {term.name}{term.op}0.001")
        texts = [json.dumps(term.value, ensure_ascii=False)]
        if term.value in ("true", "false", "null"):
            texts.append(term.value)
        equal = self._any([f"lower(p.value) = lower({self.bind(text)})" for text in texts])
        return equal if term.op == "=" else f"NOT ({equal})"

    @staticmethod
    def _order(term: Compare) -> str:
        if term.op == "~":
            raise UsageError(f"~ searches text, and {term.name} is a number", hint="use < <= = != >= >")
        return {"!=": "<>"}.get(term.op, term.op)


_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "!=": "<>"}
"""An age below two days is a start after the moment two days ago."""


def _as_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value - value == 0 else None


def _number(term: Compare) -> float:
    value = _as_number(term.value)
    if value is None:
        raise UsageError(f"{term.value!r} is no number in the filter", hint=f"write {term.name}{term.op}0.3")
    return value


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{error} in the filter") from None


def _day(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date in the filter", hint="write 2026-11-01 or 2026-11-01T14:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
