"""Worker processes: how they die, are replaced and taken out, what they may use, and who outlives whom."""

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from random import Random

import cloudpickle
import psutil
import pytest

from greyhound import leases
from greyhound.errors import EvaluationError, StudyError
from greyhound.executors import Processes, launch, worker
from greyhound.jobs import Answer, Job, Note, Outcome, Progress, WorkerRetired
from greyhound.testing.executors import PATIENCE_S, job, loop_on, train
from greyhound.trial import TrialState, Verdict

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests

SOURCE = Path(worker.__file__).parents[2]


class Trainer:
    """Holds on to itself, as a framework's trainer and its model do to each other."""

    alive = 0

    def __init__(self):
        self.me = self
        Trainer.alive += 1

    def __del__(self):
        Trainer.alive -= 1


def leave(job, channel):
    """Leave a trainer behind, and say how many others are still there."""
    found = Trainer.alive
    Trainer()
    return Outcome(job.number, TrialState.COMPLETED, {"alive": found})


def act(job, channel):
    """Do what the parameters say, in a worker."""
    told = dict(job.params)
    channel.send(Note(job.number, {"pid": os.getpid()}))
    if "sleep" in told:
        time.sleep(told["sleep"])
    if "signal" in told:
        os.kill(os.getpid(), told["signal"])
    if "exit" in told:
        os._exit(told["exit"])
    if "raise" in told:
        raise ValueError(told["raise"])
    if "print" in told:
        print(told["print"])
        os.system("echo from a program")
        print("to stderr", file=sys.stderr)
    return Outcome(job.number, TrialState[told.get("end", "COMPLETED")], {"pid": os.getpid()})


def look(job, channel):
    """Report what the worker may use."""
    channel.send(
        Note(
            job.number,
            {
                "environment": dict(os.environ),
                "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
                "group": os.getpgid(0),
                "argv": sys.argv,
                "directory": os.getcwd(),
                "modules": [name for name in ("torch", "numpy", "sqlalchemy") if name in sys.modules],
            },
        )
    )
    os.chdir("/")
    return Outcome(job.number, TrialState.COMPLETED)


def one(evaluator=act, **options):
    return Processes(evaluator, 1, gpus_per_trial=0, **options)


def do(number, directory=None, **params):
    return Job(number, params, seed=0, directory=directory)


def noted(loop, number):
    return next(m.attrs for m in loop.seen if isinstance(m, Note) and m.number == number)


