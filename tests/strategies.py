"""Hypothesis strategies for search spaces: `spaces()`, `parameters()` and `configurations(space)`."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from greyhound.space import Bool, Categorical, Float, Int, Ordinal, Parameter, Space

NAMES = ("lr", "depth", "optimizer", "momentum", "batch size", "w.d", "größe", "on", "null", "1e3")

units = st.floats(0.0, 1.0)
"""Places in the unit interval."""

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([-1.0, 0.0, 0.1, 1.0, 2.5, 1e-7, 1e300]),
    st.sampled_from(["sgd", "adamw", "", "yes", "1", "1e-5", "null", "a: b", "#", " x"]),
    st.sampled_from(["ü\n\t'\"\\", "\x85\u2028", "😀", "\ud800"]),
)
"""Choices, with those that files and equality like to confuse."""

choices = scalars | st.lists(scalars, max_size=2).map(tuple)


def identity(value: Any) -> Any:
    """A key under which 1, 1.0 and True differ."""
    return repr(value)


@st.composite
def floats(draw: st.DrawFn, **options: Any) -> Float:
    """Linear, logarithmic or stepped."""
    if draw(st.booleans()):
        low = draw(st.floats(1e-12, 1e6) | st.sampled_from([1e-5, 1e-150]))
        return Float(low, low * draw(st.floats(1.0, 1e9)), log=True, **options)
    low = draw(st.floats(-1e6, 1e6) | st.integers(-10, 10).map(float))
    high = low + draw(st.floats(0.0, 1e6) | st.sampled_from([0.0, 1.0, 1e-9, 1e16]))
    if draw(st.booleans()):
        low, high = round(low, 3), round(low, 3) + draw(st.integers(0, 20)) * 0.3
        return Float(low, high, step=draw(st.sampled_from([0.1, 0.25, 1.0, 0.007])), **options)
    return Float(low, high, **options)


@st.composite
def ints(draw: st.DrawFn, widest: int = 10**18, **options: Any) -> Int:
    """Linear, logarithmic or stepped, up to huge."""
    width = draw(st.integers(0, 12) | st.integers(0, widest))
    if draw(st.booleans()):
        low = draw(st.integers(1, 1000))
        return Int(low, low + width, log=True, **options)
    low = draw(st.integers(-1000, 1000))
    return Int(low, low + width, step=draw(st.integers(1, 7)), **options)


@st.composite
def listed(draw: st.DrawFn, **options: Any) -> Parameter:
    """Categorical, Ordinal or Bool."""
    kind = draw(st.sampled_from([Categorical, Ordinal, Bool]))
    if kind is Bool:
        return Bool(**options)
    return kind(draw(st.lists(choices, min_size=1, max_size=5, unique_by=identity)), **options)


@st.composite
def parameters(draw: st.DrawFn, *, finite: bool = False, **options: Any) -> Parameter:
    """Any parameter; finite: with at most 13 values. Half of them have a default."""
    small = ints(widest=12, **options) | listed(**options)
    parameter = draw(small if finite else floats(**options) | ints(**options) | listed(**options))
    if draw(st.booleans()):
        data = {**parameter.to_dict(), "default": draw(units.map(parameter.decode))}
        data.pop("type")
        parameter = type(parameter)(**data)
    return parameter


@st.composite
def spaces(draw: st.DrawFn, *, finite: bool = False, most: int = 6) -> Space:
    """Spaces of up to `most` parameters with nested conditions, declared in any order; no constraints."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(0, most))]
    made: dict[str, Parameter] = {}
    for name in names:
        when: dict[str, Any] = {}
        parents = draw(st.lists(st.sampled_from(sorted(made)), max_size=2, unique=True)) if made else []
        for parent in parents:
            values = draw(st.lists(units.map(made[parent].decode), min_size=1, max_size=3))
            when[parent] = values
        made[name] = draw(parameters(finite=finite, when=when or None))
    return Space({name: made[name] for name in draw(st.permutations(names))})


def configurations(space: Space) -> st.SearchStrategy[dict[str, Any]]:
    """Configurations of a space, as decoding gives them."""
    return st.lists(units, min_size=len(space), max_size=len(space)).map(space.decode)
