"""Tuning a function: found where it was said to be, and every ending told apart."""

import functools
import math
import os
import pickle
import subprocess
import sys
import textwrap

import cloudpickle
import numpy as np
import pytest
import torch

from greyhound.errors import EvaluationError, StudyError
from greyhound.evaluators.function import Function, from_target, import_path, resolve
from greyhound.jobs import Answer, Outcome
from greyhound.trial import TrialState, Verdict


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Writes modules into the current folder, and forgets them afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    yield write
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) is None or str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


TRAIN = """
    class Trainer:
        @staticmethod
        def fit(trial):
            return 2.0

    def train(trial):
        return trial.params["x"]

    RATE = 0.1
"""

# What a training returns


@pytest.mark.parametrize(
    ("returned", "metrics"),
    [(0.5, {"score": 0.5}), (1, {"score": 1.0}), (np.float32(0.5), {"score": 0.5}), (torch.tensor(0.5), {"score": 0.5}),
     (np.array([0.5]), {"score": 0.5}), (torch.tensor([0.5], requires_grad=True), {"score": 0.5}),
     ((0.5,), {"score": 0.5}), ({"score": 0.5, "ms": 3}, {"score": 0.5, "ms": 3.0})],
)  # fmt: skip
def test_a_number_or_a_table_of_metrics_is_the_result(returned, metrics, job, line):
    outcome = Function(lambda trial: returned)(job(), line)
    assert (outcome.number, outcome.state, outcome.metrics, outcome.error) == (3, TrialState.COMPLETED, metrics, None)


def test_numbers_in_order_are_the_objectives(job, line):
    outcome = Function(lambda trial: (0.5, 3))(job(objectives=("score", "size")), line)
    assert outcome.metrics == {"score": 0.5, "size": 3.0}


def test_a_training_that_returns_nothing_is_known_by_its_last_reports(job, line):
    def train(trial):
        trial.report(1, score=0.5)

    assert Function(train)(job(), line).state is TrialState.COMPLETED


def test_an_objective_may_be_reported_and_another_returned(job, line):
    def train(trial):
        trial.report(1, score=0.5)
        return {"size": 3}

    outcome = Function(train)(job(objectives=("score", "size")), line)
    assert (outcome.state, outcome.metrics) == (TrialState.COMPLETED, {"size": 3.0})


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (None, "the training ended without score, an objective of the study; it reported and returned nothing."),
        ({"loss": 1}, "the training ended without score, an objective of the study; it told loss."),
        ({}, "the training ended without score, an objective of the study; it reported and returned nothing."),
        ((1, 2), "the training returned 2 values for 1 objectives: score."),
        ("0.5", "return a number for each objective, a dict of metrics, or nothing."),
        (10**400, "return a number for each objective, a dict of metrics, or nothing."),
        (np.zeros((2, 2)), "return a number for each objective, a dict of metrics, or nothing."),
        ("good", "return a number for each objective, a dict of metrics, or nothing."),
        ({"score": None}, "return a number for each objective, a dict of metrics, or nothing."),
        (np.zeros(3), "return a number for each objective, a dict of metrics, or nothing."),
        (object(), "return a number for each objective, a dict of metrics, or nothing."),
    ],
)
def test_a_training_without_a_usable_result_fails_with_a_sentence(returned, error, job, line):
    outcome = Function(lambda trial: returned)(job(), line)
    assert outcome.state is TrialState.FAILED
    assert outcome.error.endswith(error)
    assert "\n" not in outcome.error


@pytest.mark.parametrize("returned", [math.nan, math.inf, {"score": -math.inf}, torch.tensor(math.nan)])
def test_a_result_that_is_no_finite_number_has_diverged(returned, job, line):
    assert Function(lambda trial: returned)(job(), line).state is TrialState.DIVERGED


def test_a_last_result_makes_up_for_nothing_that_was_reported(job, line):
    """What the training returns counts, not what it reported before."""

    def train(trial):
        trial.report(1, score=0.5)
        return math.nan

    assert Function(train)(job(), line).state is TrialState.DIVERGED


# How a training fails


def raising(error):
    def train(trial):
        trial.report(1, score=0.5)
        raise error

    return train


