"""The smallest parameter that has the values of two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyhound.errors import SpaceError
from greyhound.space import Categorical, Float, Int, Ordinal, widen

from .strategies import parameters, units


@given(st.data())
def test_the_union_has_the_values_of_both(data):
    one, other = data.draw(parameters()), data.draw(parameters())
    if one.kind != other.kind:
        with pytest.raises(SpaceError, match="cannot become"):
            widen(one, other)
        return
    both = widen(one, other)
    for parameter in (one, other):
        assert both.contains(parameter.decode(data.draw(units)))
        assert both.contains(parameter.decode(0.0))
        assert both.contains(parameter.decode(1.0))
        assert widen(parameter, parameter) == parameter
        assert widen(both, parameter) == both


def test_unions_by_example():
    assert widen(Float(0.1, 1, log=True), Float(0.01, 0.5, log=True)) == Float(0.01, 1, log=True)
    assert widen(Float(0.1, 1, log=True), Float(0, 0.5)) == Float(0, 1)
    assert widen(Int(1, 5, step=2), Int(2, 8, step=2)) == Int(1, 8)
    assert widen(Int(1, 5, step=2), Int(3, 9, step=2)) == Int(1, 9, step=2)
    assert widen(Float(0, 1, step=0.5), Float(1, 2, step=0.5)) == Float(0, 2, step=0.5)
    assert widen(Categorical(["a", "b"]), Categorical(["c", "a"])) == Categorical(["a", "b", "c"])
    assert widen(Ordinal([1, 4]), Ordinal([2, 4])) == Ordinal([1, 2, 4])
