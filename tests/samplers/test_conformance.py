"""Every registered sampler, and some of them together, keeps the promises of the conformance suite."""

import pytest

from greyhound.samplers import REGISTRY
from greyhound.testing.samplers import CHECKS


@pytest.mark.parametrize("name", [*REGISTRY.names(), "grid+gp", "gp+genetic", "gp+grey", "sobol+tpe"])
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check, name):
    check(lambda: REGISTRY.make(name))