def eventually(held, patience_s=PATIENCE_S):
    give_up = time.monotonic() + patience_s
    while not held():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def kill(pid):
    """Kill a worker and wait until it is dead, without taking its end from its executor."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


# How runs end


def test_killed_worker_loses_its_job_and_its_slot_works_again():
    with loop_on(one()) as loop:
        loop.run(do(0, signal=signal.SIGKILL))
        lost = loop.outcome(0)
        assert lost.state is TrialState.LOST
        assert "killed by signal 9" in lost.error
        assert lost.seconds > 0
        loop.run(do(1))
        assert loop.outcome(1).state is TrialState.COMPLETED
        assert noted(loop, 0)["pid"] != noted(loop, 1)["pid"]


def test_death_is_noticed_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(launch, "_sentinel", lambda pid: None)
    with loop_on(one()) as loop:
        loop.run(do(0, signal=signal.SIGKILL), do(1))
        assert loop.outcome(0).state is TrialState.LOST
        assert loop.outcome(1).state is TrialState.COMPLETED


def test_death_is_noticed_while_a_child_holds_the_line_open():
    def leaves_a_child(job, channel):
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    with loop_on(one(leaves_a_child)) as loop:
        loop.run(do(0))
        assert loop.outcome(0).state is TrialState.LOST


def test_worker_that_ends_itself_is_told_by_its_exit_code(tmp_path):
    with loop_on(one()) as loop:
        loop.run(do(0, tmp_path, exit=3))
        assert loop.outcome(0).state is TrialState.LOST
        assert "exit code 3" in loop.outcome(0).error
        assert str(tmp_path / "log.txt") in loop.outcome(0).error


def test_crash_below_python_leaves_its_stack_in_the_log(tmp_path):
    with loop_on(one()) as loop:
        loop.run(do(0, tmp_path, signal=signal.SIGSEGV))
        assert "killed by signal 11" in loop.outcome(0).error
        assert "Segmentation fault" in (tmp_path / "log.txt").read_text()


def test_kill_for_want_of_memory_is_told_apart(monkeypatch):
    kills = iter(range(100))
    monkeypatch.setattr(launch, "memory_kills", lambda: next(kills))
    with loop_on(one()) as loop:
        loop.run(do(0, signal=signal.SIGKILL))
        assert loop.outcome(0).state is TrialState.OUT_OF_MEMORY


def test_worker_is_replaced_after_out_of_memory_and_only_then():
    with loop_on(one()) as loop:
        loop.run(do(0, end="FAILED"), do(1, end="OUT_OF_MEMORY"), do(2))
        pids = [noted(loop, number)["pid"] for number in range(3)]
        assert pids[0] == pids[1] != pids[2]
        assert not psutil.pid_exists(pids[0])


def test_worker_with_a_gpu_is_replaced_after_a_failure_which_may_have_broken_its_cuda_for_good(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with loop_on(Processes(act, 1)) as loop:
        loop.run(do(0), do(1, **{"raise": "CUDA error: device-side assert triggered"}), do(2))
        pids = [noted(loop, number)["pid"] for number in range(3)]
        assert pids[0] == pids[1] != pids[2]
        assert loop.outcome(1).state is TrialState.FAILED


def test_what_a_training_left_in_cycles_is_freed_before_the_next():
    with loop_on(one(leave)) as loop:
        for number in range(2):
            loop.run(do(number))
            assert loop.outcome(number).metrics == {"alive": 0}


def test_run_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path):
    def lingers(job, channel):
        child = subprocess.Popen(["sleep", "600"])
        (job.directory / "child").write_text(str(child.pid))
        time.sleep(job.params["seconds"])
        child.kill()
        return Outcome(job.number, TrialState.COMPLETED)

    with loop_on(one(lingers, trial_timeout_s=1.0)) as loop:
        loop.run(Job(0, {"seconds": 600}, seed=0, directory=tmp_path))
        late = loop.outcome(0)
        assert late.state is TrialState.TIMED_OUT
        assert late.seconds >= 1.0
        assert "trial_timeout_s" in late.error
        child = int((tmp_path / "child").read_text())
        eventually(lambda: not _lives(child))
        loop.run(Job(1, {"seconds": 0}, seed=0, directory=tmp_path / "1"))
        assert loop.outcome(1).state is TrialState.COMPLETED


def test_what_lost_its_own_parent_ends_with_the_group_that_a_run_started(tmp_path):
    def lingers(job, channel):
        group = subprocess.Popen(
            ["sh", "-c", "(sleep 600 & echo $!); exec sleep 600"], stdout=subprocess.PIPE, start_new_session=True
        )
        (job.directory / "orphan").write_text(group.stdout.readline().decode())
        time.sleep(600)

    with loop_on(one(lingers, trial_timeout_s=3.0)) as loop:
        loop.run(Job(0, {}, seed=0, directory=tmp_path))
        assert loop.outcome(0).state is TrialState.TIMED_OUT
        orphan = int((tmp_path / "orphan").read_text())
        eventually(lambda: not _lives(orphan))


def test_time_out_counts_from_the_start_of_each_run():
    with loop_on(one(trial_timeout_s=4.0)) as loop:
        loop.run(*(do(number, sleep=1.1) for number in range(4)))
        assert all(loop.outcome(number).state is TrialState.COMPLETED for number in range(4))


def test_time_out_does_not_count_the_wait_for_a_device_on_which_another_measures():
    with loop_on(one(trial_timeout_s=1.0)) as loop:
        with leases.exclusive():
            loop.until_free()
            loop.executor.submit(do(0))
            until = time.monotonic() + 2.0
            loop.until(lambda: time.monotonic() > until, "somebody measures for two seconds")
        loop.until_ended(0)
        assert loop.outcome(0).state is TrialState.COMPLETED


def test_message_that_cannot_be_read_fails_its_job():
    def odd(job, channel):
        class Fragile:
            def __reduce__(self):
                return (int, ("not a number",))

        channel.send(Note(job.number, {"value": Fragile()}))
        time.sleep(600)

    with loop_on(one(odd)) as loop:
        loop.run(do(0))
        assert loop.outcome(0).state is TrialState.FAILED
        assert "cannot be read" in loop.outcome(0).error


def test_idle_worker_that_dies_is_replaced_before_the_next_job():
    with loop_on(one()) as loop:
        loop.run(do(0))
        pid = noted(loop, 0)["pid"]
        kill(pid)
        loop.until(lambda: not psutil.pid_exists(pid) and loop.executor.free == 1, "it is replaced")
        loop.run(do(1))
        assert loop.outcome(1).state is TrialState.COMPLETED


def test_job_submitted_to_a_worker_that_has_just_died_is_not_lost():
    with loop_on(one()) as loop:
        loop.run(do(0))
        kill(noted(loop, 0)["pid"])
        loop.executor.submit(do(1))
        loop.until_ended(1)
        assert loop.outcome(1).state is TrialState.COMPLETED


def test_every_job_ends_once_whatever_befalls_its_worker():
    fates = [
        {},
        {"signal": signal.SIGKILL},
        {"exit": 1},
        {"raise": "oops"},
        {"end": "OUT_OF_MEMORY"},
        {"sleep": 600},
        {"end": "PAUSED"},
    ]
    random = Random(5)
    jobs = [do(number, **random.choice(fates)) for number in range(60)]
    with loop_on(Processes(act, 3, gpus_per_trial=0, retire_after=1000, trial_timeout_s=1.0)) as loop:
        loop.run(*jobs)
        ends = [(dict(job.params), loop.outcome(job.number).state.name) for job in jobs]
    expected = ["COMPLETED", "LOST", "LOST", "FAILED", "OUT_OF_MEMORY", "TIMED_OUT", "PAUSED"]
    assert all(end == expected[fates.index(fate)] for fate, end in ends)


# Workers that are taken out


def test_worker_on_which_job_after_job_fails_is_taken_out():
    with loop_on(one(retire_after=3)) as loop:
        loop.run(do(0, **{"raise": "one"}), do(1, signal=signal.SIGKILL), do(2, **{"raise": "bad GPU"}))
        assert loop.seen[-1] == WorkerRetired("worker-0", "ValueError: bad GPU", left=0)
        assert (loop.executor.slots, loop.executor.free, list(loop.executor.workers)) == (0, 0, [])
        assert list(loop.executor.messages(600.0)) == []


def test_one_success_clears_the_count_and_a_time_out_does_not_count():
    with loop_on(one(retire_after=2, trial_timeout_s=1.0)) as loop:
        failing = {"raise": "again"}
        loop.run(do(0, **failing), do(1), do(2, **failing), do(3, sleep=600), do(4), do(5, **failing))
        assert loop.executor.slots == 1


def test_good_workers_go_on_when_one_is_taken_out():
    def fails_on_the_first(job, channel):
        if os.environ["GREYHOUND_WORKER"] == "worker-0":
            raise ValueError("bad GPU")
        time.sleep(0.02)
        return Outcome(job.number, TrialState.COMPLETED)

    with loop_on(Processes(fails_on_the_first, 2, gpus_per_trial=0, retire_after=2)) as loop:
        loop.run(*(do(number) for number in range(12)))
        retired = [message for message in loop.seen if isinstance(message, WorkerRetired)]
        assert [(message.worker, message.left) for message in retired] == [("worker-0", 1)]
        assert [worker.name for worker in loop.executor.workers] == ["worker-1"]
        states = [loop.outcome(number).state for number in range(12)]
        assert states.count(TrialState.FAILED) == 2
        assert states.count(TrialState.COMPLETED) == 10


def test_worker_that_cannot_start_is_tried_twice_and_says_why():
    class Crash:
        def __reduce__(self):
            return (os._exit, (7,))

    with loop_on(one(Crash())) as loop:
        loop.until(lambda: loop.executor.slots == 0, "the worker is taken out")
        assert [type(message) for message in loop.seen] == [WorkerRetired]
        assert "exit code 7" in loop.seen[0].why


def test_worker_that_hangs_at_its_start_is_taken_out():
    class Hang:
        def __reduce__(self):
            return (time.sleep, (600,))

    with loop_on(one(Hang(), start_timeout_s=0.5)) as loop:
        loop.until(lambda: loop.executor.slots == 0, "the worker is taken out")
        assert "start_timeout_s" in loop.seen[0].why


def test_evaluator_that_cannot_be_loaded_is_one_clear_error():
    class Missing:
        def __reduce__(self):
            return (eval, ("__import__('not_installed_there')",))

    executor = Processes(Missing(), 2, gpus_per_trial=0)
    with (
        loop_on(executor) as loop,
        pytest.raises(EvaluationError, match="No module named 'not_installed_there'"),
    ):
        loop.until_free()
    assert executor.slots == 0


def test_evaluator_that_cannot_be_pickled_is_one_clear_error():
    lock = threading.Lock()
    with pytest.raises(EvaluationError, match=r"cannot pickle '_thread\.lock' object"):
        one(lambda job, channel: lock)


@pytest.mark.parametrize("option", ["trial_timeout_s", "retire_after", "start_timeout_s"])
def test_option_that_makes_no_sense_is_refused(option):
    with pytest.raises(StudyError, match=f"{option}: write a number above 0; got 0"):
        one(**{option: 0})


# What workers print, lock and use


def test_output_goes_to_the_log_of_the_trial_and_not_to_the_terminal(tmp_path, capfd):
    with loop_on(one()) as loop:
        loop.run(do(0, tmp_path / "0", print="first"), do(1, print="nowhere"), do(2, tmp_path / "0", print="ünd"))
    lines = (tmp_path / "0" / "log.txt").read_text(encoding="utf-8").splitlines()
    assert lines == ["first", "from a program", "to stderr", "ünd", "from a program", "to stderr"]
    assert capfd.readouterr() == ("", "")


def test_output_is_in_the_log_while_the_training_goes_on(tmp_path):
    def talks(job, channel):
        print("half way")
        channel.send(Progress(job.number, 1, {}, waits=True))
        channel.answer(wait=True)
        return Outcome(job.number, TrialState.COMPLETED)

    logged = []

    def judge(loop, progress):
        logged.append((tmp_path / "log.txt").read_text())
        loop.executor.tell(progress.number, Answer(Verdict.CONTINUE))

    with loop_on(one(talks), judge) as loop:
        loop.run(do(0, tmp_path))
    assert logged == ["half way\n"]


def test_folder_that_cannot_be_made_fails_the_job_and_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with loop_on(one()) as loop:
        loop.run(do(0, tmp_path / "file" / "trial"), do(1))
        assert loop.outcome(0).state is TrialState.FAILED
        assert "NotADirectoryError" in loop.outcome(0).error
        assert loop.outcome(1).state is TrialState.COMPLETED


def test_two_workers_never_train_one_trial_at_once(tmp_path):
    def alone(job, channel):
        mark = job.directory / "here"
        mark.touch(exist_ok=False)
        time.sleep(0.3)
        mark.unlink()
        return Outcome(job.number, TrialState.COMPLETED)

    with loop_on(one(alone)) as first, loop_on(one(alone)) as second:
        for loop in (first, second):
            loop.until_free()
        for loop in (first, second):
            loop.executor.submit(do(0, tmp_path))
        for loop in (first, second):
            loop.until_ended(0)
            assert loop.outcome(0).state is TrialState.COMPLETED


def test_trial_that_another_process_holds_fails_clearly(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "LOCK_PATIENCE_S", 0.1)
    with worker._locked(tmp_path):
        outcome = worker.run(act, do(0, tmp_path), channel=None)
    assert outcome.state is TrialState.FAILED
    assert str(tmp_path / "lock") in outcome.error
    assert "Traceback" not in outcome.error


def test_an_executor_says_how_long_its_workers_wait_for_a_lock(tmp_path):
    with (
        loop_on(Processes(act, 1, gpus_per_trial=0, environment={worker.LOCK_PATIENCE: "0.1"})) as loop,
        worker._locked(tmp_path),
    ):
        loop.run(do(0, tmp_path))
        assert "another process trains this trial, for 0.1 s" in loop.outcome(0).error


def test_lock_is_free_after_a_run_that_left_a_child(tmp_path):
    def forks(job, channel):
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        return Outcome(job.number, TrialState.COMPLETED)

    with loop_on(one(forks)) as loop:
        loop.run(do(0, tmp_path))
        with worker._locked(tmp_path):
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_what_a_killed_training_forked_ends_with_it_and_holds_no_lock(tmp_path):
    def forks(job, channel):
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    with loop_on(one(forks)) as loop:
        loop.run(do(0, tmp_path))
        assert loop.outcome(0).state is TrialState.LOST
        with worker._locked(tmp_path):
            pass


def test_child_that_a_training_forked_and_let_return_is_no_second_worker():
    def forks(job, channel):
        forked = os.fork()
        if forked == 0:
            return Outcome(job.number, TrialState.COMPLETED, {"by": 2.0})
        how = os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
        return Outcome(job.number, TrialState.COMPLETED, {"by": 1.0, "child": how})

    with loop_on(one(forks)) as loop:
        loop.run(do(0), do(1))
        assert loop.outcome(0).metrics == loop.outcome(1).metrics == {"by": 1.0, "child": 0}


def test_children_obey_signals_that_the_worker_ignores():
    def ends_children(job, channel):
        ready, says = os.pipe()
        forked = os.fork()
        if forked == 0:
            os.write(says, b"!")
            time.sleep(600)
            os._exit(0)
        os.read(ready, 1)
        program = subprocess.Popen(["sleep", "600"])
        for pid in (os.getpid(), forked, program.pid):
            os.kill(pid, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        how = os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
        return Outcome(job.number, TrialState.COMPLETED, {"forked": how, "program": program.wait()})

    with loop_on(one(ends_children)) as loop:
        loop.run(do(0))
        assert loop.outcome(0).metrics == {"forked": -signal.SIGTERM, "program": -signal.SIGTERM}


def test_worker_has_what_its_lease_says():
    options = {"OMP_NUM_THREADS": "5", "MINE": "x"}
    with loop_on(Processes(look, 1, gpus_per_trial=0, environment=options)) as loop:
        loop.run(do(0), do(1))
        seen = noted(loop, 0)
        assert seen["environment"]["CUDA_VISIBLE_DEVICES"] == ""
        assert seen["environment"]["OMP_NUM_THREADS"] == "5"
        assert seen["environment"]["MINE"] == "x"
        assert seen["environment"]["GREYHOUND_WORKER"] == "worker-0"
        assert seen["group"] == os.getpgid(0)
        assert seen["argv"] == sys.argv
        assert noted(loop, 1)["directory"] == os.getcwd()


def test_worker_imports_nothing_heavy():
    with loop_on(Processes(look_by_reference(), 1, gpus_per_trial=0)) as loop:
        loop.run(do(0))
        assert noted(loop, 0)["modules"] == []


def look_by_reference():
    """An evaluator that brings nothing along, as pytest and hypothesis would."""
    namespace = {}
    source = """
        def bare(job, channel):
            import sys
            from greyhound.jobs import Note, Outcome
            from greyhound.trial import TrialState
            found = [name for name in ("torch", "numpy", "sqlalchemy", "psutil") if name in sys.modules]
            channel.send(Note(job.number, {"modules": found}))
            return Outcome(job.number, TrialState.COMPLETED)
    """
    exec(textwrap.dedent(source), namespace)
    return namespace["bare"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are only kept apart on Linux")
@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [])(0)) < 2, reason="needs two cores")
def test_workers_keep_to_cores_of_their_own():
    with loop_on(Processes(look, 2, gpus_per_trial=0, cores_per_trial=1)) as loop:
        loop.until(lambda: loop.executor.free == 2, "both workers are ready")
        loop.executor.submit(do(0))
        loop.executor.submit(do(1))
        loop.until_ended(0, 1)
        first, second = noted(loop, 0)["cores"], noted(loop, 1)["cores"]
        assert len(first) == len(second) == 1
        assert first != second
        assert noted(loop, 0)["environment"]["OMP_NUM_THREADS"] == "1"


def test_workers_that_share_a_gpu_see_the_same_one(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with loop_on(Processes(look, gpus_per_trial=0.5)) as loop:
        loop.until(lambda: loop.executor.free == 2, "both workers are ready")
        loop.executor.submit(do(0))
        loop.executor.submit(do(1))
        assert [(worker.device, worker.trial) for worker in loop.executor.workers] == [
            ("GPU 3", 0),
            ("GPU 3", 1),
        ]
        loop.until_ended(0, 1)
        assert [noted(loop, number)["environment"]["CUDA_VISIBLE_DEVICES"] for number in (0, 1)] == ["3", "3"]


def test_large_evaluator_does_not_hold_up_the_coordinator():
    data = bytes(50_000_000)
    with loop_on(one(lambda job, channel: Outcome(job.number, TrialState.COMPLETED, {"size": len(data)}))) as loop:
        loop.run(do(0))
        assert loop.outcome(0).metrics == {"size": len(data)}


# Who outlives whom


def test_shutdown_ends_workers_and_what_they_started():
    def starts(job, channel):
        child = subprocess.Popen(["sleep", "600"])
        channel.send(Note(job.number, {"pids": [os.getpid(), child.pid]}))
        time.sleep(600)

    with loop_on(one(starts)) as loop:
        loop.until_free()
        loop.executor.submit(do(0))
        loop.until(lambda: loop.seen, "the training has started")
        loop.executor.shutdown()
        eventually(lambda: not any(map(_lives, noted(loop, 0)["pids"])))


def test_executor_that_is_forgotten_ends_its_workers():
    executor = one()
    with contextlib.ExitStack() as stack:
        loop = stack.enter_context(loop_on(executor))
        loop.run(do(0))
        pid = noted(loop, 0)["pid"]
        stack.pop_all()  # forget it without shutting it down
    del executor, loop, stack
    gc.collect()
    eventually(lambda: not _lives(pid))


COORDINATOR = """
import json, os, subprocess, sys, time
sys.path.insert(0, {source!r})
from greyhound.executors import Processes
from greyhound.jobs import Job, Note, Outcome
from greyhound.trial import TrialState

