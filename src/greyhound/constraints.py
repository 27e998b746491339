"""Constraints: what must hold between the parameters of a configuration.

A rule is a function of the configuration, or an expression such as "layers * width <= 4096" or
"optimizer != 'sgd' or momentum < 0.9". An expression is read by `ast` and turned into functions node
by node, from the tables below and nothing else, so that a file cannot run code. A rule that
mentions a parameter which the configuration does not have counts as satisfied.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from greyhound.errors import SpaceError
from greyhound.values import did_you_mean, show

Rule: TypeAlias = str | Callable[[dict[str, Any]], Any]
"""An expression, or a function that takes a configuration and tells whether it is allowed."""

_Evaluate: TypeAlias = Callable[[Mapping[str, Any]], Any]

_LONGEST = 2000
_DEEPEST = 100
_POWER_BITS = 4096


@dataclass(frozen=True)
class Constraint:
    """A rule by name. `names` are the parameters it mentions; of a function, all that the space has."""

    name: str
    rule: Rule
    names: frozenset[str]
    _evaluate: _Evaluate = field(repr=False, compare=False)

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether a configuration keeps to the rule; SpaceError where the rule cannot be worked out."""
        if isinstance(self.rule, str):
            return self._expression_holds(params)
        try:
            held = self._evaluate(dict(params))
        except KeyError as error:
            if error.args and error.args[0] in self.names and error.args[0] not in params:
                return True
            raise SpaceError(f"{self}: the function raised KeyError: {error}.") from error
        except Exception as error:
            raise SpaceError(f"{self}: the function raised {type(error).__name__}: {error}") from error
        if held is None:
            raise SpaceError(f"{self}: the function must return True or False; it returned None.")
        return bool(held)

    def _expression_holds(self, params: Mapping[str, Any]) -> bool:
        if not all(name in params for name in self.names):
            return True
        try:
            return bool(self._evaluate(params))
        except (TypeError, ValueError, ArithmeticError) as error:
            values = ", ".join(f"{name}={params[name]!r}" for name in sorted(self.names))
            raise SpaceError(f"{self}: cannot be worked out for {values}: {error}.") from error

    def __str__(self) -> str:
        rule = f" ({show(self.rule)})" if isinstance(self.rule, str) and self.rule != self.name else ""
        return f"constraint {self.name!r}{rule}"


def make_constraint(name: object, rule: object, parameters: Iterable[str]) -> Constraint:
    """A rule over `parameters`; SpaceError where it can be neither read nor called."""
    names = frozenset(parameters)
    if not isinstance(name, str) or not name:
        raise SpaceError(f"constraint {show(name)}: its name must be text, as in {{'a below b': 'a < b'}}.")
    if isinstance(rule, str):
        try:
            reader = _Reader(rule, names)
            return Constraint(name, rule, frozenset(reader.used), reader.evaluate)
        except SpaceError as error:
            raise SpaceError(f"constraint {name!r}: {error}") from None
    if not callable(rule):
        raise SpaceError(
            f"constraint {name!r}: must be an expression such as 'a < b', or a function of the parameters; "
            f"got {show(rule)}."
        )
    return Constraint(name, rule, names, rule)


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > _POWER_BITS:
        base = float(base)  # which overflows instead of filling the memory
    power = base**exponent
    if isinstance(power, complex):
        raise ValueError("a root of a negative number")
    return power


_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "sum": sum,
    "len": len,
    "round": round,
    "log": math.log,
    "sqrt": math.sqrt,
    "exp": math.exp,
}


