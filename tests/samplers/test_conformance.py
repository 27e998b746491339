"""Every registered sampler keeps the promises of the conformance suite."""

import pytest

from greyhound.samplers import REGISTRY
from greyhound.testing.samplers import CHECKS


@pytest.mark.parametrize("name", REGISTRY.names())
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check, name):
    check(lambda: REGISTRY.make(name))