def train(job, channel):
    child = subprocess.Popen(["sleep", "600"])
    channel.send(Note(job.number, {{"pids": [os.getpid(), child.pid]}}))
    time.sleep(600)

executor = Processes(train, 2, gpus_per_trial=0)
submitted, pids = 0, []
while len(pids) < 4:
    while executor.free:
        executor.submit(Job(submitted, {{}}, seed=0))
        submitted += 1
    for message in executor.messages(1.0):
        pids += message.attrs["pids"]
print(json.dumps(pids), flush=True)
{then}
"""


@contextlib.contextmanager
def coordinator(then):
    """A coordinator with two workers, each with a program of its own, and the pids of all four."""
    program = COORDINATOR.format(source=str(SOURCE), then=then)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_nothing_outlives_a_coordinator_that_is_killed():
    with coordinator(then="time.sleep(600)") as (process, pids):
        process.kill()
        eventually(lambda: not any(map(_lives, pids)), patience_s=10.0)  # in truth well under one


def test_nothing_outlives_a_coordinator_whose_line_a_fork_holds_open():
    fork = "if os.fork() == 0:\n    os.close(1)\n    time.sleep(8)\n    os._exit(0)\ntime.sleep(600)"
    with coordinator(then=fork) as (process, pids):
        time.sleep(0.2)
        process.kill()
        eventually(lambda: not any(map(_lives, pids)))


def test_nothing_outlives_a_coordinator_that_just_ends():
    with coordinator(then="") as (process, pids):
        assert process.wait(PATIENCE_S) == 0
        eventually(lambda: not any(map(_lives, pids)))


def test_signals_for_the_coordinator_do_not_reach_a_training():
    with loop_on(one(train)) as loop:
        loop.until_free()
        loop.executor.submit(job(0, max_steps=20, pause_s=0.02))
        loop.until(lambda: any(isinstance(m, Progress) for m in loop.seen), "the training has started")
        for child in psutil.Process().children():
            child.send_signal(signal.SIGINT)
            child.send_signal(signal.SIGTERM)
        loop.until_ended(0)
        assert loop.outcome(0).state is TrialState.COMPLETED


def test_script_without_main_guard_runs_its_own_functions_and_imports(tmp_path):
    (tmp_path / "helper.py").write_text("FACTOR = 3\n")
    (tmp_path / "script.py").write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.append({str(SOURCE)!r})
            import helper
            from greyhound.executors import Processes
            from greyhound.jobs import Job, Outcome
            from greyhound.trial import TrialState

            class Doubler:
                def double(self, value):
                    return 2 * value

            def train(job, channel):
                value = helper.FACTOR * Doubler().double(7)
                return Outcome(job.number, TrialState.COMPLETED, {{"value": value}})

            executor = Processes(train, 1, gpus_per_trial=0)
            while not executor.free:
                executor.messages(1.0)
            executor.submit(Job(0, {{}}, seed=0))
            print(executor.messages(60.0)[0].metrics)
            """
        )
    )
    ran = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, cwd="/", timeout=PATIENCE_S
    )
    assert (ran.stdout, ran.stderr) == ("{'value': 42}\n", "")


