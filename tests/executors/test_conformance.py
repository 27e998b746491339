"""Both executors keep the promises of the conformance suite."""

import pytest

from greyhound.executors import Processes, Serial
from greyhound.testing.executors import CHECKS, check_executor


def serial(evaluator):
    return Serial(evaluator)


def one_process(evaluator):
    return Processes(evaluator, 1, gpus_per_trial=0)


def three_processes(evaluator):
    return Processes(evaluator, 3, gpus_per_trial=0)


@pytest.mark.parametrize("make", [serial, one_process, three_processes], ids=lambda make: make.__name__)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check, make):
    check(make)


def test_suite_finds_an_executor_that_swallows_outcomes(monkeypatch):
    class Swallows(Serial):
        def messages(self, timeout_s):
            super().messages(timeout_s)
            return []

    monkeypatch.setattr("greyhound.testing.executors.PATIENCE_S", 0.1)
    with pytest.raises(AssertionError, match="end within"):
        check_executor(Swallows)
