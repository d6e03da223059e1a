"""The small language of rules: `abs(subtotal + shipping + tax - total) < 0.02`. It is parsed with Python's grammar,
every node is checked against a list, and what remains is turned into closures over a record; nothing is ever evaluated
as Python, no attribute of an object is ever read (`a.b` is the key `b` of the record `a`).
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from registry.errors import UsageError

MAX_LENGTH = 1000
Scope = Mapping[str, Any]
Node = Callable[[Scope], Any]


class MissingFieldError(Exception):
    """The record has no such field; the message is its name."""


class RuleError(Exception):
    """The rule cannot be applied to this record; the message says why."""


@dataclass(frozen=True)
class Rule:
    """A rule that was understood. `fields` are the record's fields that it reads."""

    text: str
    fields: tuple[str, ...]
    _node: Node
    _sides: tuple[Node, str, Node] | None

    def holds(self, scope: Scope) -> bool:
        """Return whether the rule holds. Raises MissingFieldError and RuleError."""
        result = self._node(scope)
        if not isinstance(result, bool):
            raise RuleError(f"the rule gives {_shown(result)}, neither true nor false")
        return result

    def value(self, scope: Scope) -> Any:
        """Return what the expression gives. Raises MissingFieldError, RuleError."""
        return self._node(scope)

    def shown(self, scope: Scope) -> str:
        """Return the rule as it came out: a comparison with both its values, anything else as it is written."""
        if self._sides is None:
            return self.text
        left, sign, right = self._sides
        return f"{_shown(left(scope))} {sign} {_shown(right(scope))}"


