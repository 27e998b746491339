"""Optuna's own public sampler test suite, run on our sampler."""

import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from greyhound.integrations.optuna import GreyhoundSampler

pytestmark = pytest.mark.filterwarnings("ignore")


class TestAuto(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: GreyhoundSampler(seed=0)


class TestTPE(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: GreyhoundSampler("tpe", seed=0)


class TestBOHB(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: GreyhoundSampler("bohb", seed=0)
