"""Every registered scheduler keeps the promises of the conformance suite."""

import pytest

from greyhound.schedulers import REGISTRY
from greyhound.testing.schedulers import CHECKS


@pytest.mark.parametrize("name", REGISTRY.names())
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check, name):
    check(lambda: REGISTRY.make(name))