def compile_rule(text: str) -> Rule:
    """Return the rule that a text means. Raises UsageError that names the part which is not understood."""
    if len(text) > MAX_LENGTH:
        raise UsageError(f"rule of {len(text)} characters", hint=f"use at most {MAX_LENGTH}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        compiler = _Compiler(text.strip())
        node = compiler.node(tree)
        sides = None
        if isinstance(tree, ast.Compare) and len(tree.ops) == 1:
            sign = ast.unparse(tree)[len(ast.unparse(tree.left)) : -len(ast.unparse(tree.comparators[0]))].strip()
            sides = (compiler.node(tree.left), sign, compiler.node(tree.comparators[0]))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = getattr(error, "msg", None) or type(error).__name__
        raise UsageError(f"rule {text[:80]!r} cannot be read: {said}") from None
    return Rule(text.strip(), tuple(compiler.fields), node, sides)


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISON: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


def _date(text: Any) -> datetime:
    """Return the moment that an ISO 8601 text names; a text without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise RuleError(f"{_shown(text)} is no ISO 8601 date") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(text: Any) -> float:
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise RuleError(f"{_shown(text)} is no number")
    try:
        return float(text)
    except ValueError:
        raise RuleError(f"{_shown(text)} is no number") from None


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "all": all,
    "any": any,
    "date": _date,
    "len": len,
    "lower": lambda text: str(text).lower(),
    "max": max,
    "min": min,
    "number": _number,
    "round": round,
    "sum": sum,
}
_ON_MISSING = ("default", "has")


class _Compiler:
    """Turns the nodes of one rule into closures."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._inner: list[str] = []
        self.fields: dict[str, None] = {}

    def node(self, tree: ast.AST) -> Node:
        """Return the closure of a node. Raises UsageError for a node that the language does not have."""
        build = getattr(self, f"_{type(tree).__name__.lower()}", None)
        if build is None:
            raise self._not_understood(tree, "is not part of the rule language")
        node: Node = build(tree)
        return node

    def _not_understood(self, tree: ast.AST, why: str) -> UsageError:
        part = ast.get_source_segment(self._text, tree) if isinstance(tree, ast.expr) else None
        functions = ", ".join(sorted((*_FUNCTIONS, *_ON_MISSING)))
        return UsageError(
            f"rule {self._text[:80]!r}: {(part or type(tree).__name__)[:60]!r} {why}",
            hint=f"fields, numbers, + - * / // %, comparisons, and/or/not, sum(x for x in list), and {functions}",
        )

    # --- values

    def _constant(self, tree: ast.Constant) -> Node:
        value = tree.value
        if value is not None and not isinstance(value, bool | int | float | str):
            raise self._not_understood(tree, "is no number, text, True, False or None")
        return lambda _: value

    def _name(self, tree: ast.Name) -> Node:
        name = tree.id
        if name not in self._inner:
            self.fields[name] = None

        def read(scope: Scope) -> Any:
            if name not in scope:
                raise MissingFieldError(name)
            return scope[name]

        return read

    def _attribute(self, tree: ast.Attribute) -> Node:
        owner, name = self.node(tree.value), tree.attr
        shown = ast.unparse(tree)
        return lambda scope: _item(owner(scope), name, shown)

    def _subscript(self, tree: ast.Subscript) -> Node:
        if isinstance(tree.slice, ast.Slice):
            raise self._not_understood(tree, "is a slice")
        owner, key, shown = self.node(tree.value), self.node(tree.slice), ast.unparse(tree)
        return lambda scope: _item(owner(scope), key(scope), shown)

    def _sequence(self, tree: ast.List | ast.Tuple | ast.Set) -> Node:
        items = [self.node(item) for item in tree.elts]
        return lambda scope: [item(scope) for item in items]

    _list = _tuple = _set = _sequence

    # --- operators

    def _binop(self, tree: ast.BinOp) -> Node:
        apply = _ARITHMETIC.get(type(tree.op))
        if apply is None:
            raise self._not_understood(tree, "uses an operator that the rule language does not have")
        left, right = self.node(tree.left), self.node(tree.right)
        names = ast.unparse(tree.left), ast.unparse(tree.right)

        def calculate(scope: Scope) -> Any:
            a, b = _is_number(left(scope), names[0]), _is_number(right(scope), names[1])
            try:
                return apply(a, b)
            except (ZeroDivisionError, OverflowError) as error:
                raise RuleError(str(error)) from None

        return calculate

    def _unaryop(self, tree: ast.UnaryOp) -> Node:
        operand, name = self.node(tree.operand), ast.unparse(tree.operand)
        if isinstance(tree.op, ast.Not):
            return lambda scope: not _is_bool(operand(scope), name)
        if isinstance(tree.op, ast.USub):
            return lambda scope: -_is_number(operand(scope), name)
        raise self._not_understood(tree, "uses an operator that the rule language does not have")

    def _boolop(self, tree: ast.BoolOp) -> Node:
        parts = [(self.node(value), ast.unparse(value)) for value in tree.values]
        together = all if isinstance(tree.op, ast.And) else any
        return lambda scope: together(_is_bool(part(scope), name) for part, name in parts)

    def _compare(self, tree: ast.Compare) -> Node:
        steps = []
        for op, side in zip(tree.ops, tree.comparators, strict=True):
            compare = _COMPARISON.get(type(op))
            if compare is None:
                raise self._not_understood(tree, "uses a comparison that the rule language does not have")
            steps.append((compare, self.node(side)))
        first = self.node(tree.left)

        def decide(scope: Scope) -> bool:
            left = first(scope)
            for compare, side in steps:
                right = side(scope)
                try:
                    if not compare(left, right):
                        return False
                except TypeError:
                    raise RuleError(f"{_shown(left)} cannot be compared with {_shown(right)}") from None
                left = right
            return True

        return decide

    def _ifexp(self, tree: ast.IfExp) -> Node:
        test, then, other = self.node(tree.test), self.node(tree.body), self.node(tree.orelse)
        name = ast.unparse(tree.test)
        return lambda scope: then(scope) if _is_bool(test(scope), name) else other(scope)

    # --- calls and loops

    def _call(self, tree: ast.Call) -> Node:
        name = tree.func.id if isinstance(tree.func, ast.Name) else ""
        if tree.keywords or name not in (*_FUNCTIONS, *_ON_MISSING):
            raise self._not_understood(tree, "calls a function that the rule language does not have")
        arguments = [self.node(argument) for argument in tree.args]
        if name in _ON_MISSING:
            return self._on_missing(tree, name, arguments)
        function, shown = _FUNCTIONS[name], ast.unparse(tree)

        def call(scope: Scope) -> Any:
            values = [argument(scope) for argument in arguments]
            try:
                return function(*values)
            except (TypeError, ValueError, OverflowError) as error:
                raise RuleError(f"{shown}: {error}") from None

        return call

    def _on_missing(self, tree: ast.Call, name: str, arguments: list[Node]) -> Node:
        wanted = 2 if name == "default" else 1
        if len(arguments) != wanted:
            raise self._not_understood(tree, f"takes {wanted} argument{'s' * (wanted > 1)}")

        def decide(scope: Scope) -> Any:
            try:
                value = arguments[0](scope)
            except MissingFieldError:
                return False if name == "has" else arguments[1](scope)
            return True if name == "has" else value

        return decide

    def _generatorexp(self, tree: ast.GeneratorExp | ast.ListComp) -> Node:
        if len(tree.generators) != 1 or not isinstance(tree.generators[0].target, ast.Name):
            raise self._not_understood(tree, "loops over more than one list")
        loop = tree.generators[0]
        name, source, shown = str(getattr(loop.target, "id", "")), self.node(loop.iter), ast.unparse(loop.iter)
        self._inner.append(name)
        item = self.node(tree.elt)
        tests = [(self.node(test), ast.unparse(test)) for test in loop.ifs]
        self._inner.pop()

        def iterate(scope: Scope) -> list[Any]:
            values = source(scope)
            if not isinstance(values, list):
                raise RuleError(f"{shown} is {_shown(values)}, no list")
            scopes = ({**scope, name: value} for value in values)
            return [item(inner) for inner in scopes if all(_is_bool(test(inner), word) for test, word in tests)]

        return iterate

    _listcomp = _generatorexp


def _item(owner: Any, key: Any, shown: str) -> Any:
    if isinstance(owner, Mapping) and isinstance(key, str):
        if key not in owner:
            raise MissingFieldError(shown)
        return owner[key]
    if isinstance(owner, list) and isinstance(key, int) and not isinstance(key, bool):
        if not -len(owner) <= key < len(owner):
            raise MissingFieldError(shown)
        return owner[key]
    raise MissingFieldError(shown)


def _is_number(value: Any, name: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RuleError(f"{name} is {_shown(value)}, not a number")
    return value


def _is_bool(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise RuleError(f"{name} is {_shown(value)}, neither true nor false")
    return value


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return re.sub(r"\s+", " ", repr(value))[:60]