def test_idle_coordinator_uses_no_processor_time():
    with loop_on(one()) as loop:
        loop.until_free()
        before = time.process_time()
        assert list(loop.executor.messages(0.5)) == []
        assert time.process_time() - before < 0.1


def _lives(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# On a GPU


def on_cuda(job, channel):
    import torch

    try:
        kept = torch.ones(1, device="cuda")
        if job.params.get("much"):
            kept = torch.empty(1 << 46, dtype=torch.uint8, device="cuda")
    except torch.OutOfMemoryError as error:
        return Outcome(job.number, TrialState.OUT_OF_MEMORY, error=str(error))
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    channel.send(Note(job.number, {"device": uuid, "count": torch.cuda.device_count(), "pid": os.getpid()}))
    return Outcome(job.number, TrialState.COMPLETED, {"sum": float(kept.sum())})


@pytest.mark.gpu
def test_two_workers_share_a_real_gpu():
    with loop_on(Processes(on_cuda, 2, gpus_per_trial=0.5)) as loop:
        loop.until(lambda: loop.executor.free == 2, "both workers are ready")
        loop.executor.submit(do(0))
        loop.executor.submit(do(1))
        loop.until_ended(0, 1)
        first, second = noted(loop, 0), noted(loop, 1)
        assert first["count"] == second["count"] == 1
        assert first["pid"] != second["pid"]
        assert first["device"] == second["device"] or len(loop.executor.workers) < 2


@pytest.mark.gpu
def test_worker_is_replaced_after_real_cuda_out_of_memory():
    with loop_on(Processes(on_cuda, 1)) as loop:
        loop.run(do(0), do(1, much=True), do(2))
        states = [loop.outcome(number).state for number in range(3)]
        assert states == [TrialState.COMPLETED, TrialState.OUT_OF_MEMORY, TrialState.COMPLETED]
        assert noted(loop, 0)["pid"] != noted(loop, 2)["pid"]


def test_more_workers_than_the_system_can_start_are_told_in_a_sentence_and_none_is_left(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import resource
            import psutil
            from greyhound.errors import StudyError
            from greyhound.executors import Processes

            def train(job, channel):
                pass

            resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
            try:
                Processes(train, workers=16, gpus_per_trial=0, cores_per_trial=1)
            except StudyError as error:
                print(error)
                print(psutil.Process().children(recursive=True))
            """
        )
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    told, left = done.stdout.splitlines()
    assert told.startswith("workers: worker-")
    assert " of 16 cannot be started: Too many open files; give fewer workers" in told
    assert left == "[]"