def test_an_exception_fails_the_trial_with_a_traceback_from_the_training_on(job, line):
    outcome = Function(raising(ValueError("no such layer")))(job(), line)
    assert outcome.state is TrialState.FAILED
    first, where, *_ = outcome.error.splitlines()
    assert first == "Traceback (most recent call last):"
    assert __file__ in where
    assert outcome.error.endswith("ValueError: no such layer")


def test_the_cause_of_an_exception_is_told_before_it(job, line):
    def train(trial):
        try:
            trial.params["no such"]
        except KeyError as error:
            raise RuntimeError("no data") from error

    told = Function(train)(job(), line).error
    assert told.index("KeyError") < told.index("the direct cause") < told.index("RuntimeError: no data")


def test_of_a_very_long_error_the_middle_is_left_out(job, line):
    told = Function(raising(ValueError("shape" + 100_000 * "x" + "wrong")))(job(), line).error
    assert len(told) < 21_000
    assert "ValueError: shape" in told
    assert told.endswith("wrong")


def test_what_greyhound_raises_inside_of_a_training_is_shown_with_the_line_that_caused_it(job, line):
    def train(trial):
        trial.report(1, score="good")

    outcome = Function(train)(job(), line)
    assert outcome.state is TrialState.FAILED
    assert 'trial.report(1, score="good")' in outcome.error
    assert "metric 'score' must be a number" in outcome.error.splitlines()[-1]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_memory_that_ran_out_is_told_apart(error, job, line):
    outcome = Function(raising(error))(job(), line)
    assert outcome.state is TrialState.OUT_OF_MEMORY
    assert type(error).__name__ in outcome.error


def test_real_memory_that_ran_out_is_told_apart(job, line):
    assert Function(lambda trial: np.zeros(10**17))(job(), line).state is TrialState.OUT_OF_MEMORY
    assert Function(lambda trial: torch.zeros(10**17))(job(), line).state is TrialState.OUT_OF_MEMORY


@pytest.mark.parametrize(
    "error", [ValueError("out of memory slots"), RuntimeError("mat1 and mat2 shapes"), KeyError("x")]
)
def test_other_errors_are_no_lack_of_memory(error, job, line):
    assert Function(raising(error))(job(), line).state is TrialState.FAILED


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(2), GeneratorExit()])
def test_a_training_that_exits_fails_and_the_worker_lives_on(error, job, line):
    assert Function(raising(error))(job(), line).state is TrialState.FAILED


def test_ctrl_c_is_let_through(job, line):
    with pytest.raises(KeyboardInterrupt):
        Function(raising(KeyboardInterrupt()))(job(), line)


def test_every_ending_has_its_state(job, make_line):
    def train(trial):
        for step in range(1, 5):
            trial.report(step, score=0.5)

    def end(verdict, **options):
        return Function(train)(job(until=2, **options), make_line(lambda step: Answer(verdict))).state

    assert end(Verdict.CONTINUE) is TrialState.COMPLETED
    assert end(Verdict.PAUSE) is TrialState.PAUSED
    assert end(Verdict.STOP) is TrialState.STOPPED
    assert Function(lambda trial: 1 / 0)(job(), make_line()).state is TrialState.FAILED


def test_the_time_that_it_trained_is_told_whatever_the_end(job, line):
    import time

    def train(trial):
        time.sleep(0.02)
        if trial.params["x"] > 0.6:
            raise ValueError
        return 1.0

    for x in (0.5, 0.7):
        assert 0.02 <= Function(train)(job(params={"x": x}), line).seconds < 5


# Finding a function


def test_a_function_is_found_in_a_file(place, job, line):
    place("sub/fit.py", TRAIN)
    assert Function(resolve("sub/fit.py:train"))(job(), line).metrics == {"score": 0.5}


def test_a_function_is_found_in_a_module_of_the_current_folder(place, job, line):
    place("package/__init__.py", "")
    place("package/fit.py", TRAIN)
    assert Function(resolve("package.fit:train"))(job(), line).metrics == {"score": 0.5}


