"""One thread for linear algebra, also where several threads of a program tune at once."""

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from greyhound.numeric import threads

PROGRAM = Path(__file__).parents[1] / "programs" / "two_threads.py"


def blas() -> set[int]:
    np.linalg.eigh(np.eye(2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_threads_take_turns_and_leave_all_as_it_was():
    variables = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    told = subprocess.run([sys.executable, PROGRAM], env=variables, capture_output=True, text=True, check=True).stdout
    assert told.split("\n") == ["before 2", "first in 1", "first out 1", "second in 1", "second out 1", "after 2", ""]


def test_an_error_inside_sets_the_threads_back_too():
    with threadpool_limits(2):
        with pytest.raises(ArithmeticError), threads.one():
            raise ArithmeticError
        assert blas() == {2}


def enter() -> None:
    with threads.one():
        pass


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_waits_for_no_thread_that_it_does_not_have():
    entered, left = threading.Event(), threading.Event()

    def hold():
        with threads.one():
            entered.set()
            left.wait(30.0)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10.0)
    child = multiprocessing.get_context("fork").Process(target=enter)
    child.start()
    child.join(10.0)
    code = child.exitcode
    child.kill()
    left.set()
    holder.join()
    assert code == 0
