"""Studies of Optuna's as studies of ours, and ours as theirs, trial by trial.

What Optuna counts from step 0 is after 1 step here. A paused trial of ours is a pruned one there; a trial that runs
is left out, either way. Times, learning curves, attributes and constraints come along.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as TheirState

from greyhound import events as ev
from greyhound.errors import StorageError
from greyhound.evaluators.objective import distribution_of, frozen, plain
from greyhound.integrations.optuna.distributions import parameter_of
from greyhound.integrations.optuna.mirror import FINISHED, OWNER, objectives
from greyhound.space import Categorical, Parameter, Space
from greyhound.storage import to_url
from greyhound.study import Study
from greyhound.trial import TrialState, derive_seed
from greyhound.values import as_plain

_SQLITE = b"SQLite format 3"


def import_study(
    source: Any,
    name: str | None = None,
    *,
    space: Space | Mapping[str, Any] | None = None,
    storage: Any = None,
    study_name: str | None = None,
    **options: Any,
) -> Study:
    """A study of ours with all finished and waiting trials of one of Optuna's.

    source: an Optuna study or storage, a database URL, or the file of a SQLite database or a journal. name: the
    study in it; None for the only one. space: to go on with, None where the training names its parameters itself,
    as Optuna's objectives do. storage, study_name: where to keep ours; None for memory and the same name. options:
    more for `greyhound.Study`, such as `sampler`. Goals are called as in Optuna (set_metric_names), else "value", or
    "value_0" and so on. Raises StorageError where there is no such study or ours exists already, SpaceError
    where a trial does not fit the space.
    """
    theirs = _opened(source, name)
    ups = [direction is optuna.study.StudyDirection.MAXIMIZE for direction in theirs.directions]
    names = theirs.metric_names or [objective.metric for objective in objectives(ups)]
    trials = theirs.get_trials(deepcopy=False)
    study = Study(
        space,
        maximize=[metric for metric, up in zip(names, ups, strict=True) if up],
        minimize=[metric for metric, up in zip(names, ups, strict=True) if not up],
        storage=storage,
        name=study_name or theirs.study_name,
        **options,
    )
    if len(study.trials):
        study.close()
        raise StorageError(f"{storage}: study {study.name!r} has trials already; give another study_name.")
    add_trials(study, trials, metrics=names)
    return study


def add_trials(study: Study, trials: Iterable[FrozenTrial], metrics: Iterable[str] | None = None) -> int:
    """Add Optuna's trials to a study of ours, and enqueue those that wait; how many were added.

    metrics: the names of their values in order; by default the study's objectives. SpaceError where a trial does
    not fit a declared space.
    """
    names = [objective.metric for objective in study.history.objectives] if metrics is None else list(metrics)
    first = len(study.history)
    events: list[ev.Event] = []
    number = first
    for trial in trials:
        if trial.state is TheirState.WAITING:
            study.enqueue(trial.system_attrs.get("fixed_params", trial.params))
        elif trial.state in FINISHED:
            events.extend(_events(trial, number, names, study))
            number += 1
    study.journal.append(events)
    study.refresh()
    return number - first


def export_study(study: Study, storage: Any = None, name: str | None = None) -> optuna.Study:
    """A study of Optuna's with the trials of ours, for optuna-dashboard, its plots, or to go on there.

    storage: a database URL, a storage of Optuna's, or None for memory. name: None for the same. Metrics that are
    no objective become user attributes. Optuna raises DuplicatedStudyError where there is one of this name.
    """
    goals = study.history.objectives
    theirs = optuna.create_study(
        storage=storage,
        study_name=name or study.name,
        directions=["maximize" if goal.maximize else "minimize" for goal in goals],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        theirs.set_metric_names([goal.metric for goal in goals])
    theirs.add_trials(frozen(study.history, trial) for trial in study.trials if trial.state is not TrialState.RUNNING)
    return theirs


def space_of(distributions: Mapping[str, BaseDistribution]) -> Space:
    """Optuna's distributions as a space of ours, with choices as they are; SpaceError for what is none."""
    return Space({name: _parameter(distribution) for name, distribution in distributions.items()})


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """A space as Optuna's distributions, as `study.ask` takes them; conditions and constraints are lost."""
    return {name: distribution_of(parameter) for name, parameter in space.parameters.items()}


# Inwards


def _opened(source: Any, name: str | None) -> optuna.Study:
    if isinstance(source, optuna.Study):
        return source
    storage = source
    if isinstance(source, Path) or (isinstance(source, str) and "://" not in source):
        storage = _storage_in(Path(source))
    elif not isinstance(source, str | optuna.storages.BaseStorage):
        raise StorageError(f"import_study: give a study or a storage of Optuna's, a URL or a file; got {source!r}.")
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except (KeyError, ValueError) as error:
        there = ", ".join(map(repr, optuna.get_all_study_names(storage))) or "none"
        wanted = f"no study {name!r}" if name is not None else "not one study alone"
        raise StorageError(f"{source}: holds {wanted}; there is {there}.") from error


def _storage_in(path: Path) -> Any:
    """What Optuna opens a file by: the URL of a database, or a journal. StorageError where it is neither."""
    if not path.is_file():
        raise StorageError(f"{path}: there is no such file; give a file of Optuna's, or a URL.")
    with open(path, "rb") as file:
        is_sqlite = file.read(len(_SQLITE)) == _SQLITE
    if not is_sqlite:
        try:
            return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
        except ValueError as error:
            raise StorageError(f"{path}: is neither a SQLite database nor a journal of Optuna's.") from error
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'study_user_attributes'").fetchall():
            raise StorageError(f"{path}: is a SQLite database, but none of Optuna's.")
    return to_url(path)


def _events(trial: FrozenTrial, number: int, names: list[str], study: Study) -> Iterable[ev.Event]:
    began = trial.datetime_start.timestamp() if trial.datetime_start is not None else 0.0
    ended = trial.datetime_complete.timestamp() if trial.datetime_complete is not None else began
    params = {name: plain(value) for name, value in trial.params.items()}
    declared = not study.history.define_by_run
    if declared:
        params = study.history.space.validate(params)
    seed = derive_seed(study.history.seed, number)
    yield ev.Started(began, number, params if declared else {}, seed, OWNER, OWNER)
    if not declared:
        for name, distribution in trial.distributions.items():
            yield ev.Suggested(began, number, name, params[name], _parameter(distribution).to_dict())
    if len(names) == 1:
        for step, value in sorted(trial.intermediate_values.items()):
            yield ev.Reported(ended, number, step + 1, {names[0]: value})
    if attrs := _kept(trial.user_attrs):
        yield ev.Noted(ended, number, attrs)
    for key, value in trial.constraints.items():
        yield ev.Constrained(ended, number, key, value)
    state = FINISHED[trial.state]
    metrics = dict(zip(names, trial.values or (), strict=False)) if state is not TrialState.FAILED else {}
    if state is TrialState.COMPLETED and not all(math.isfinite(value) for value in metrics.values()):
        state = TrialState.DIVERGED
    error = trial.system_attrs.get("fail_reason") if state is TrialState.FAILED else None
    yield ev.Ended(ended, number, state, metrics, OWNER, error, max(0.0, ended - began))


def _parameter(distribution: BaseDistribution) -> Parameter:
    if isinstance(distribution, CategoricalDistribution):
        return Categorical([plain(choice) for choice in distribution.choices])
    return parameter_of(distribution)


def _kept(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that JSON can hold."""
    kept = {}
    for key, value in attrs.items():
        with contextlib.suppress(TypeError, ValueError):
            kept[key] = as_plain(value)
    return kept