class _Reader:
    """Turns the text of an expression into a function, and keeps the names that it mentions."""

    def __init__(self, text: str, names: frozenset[str]) -> None:
        self.text, self.names = text, names
        self.used: set[str] = set()
        if len(text) > _LONGEST:
            raise SpaceError(f"the expression is over {_LONGEST} characters long; write a function instead.")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problem = error.msg if isinstance(error, SyntaxError) else str(error)
            raise SpaceError(f"{show(text)} is not an expression: {problem or 'nested too deeply'}.") from None
        if isinstance(tree, (ast.BinOp, ast.Constant, ast.Call, ast.Tuple, ast.List, ast.Set)):
            raise SpaceError(f"{show(text)} is not a condition; compare two values, as in 'a < b'.")
        self.evaluate = self._read(tree, 0)

    def _read(self, node: ast.expr, depth: int) -> _Evaluate:
        if depth > _DEEPEST:
            raise SpaceError(f"{show(self.text)} is nested too deeply; write a function instead.")
        if (name := _dotted(node)) is not None:
            return self._name(name)
        reader = _NODES.get(type(node))
        if reader is None:
            raise self._unknown(node)
        return reader(self, node, depth + 1)

    def _name(self, name: str) -> _Evaluate:
        if name not in self.names:
            close = did_you_mean(name, self.names, f"; the parameters are {', '.join(sorted(self.names))}")
            hint = "; functions must be called." if name in _FUNCTIONS else close
            raise SpaceError(f"unknown name {name!r}{hint}")
        self.used.add(name)
        return lambda params: params[name]

    def _constant(self, node: ast.Constant, depth: int) -> _Evaluate:
        value = node.value
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise self._unknown(node)
        return lambda params: value

    def _collection(self, node: ast.Tuple | ast.List | ast.Set, depth: int) -> _Evaluate:
        items = [self._read(item, depth) for item in node.elts]
        return lambda params: tuple(item(params) for item in items)

    def _arithmetic(self, node: ast.BinOp, depth: int) -> _Evaluate:
        apply = _ARITHMETIC.get(type(node.op))
        if apply is None:
            raise self._unknown(node)
        left, right = self._read(node.left, depth), self._read(node.right, depth)
        return lambda params: apply(_number(left(params)), _number(right(params)))

    def _sign(self, node: ast.UnaryOp, depth: int) -> _Evaluate:
        apply = _SIGNS.get(type(node.op))
        if apply is None:
            raise self._unknown(node)
        operand = self._read(node.operand, depth)
        return lambda params: apply(operand(params))

    def _logic(self, node: ast.BoolOp, depth: int) -> _Evaluate:
        parts = [self._read(part, depth) for part in node.values]
        decide = all if isinstance(node.op, ast.And) else any
        return lambda params: decide(part(params) for part in parts)

    def _choose(self, node: ast.IfExp, depth: int) -> _Evaluate:
        test, then, other = (self._read(part, depth) for part in (node.test, node.body, node.orelse))
        return lambda params: then(params) if test(params) else other(params)

    def _compare(self, node: ast.Compare, depth: int) -> _Evaluate:
        first = self._read(node.left, depth)
        rest = [
            (_COMPARISONS[type(op)], self._read(right, depth))
            for op, right in zip(node.ops, node.comparators, strict=True)
        ]

        def evaluate(params: Mapping[str, Any]) -> bool:
            left = first(params)
            for compare, right_of in rest:
                right = right_of(params)
                if not compare(left, right):
                    return False
                left = right
            return True

        return evaluate

    def _call(self, node: ast.Call, depth: int) -> _Evaluate:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS:
            raise SpaceError(f"cannot call {self._source(node.func)!r}; known are {', '.join(_FUNCTIONS)}.")
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self._unknown(node)
        function = _FUNCTIONS[name]
        arguments = [self._read(argument, depth) for argument in node.args]
        return lambda params: function(*(argument(params) for argument in arguments))

    def _unknown(self, node: ast.expr) -> SpaceError:
        return SpaceError(f"{show(self._source(node))} cannot stand in an expression; write a function instead.")

    def _source(self, node: ast.expr) -> str:
        return ast.get_source_segment(self.text.strip(), node) or self.text


_NODES: Mapping[type[ast.expr], Callable[[_Reader, Any, int], _Evaluate]] = {
    ast.Constant: _Reader._constant,
    ast.Tuple: _Reader._collection,
    ast.List: _Reader._collection,
    ast.Set: _Reader._collection,
    ast.BinOp: _Reader._arithmetic,
    ast.UnaryOp: _Reader._sign,
    ast.BoolOp: _Reader._logic,
    ast.IfExp: _Reader._choose,
    ast.Compare: _Reader._compare,
    ast.Call: _Reader._call,
}


def _dotted(node: ast.expr) -> str | None:
    """The name that a node stands for, dots included (`optimizer.lr`); None where it is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner is not None else None
    return None


def _number(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return value
    raise TypeError(f"arithmetic needs numbers, and {show(value)} is none")
