"""Conformance checks for plug-ins: run them on a sampler, scheduler, executor or journal of your own.

    from greyhound.testing import check_sampler
    check_sampler(MySampler)

Each check raises AssertionError with one sentence that says which promise was broken.
"""

from greyhound.testing.executors import check_executor
from greyhound.testing.journals import check_journal
from greyhound.testing.samplers import check_sampler
from greyhound.testing.schedulers import check_scheduler

__all__ = ["check_executor", "check_journal", "check_sampler", "check_scheduler"]