def test_a_function_inside_of_a_class_is_found(place):
    place("fit.py", TRAIN)
    assert resolve("fit.py:Trainer.fit")(None) == 2.0
    assert resolve("fit:Trainer.fit")(None) == 2.0


def test_a_file_finds_its_neighbours(place):
    place("sub/helper.py", "RATE = 0.25")
    place("sub/fit.py", "import helper\ndef train(trial): return helper.RATE")
    assert resolve("sub/fit.py:train")(None) == 0.25


@pytest.mark.parametrize("name", ["json.py", "my-train.py", "2024.py"])
def test_a_file_may_have_the_name_of_another_module_or_of_none(name, place):
    import json

    place(name, TRAIN)
    assert resolve(f"{name}:train").__name__ == "train"
    assert json.dumps(1) == "1"
    assert sys.modules["json"] is json


@pytest.mark.parametrize("name", ["fit.py", "json.py", "my-train.py"])
def test_a_file_is_imported_once(name, place):
    place(name, TRAIN)
    assert resolve(f"{name}:train") is resolve(f"{name}:train")


def test_a_file_has_the_same_module_name_in_every_process(place):
    place("json.py", TRAIN)
    program = "from greyhound.evaluators.function import resolve\nprint(resolve('json.py:train').__module__)"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == resolve("json.py:train").__module__


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("fit.py", "'fit.py': write 'package.module:function' or 'file.py:function'."),
        (":train", "':train': write"),
        ("fit.py:", "'fit.py:': write"),
        ("", "'': write"),
        ("gone.py:train", r"gone\.py: there is no such file\."),
        ("gone:train", "there is no module 'gone' in this folder or among the installed ones."),
        ("gone.sub:train", "there is no module 'gone.sub' in this folder or among the installed ones."),
        ("fit.py:trian", "fit.py has no function 'trian'. Did you mean 'train'?"),
        ("fit.py:evaluate", "fit.py has no function 'evaluate'. It has train."),
        ("fit.py:Trainer.train", "fit.py has no function 'Trainer.train'."),
        ("empty.py:train", "empty.py has no function 'train'. It has no functions."),
        ("fit.py:RATE", "fit.py:RATE is a float, not a function."),
        ("broken.py:train", "broken.py cannot be imported: SyntaxError"),
        ("broken:train", "broken cannot be imported: SyntaxError"),
        ("needy.py:train", "needy.py cannot be imported: ModuleNotFoundError: No module named 'not_installed'"),
        ("needy:train", "needy cannot be imported: No module named 'not_installed'"),
        ("raising.py:train", "raising.py cannot be imported: ValueError: bad data"),
        ("raising:train", "raising cannot be imported: ValueError: bad data"),
    ],
)
def test_a_target_that_leads_nowhere_is_told_with_the_way_out(target, error, place):
    place("fit.py", TRAIN)
    place("empty.py", "")
    place("broken.py", "def train(:")
    place("needy.py", "import not_installed")
    place("raising.py", "raise ValueError('bad data')")
    with pytest.raises(EvaluationError, match=error):
        resolve(target)


def test_a_program_is_read_up_to_where_it_begins_to_tune(place):
    program = f"{TRAIN}\n    import greyhound as gh\n    LATER = gh.tune(train, {{}}, budget=1, workers='serial')\n"
    place("program.py", program)
    place("package.py", program)
    assert not hasattr(sys.modules[resolve("program.py:train").__module__], "LATER")
    with pytest.raises(EvaluationError, match=r"package begins to tune where it is imported; put that under `if __na"):
        resolve("package:train")


def test_a_file_that_could_not_be_imported_can_be_once_it_is_mended(place):
    place("fit.py", "raise ValueError")
    with pytest.raises(EvaluationError):
        resolve("fit.py:train")
    place("fit.py", TRAIN + "\n    MENDED = True\n")
    assert resolve("fit.py:train")


@pytest.mark.parametrize("text", ["def train(): return 1.0", "def train(model, data): return 1.0"])
def test_a_function_that_takes_no_trial_is_told_when_it_is_found(text, place):
    place("fit.py", text)
    with pytest.raises(EvaluationError, match=r"fit\.py:train must take one argument, the trial; it is written \("):
        resolve("fit.py:train")


