"""The trial as a training sees it: its configuration, its checkpoint, its line to the study.

Reports are sent without waiting until the step at which the scheduler decides; there the checkpoint is
saved first, then the training stands still until it is answered. So whoever is paused is safe on disk.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from greyhound import leases
from greyhound.errors import SpaceError, StudyError, TrialPaused, TrialStopped
from greyhound.evaluators import checkpoint as checkpoints
from greyhound.evaluators import stateful
from greyhound.evaluators.inheritance import adopt, note_rates
from greyhound.evaluators.objective import StudyView, distribution_of
from greyhound.evaluators.reporting import checked
from greyhound.evaluators.reporting import number as checked_number
from greyhound.jobs import Answer, Channel, Choice, Constraint, Job, Note, Progress
from greyhound.space import Categorical, Float, Int, Parameter
from greyhound.trial import Verdict
from greyhound.values import as_plain, did_you_mean, listed, show

_SAVE_SHARE = 0.02
"""Share of the time that checkpoints between decisions may take."""
_REPORTS_KEPT = 1000
"""How many reports go with a checkpoint, to be told again should they have been lost with the coordinator."""


class LiveTrial:
    """One configuration while it is trained.

    number, params, seed: which it is. step: steps trained so far. until: the step at which the scheduler
    decides next, None for never; where it lets the trial go on, a later one. user_attrs: what `set_user_attr` noted;
    constraints: what `set_constraint` set. datetime_start: when this run of it began. concluded: whether the states
    that it ended with are seen to.
    """

    def __init__(self, job: Job, channel: Channel) -> None:
        self.job = job
        self.number = job.number
        self.params: dict[str, Any] = dict(job.params)
        self.seed = job.seed
        self.step = job.step
        self.until = job.until
        self.user_attrs: dict[str, Any] = {}
        self.constraints: dict[str, float] = {}
        self.datetime_start = datetime.now()
        self.verdict = Verdict.CONTINUE
        self.last_metrics: dict[str, float] = {}
        self._channel = channel
        self._asked: dict[str, Callable[[], Parameter]] = {}
        self._objects: dict[str, stateful.Stateful | stateful.InFiles] | None = None
        self._reports: list[tuple[int, Mapping[str, float]]] = []
        self._notes: dict[str, dict[str, Any]] = {"attrs": {}, "constraints": {}}
        self.concluded = False
        self._saved_step: int | None = None
        self._saved_at = -math.inf
        self._save_seconds = 0.0

    def __repr__(self) -> str:
        return f"<LiveTrial {self.number}: {listed(self.params)}>"

    # What the trial is

    @property
    def max_steps(self) -> int:
        """The full length of a training; StudyError where the study declares none."""
        if self.job.max_steps is None:
            raise StudyError("this study has no max_steps; give max_steps= to tune or Study, or --max-steps.")
        return self.job.max_steps

    @property
    def fold(self) -> int:
        """Which fold of the data to validate on, from 0; 0 where the study has no folds."""
        return self.job.fold

    @property
    def folds(self) -> int:
        """How many folds there are; 1 where the study has none."""
        return self.job.folds

    @property
    def repeat(self) -> int:
        """Which repeat this is, from 0."""
        return self.job.repeat

    @property
    def directory(self) -> Path:
        """A folder of the trial's own, made when it is first asked for."""
        if self.job.directory is None:
            raise StudyError("this trial has no folder: its study keeps no files.")
        self.job.directory.mkdir(parents=True, exist_ok=True)
        return self.job.directory

    @property
    def device(self) -> str:
        """ "cuda:0" where this process sees a GPU (a worker sees its own only), else "cpu"."""
        if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
            return "cpu"
        try:
            import torch
        except ImportError:
            return "cpu"
        return "cuda:0" if torch.cuda.is_available() else "cpu"

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """The trial's device to itself: `with trial.exclusive(): footprint = measure(model, inputs)`.

        Waits until every other training on the device, of any study of this user, has come to its next report; they
        go on afterwards. Do not report inside.
        """
        return leases.exclusive()

    # Pausing and going on

    def checkpoint(self, **objects: Any) -> int:
        """Keep these objects' states, and take up what an earlier run left; the step to start from.

        objects: by name, anything with state_dict and load_state_dict, with save_to(folder) and
        load_from(folder), or a torch.Generator. A compiled or data-parallel model is kept as what it wraps.
        Random states of Python, numpy, torch and CUDA are kept and restored with them. A trial that starts
        from another's checkpoint takes that one's states, but its optimisers keep the learning rate and other
        options that they were made with, and it stops where that one has come to its end meanwhile.
        Raises StudyError for a wrong object or a second call,
        CheckpointError for a file that can't be used.
        """
        if self._objects is not None:
            raise StudyError("trial.checkpoint was called before; register all objects in one call.")
        for name, each in objects.items():
            bare = stateful.bare(each)
            keeps = callable(getattr(bare, "state_dict", None)) and callable(getattr(bare, "load_state_dict", None))
            if not keeps and not stateful.in_files(each):
                raise StudyError(
                    f"trial.checkpoint: {name} is a {type(each).__name__} without state_dict and load_state_dict."
                )
        self._objects = dict(objects)
        note_rates(objects.values())
        loaded = None
        if self.job.directory is not None:
            loaded = checkpoints.load(self.job.directory, objects)
        if loaded is not None:
            self._saved_step = loaded.step
            self._tell_again(loaded)
        elif self.job.parent is not None:
            loaded = adopt(self.job.parent, objects)
            if loaded is not None and self.job.max_steps is not None and loaded.step >= self.job.max_steps:
                raise TrialStopped  # the other trained to its end before it could be copied: nothing is left to train
        self.step = loaded.step if loaded is not None else 0
        return self.step

    def report(self, /, *args: Any, step: Any = None, value: Any = None, **metrics: Any) -> None:
        """Tell the study metrics after `step` steps: `trial.report(epoch + 1, accuracy=0.93)`.

        Leaves the training by TrialPaused or TrialStopped where the scheduler says so. As in Optuna,
        `trial.report(value, step)` tells the only objective, and leaves it to `should_prune` to say so.
        Metrics are numbers, or tensors and arrays of one number. StudyError says what is wrong with them.
        """
        if metrics:
            if len(args) > 1 or (args and step is not None) or not (args or step is not None):
                raise StudyError("trial.report takes the step, then metrics by name: trial.report(3, accuracy=0.9).")
            if value is not None:
                metrics["value"] = value
            self.report_metrics(args[0] if args else step, metrics)
            return
        if len(args) == 1 and value is not None and step is None:  # report(3, value=0.9)
            args, step = (value,), args[0]
            value = None
        values = [*args, *(each for each in (value, step) if each is not None)]
        if len(values) != 2:
            raise StudyError(
                "trial.report takes a step and metrics by name, trial.report(3, accuracy=0.9), or a value and a step."
            )
        if len(self.job.objectives) != 1:
            raise StudyError("trial.report(value, step) needs a study with one objective; name the metrics instead.")
        self._report(values[1], {self.job.objectives[0]: values[0]})

    def report_metrics(self, step: Any, metrics: Mapping[str, Any]) -> None:
        """As `report`, of metrics with any names, `step` and `value` among them."""
        self._report(step, metrics)
        self._leave()

    def check_copied(self) -> None:
        """StudyError where the trial starts from another's checkpoint, and the training has not taken that up."""
        if self.job.parent is not None and not self._objects:
            raise StudyError(
                f"trial {self.number} starts from another trial's checkpoint, but the training keeps none: "
                f"call trial.checkpoint(model=..., optimizer=...), or choose another scheduler."
            )

    def keep(self, step: int, values: Mapping[str, float]) -> None:
        """Note what `study.report` is about to be told, and save the states where `report` would."""
        self._note_report(step, values)
        if not self.diverged and (self._ends(step) or self._is_judged(step) or self._due()):
            self._save()

    def conclude(self, result: Mapping[str, float]) -> None:
        """Keep the states that a completed training's result belongs to, where the last checkpoint is of others.

        result: the metrics that it returned. So it is where the training ended itself behind its last checkpoint, or
        returns other values than it reported there, as it does once it has put its best weights back.
        """
        told = all(self.last_metrics.get(name) == value for name, value in result.items())
        if not self.concluded and not (told and self._saved_step == self.step):
            self._save()
        self.concluded = True

    @property
    def diverged(self) -> bool:
        """Whether the last value of an objective is NaN or infinite."""
        return any(not math.isfinite(self.last_metrics.get(name, 0.0)) for name in self.job.objectives)

    def should_prune(self) -> bool:
        """Whether the last report was answered by a pause or a stop; the objective then raises TrialPruned."""
        return self.verdict is not Verdict.CONTINUE

    def set_user_attr(self, key: str, value: Any) -> None:
        """Attach something to the trial: what JSON can hold, also NaN and infinity; StudyError for anything else."""
        try:
            value = as_plain(value)
        except (TypeError, ValueError) as error:
            raise StudyError(f"attribute {key!r}: {error}; write numbers, text, lists and dicts.") from error
        self.user_attrs[key] = self._notes["attrs"][key] = value
        self._channel.send(Note(self.number, {key: value}))

    def set_constraint(self, key: str, value: float) -> None:
        """Say how far the trial is from a limit: it keeps to it where the value is at most 0, as in Optuna.

        The study learns the limit by that: it holds for `best`, and samplers learn to keep to it. In one run of the
        trial the first value of a key counts, of several folds the last one's. StudyError where the value is no number.
        """
        number = checked_number(value, f"constraint {key}")
        if math.isnan(number):
            raise StudyError(f"trial.set_constraint: {key} is NaN; give a number, at most 0 where the limit is kept.")
        if key not in self.constraints:
            self.constraints[key] = self._notes["constraints"][key] = number
            self._channel.send(Constraint(self.number, key, number))

    # What else an objective for Optuna asks of its trial

    @property
    def study(self) -> StudyView:
        """The study, to be read: trials, best_value, best_params, direction… as in Optuna. See StudyView."""
        if self.job.study is None:
            raise StudyError("trial.study: this trial is trained outside of a study.")
        return StudyView(self.job.study)

    @property
    def distributions(self) -> dict[str, Any]:
        """Optuna's distributions of the parameters that this run has asked for; needs optuna."""
        return {name: distribution_of(declare()) for name, declare in self._asked.items()}

    @property
    def relative_params(self) -> dict[str, Any]:
        """The values that the sampler proposes for parameters that the training names."""
        return dict(self.job.suggestions)

    def __getattr__(self, name: str) -> NoReturn:
        near = did_you_mean(name, [known for known in dir(self) if not known.startswith("_")])
        raise AttributeError(f"a trial has no {name!r}{near}")

    # Parameters named by the training, with Optuna's signatures

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from low to high; the same one whenever it is asked for again."""
        return float(self._suggest(name, lambda: Float(low, high, log=log, step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from low to high."""
        return int(self._suggest(name, lambda: Int(low, high, log=log, step=step)))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """As suggest_float; Optuna's older name."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """As suggest_float with log=True; Optuna's older name."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """As suggest_float with a step; Optuna's older name."""
        return self.suggest_float(name, low, high, step=q)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self._suggest(name, lambda: Categorical(choices))

    def _suggest(self, name: str, declare: Callable[[], Parameter]) -> Any:
        if not isinstance(name, str) or not name:
            raise SpaceError(f"a parameter's name must be text; got {show(name)}.")
        self._asked.setdefault(name, declare)
        if name in self.params:
            return self.params[name]
        if not self.job.define_by_run:
            raise StudyError(
                f"the study's space has no {name!r} for this trial; it has {', '.join(self.params) or 'none'}."
            )
        try:
            parameter: Parameter = declare()
        except SpaceError as error:
            raise SpaceError(f"{name}: {error}") from None
        if name in self.job.suggestions and parameter.contains(self.job.suggestions[name]):
            value = parameter.canonical(self.job.suggestions[name])
        else:
            value = parameter.decode(random.Random(f"{self.seed}/{name}").random())
        self._channel.send(Choice(self.number, name, value, parameter.to_dict()))
        self.params[name] = value
        return value

    # Reports

    def _report(self, step: Any, metrics: Mapping[str, Any]) -> None:
        self.check_copied()
        step, values = checked("trial.report", step, metrics)
        self._note_report(step, values)
        self.verdict = Verdict.CONTINUE
        leases.give_way()
        if self.diverged:
            self._channel.send(Progress(self.number, step, values))
            self.verdict = Verdict.STOP
        elif self._ends(step):
            self._save()
            self._channel.send(Progress(self.number, step, values))
        elif self._is_judged(step):
            self._save()
            self._channel.send(Progress(self.number, step, values, waits=True))
            self._obey(self._channel.answer(wait=True))
        else:
            self._channel.send(Progress(self.number, step, values))
            self._obey(self._channel.answer(wait=False))
            if self.verdict is Verdict.PAUSE or self._due():
                self._save()

    def _note_report(self, step: int, values: Mapping[str, float]) -> None:
        self.last_metrics.update(values)
        self._reports.append((step, values))
        del self._reports[:-_REPORTS_KEPT]
        self.step = max(self.step, step)

    def _ends(self, step: int) -> bool:
        return self.job.max_steps is not None and step >= self.job.max_steps

    def _is_judged(self, step: int) -> bool:
        return self.until is not None and step >= self.until

    def _obey(self, answer: Answer | None) -> None:
        if answer is None:
            return
        self.verdict = answer.verdict
        if answer.verdict is Verdict.CONTINUE:
            self.until = answer.until

    def _leave(self) -> None:
        if self.verdict is Verdict.PAUSE:
            raise TrialPaused
        if self.verdict is Verdict.STOP:
            raise TrialStopped

    def _tell_again(self, loaded: checkpoints.Loaded) -> None:
        """Reports that were on their way when the coordinator died: the study knows up to job.step.

        What was noted before them may be unknown too. The last of them may be one that has to be judged before the
        training goes on.
        """
        self._reports = list(loaded.reports)
        self._notes = {kind: {**loaded.notes.get(kind, {}), **notes} for kind, notes in self._notes.items()}
        self.step = loaded.step
        lost = [(step, metrics) for step, metrics in loaded.reports if self.job.step < step <= loaded.step]
        for _, metrics in loaded.reports:
            self.last_metrics.update(metrics)
        if lost:
            self._note_again()
        for step, metrics in lost[:-1]:
            self._channel.send(Progress(self.number, step, metrics))
        if lost:
            step, metrics = lost[-1]
            waits = self.until is not None and step >= self.until and step < (self.job.max_steps or math.inf)
            self._channel.send(Progress(self.number, step, metrics, waits=waits))
            if waits:
                self._obey(self._channel.answer(wait=True))
                self._leave()

    def _note_again(self) -> None:
        if self._notes["attrs"]:
            self._channel.send(Note(self.number, dict(self._notes["attrs"])))
        for key, value in self._notes["constraints"].items():
            self._channel.send(Constraint(self.number, key, value))

    def _due(self) -> bool:
        return time.monotonic() - self._saved_at >= self._save_seconds / _SAVE_SHARE

    def _save(self) -> None:
        if not self._objects or self.job.directory is None:
            return
        begin = time.monotonic()
        checkpoints.save(self.job.directory, self.step, self._objects, self._reports, self._notes)
        self._saved_step = self.step
        if self.job.parent is not None:
            checkpoints.remove(self.job.parent)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - begin
