"""A configuration trained several times: on every fold of the data, and again with other seeds.

A trial then is the row of its replicates, and a step of it is one of them: what it reports is the mean so far. So the
scheduler can stop a hopeless configuration after its first folds, and a trial that was paused or interrupted goes on
with the replicate at which it was. What a finished replicate came to is kept, its checkpoint is not.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from greyhound.errors import StudyError
from greyhound.evaluators import checkpoint
from greyhound.jobs import Answer, Channel, Evaluator, Job, Message, Outcome, Progress
from greyhound.trial import TrialState, Verdict, derive_seed

_VALUES = "replicates.json"
REPLICATE = "replicate-"
"""The folder of a replicate, within its trial's, and its place."""


@dataclass(frozen=True)
class Replicated:
    """Trains each job `folds` times `repeats` times; metrics are means, and of objectives the standard error too.

    The training sees which replicate it is by trial.fold (0 to folds - 1) and trial.repeat, and has to choose
    its data by them; a script by {fold}, {folds} and {repeat}. Each replicate has a seed and a folder of its own;
    max_steps is its full length. All of a repeat's folds come before the next repeat, in the same order in every trial.
    """

    evaluator: Evaluator
    folds: int = 1
    repeats: int = 1
    max_steps: int | None = None
    evaluates_jobs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, count in (("folds", self.folds), ("repeats", self.repeats)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise StudyError(f"{name} must be a whole number of at least 1; got {count!r}.")

    @property
    def count(self) -> int:
        """How many replicates a trial has."""
        return self.folds * self.repeats

    def __call__(self, job: Job, channel: Channel) -> Outcome:
        """Train what is left of one job's replicates."""
        begin = time.monotonic()
        outcome = self._train(job, channel)
        return replace(outcome, number=job.number, seconds=time.monotonic() - begin)

    def _train(self, job: Job, channel: Channel) -> Outcome:
        values = _read(job.directory)
        until = job.until
        for at in range(self.count):
            replicate = self._replicate(job, at)
            if at >= len(values):
                line = _Line(channel)
                outcome = self.evaluator(replicate, line)
                until = line.until if line.heard else until
                if outcome.state is not TrialState.COMPLETED:
                    return outcome
                values.append({**line.metrics, **outcome.metrics})
                _write(job.directory, values)
            if replicate.directory is not None:
                checkpoint.remove(replicate.directory)
            done = at + 1
            if done <= job.step:
                continue
            means = _means(values[:done], job.objectives)
            if not all(math.isfinite(means.get(name, 0.0)) for name in job.objectives):
                return Outcome(job.number, TrialState.DIVERGED, means)
            waits = until is not None and done >= until and done < self.count
            channel.send(Progress(job.number, done, means, waits))
            answer = channel.answer(waits)
            if answer is not None and answer.verdict is not Verdict.CONTINUE and done < self.count:
                paused = answer.verdict is Verdict.PAUSE
                return Outcome(job.number, TrialState.PAUSED if paused else TrialState.STOPPED)
            until = answer.until if answer is not None else until
        return Outcome(job.number, TrialState.COMPLETED, _means(values[: self.count], job.objectives))

    def _replicate(self, job: Job, at: int) -> Job:
        return replace(
            job,
            seed=derive_seed(job.seed, at),
            step=0,
            until=None,
            max_steps=self.max_steps,
            directory=job.directory / f"{REPLICATE}{at}" if job.directory is not None else None,
            parent=None,
            fold=at % self.folds,
            folds=self.folds,
            repeat=at // self.folds,
        )


class _Line:
    """The channel of one replicate: its metrics stay here, the rest goes on. heard: whether an answer said `until`."""

    def __init__(self, channel: Channel) -> None:
        self.metrics: dict[str, float] = {}
        self.until: int | None = None
        self.heard = False
        self._channel = channel

    def send(self, message: Message) -> None:
        if isinstance(message, Progress):
            self.metrics.update(message.metrics)
        else:
            self._channel.send(message)

    def answer(self, wait: bool) -> Answer | None:
        answer = self._channel.answer(False)
        if answer is not None and answer.verdict is Verdict.CONTINUE:
            self.heard, self.until = True, answer.until
            return Answer(Verdict.CONTINUE)
        return answer


def _means(values: Sequence[Mapping[str, float]], objectives: Sequence[str]) -> dict[str, float]:
    """The means of the metrics that all of them have, and the standard errors of the objectives'."""
    names = [name for name in values[0] if all(name in each for each in values)]
    means = {name: statistics.fmean(each[name] for each in values) for name in names}
    if len(values) > 1:
        for name in objectives:
            if name in means and all(math.isfinite(each[name]) for each in values):
                means[f"{name}_std_error"] = statistics.stdev(each[name] for each in values) / math.sqrt(len(values))
    return means


def _read(directory: Path | None) -> list[dict[str, float]]:
    if directory is None or not (directory / _VALUES).is_file():
        return []
    values: list[dict[str, float]] = json.loads((directory / _VALUES).read_text(encoding="utf-8"))
    return values


def _write(directory: Path | None, values: Sequence[Mapping[str, float]]) -> None:
    if directory is None:
        return
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / f"{_VALUES}.new"
    fresh.write_text(json.dumps(values), encoding="utf-8")
    os.replace(fresh, directory / _VALUES)