@pytest.mark.parametrize(
    "text", ["def train(trial, epochs=9): return 1.0", "def train(*args, **options): return 1.0", "train = float"]
)
def test_whatever_can_be_called_with_the_trial_alone_is_found(text, place):
    place("fit.py", text)
    assert callable(resolve("fit.py:train"))


@pytest.mark.parametrize("target", ["fit.py:train", "fit:train"])
def test_a_file_that_exits_when_it_is_imported_is_told(target, place):
    place("fit.py", "import sys\nsys.exit(2)")
    with pytest.raises(EvaluationError, match="cannot be imported: SystemExit: 2"):
        resolve(target)


# Telling another process where it is


def test_a_function_s_path_leads_back_to_it(place):
    place("package/__init__.py", "")
    place("package/fit.py", TRAIN)
    place("alone.py", TRAIN)
    for target in ("package.fit:train", "package.fit:Trainer.fit", "alone.py:train"):
        function = resolve(target)
        assert resolve(import_path(function)) is function


def test_what_only_its_own_program_can_make_has_no_path():
    def inner(trial):
        return 1.0

    class Callable:
        def __call__(self, trial):
            return 1.0

    for function in (inner, lambda trial: 1.0, functools.partial(inner), Callable()):
        assert import_path(function) is None


def test_a_method_of_an_object_has_no_path(place):
    place("fit.py", "class Trainer:\n    def fit(self, trial): return 1.0\ntrainer = Trainer()")
    assert import_path(resolve("fit.py:trainer.fit")) is None


def test_a_method_of_a_class_has_a_path(place):
    place("fit.py", "class Trainer:\n    @classmethod\n    def fit(cls, trial): return 1.0")
    assert import_path(resolve("fit.py:Trainer.fit")) == "fit:Trainer.fit"


def test_a_wrapper_has_no_path_where_its_name_is_that_of_the_function_inside(place):
    place("fit.py", TRAIN)
    train = resolve("fit.py:train")

    @functools.wraps(train)
    def timed(trial):
        return train(trial)

    assert import_path(timed) is None


def test_a_program_s_own_function_is_found_by_the_file(place):
    place(
        "program.py",
        """
        from greyhound.evaluators.function import import_path
        def train(trial): return 1.0
        print(import_path(train))
        """,
    )
    told = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, check=True).stdout.strip()
    assert told == "program.py:train"
    assert resolve(told)(None) == 1.0


def test_a_function_typed_into_a_prompt_has_no_path():
    program = "from greyhound.evaluators.function import import_path\ndef train(trial): pass\nprint(import_path(train))"
    for command in ([sys.executable, "-c", program], [sys.executable, "-"]):
        done = subprocess.run(command, input=program, capture_output=True, text=True, check=True)
        assert done.stdout == "None\n"


def in_another_process(data, folder):
    """The metrics of the pickled evaluator for x = 0.5, from a process that has never seen the test."""
    program = """
        import pickle, sys
        from greyhound.jobs import Job
        evaluate = pickle.loads(bytes.fromhex(sys.argv[1]))
        outcome = evaluate(Job(3, {"x": 0.5}, 7, objectives=("score",)), None)
        print(outcome.error or dict(outcome.metrics))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), data.hex()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_function_found_by_its_path_is_found_again_in_a_worker(place, tmp_path):
    place("fit.py", TRAIN)
    evaluator = from_target("fit.py:train")
    data = pickle.dumps(evaluator)
    place("fit.py", TRAIN.replace('trial.params["x"]', "0.75"))
    assert in_another_process(data, tmp_path) == "{'score': 0.75}", "the file counts, not what was loaded from it"


def test_any_other_function_travels_by_value(tmp_path):
    factor = 3
    data = cloudpickle.dumps(Function(lambda trial: factor * trial.params["x"]))
    assert in_another_process(data, tmp_path) == "{'score': 1.5}"


def test_an_outcome_can_cross_to_another_process(job, line):
    outcome = Function(raising(StudyError("why")))(job(), line)
    assert isinstance(outcome, Outcome)
    assert pickle.loads(pickle.dumps(outcome)) == outcome
