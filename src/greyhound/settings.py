"""What a study is: its space, its goals and its means, as declared in the journal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from greyhound.budget import Budget
from greyhound.errors import GreyhoundError, SpaceError, StorageError, StudyError
from greyhound.migration import migrate
from greyhound.space import Space
from greyhound.trial import Limit, Objective
from greyhound.values import LARGEST_WHOLE, as_choice, as_json, as_scalar, is_int, show

_FIRST = 3
"""So many of the best configurations of an earlier study are tried first."""


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier study found, in this study's space, best first. losses: of the first objective, to minimise."""

    source: str
    params: tuple[Mapping[str, Any], ...]
    losses: tuple[float, ...]

    def first(self) -> list[Mapping[str, Any]]:
        """The configurations that are worth trying first, best first."""
        return list(self.params[:_FIRST])

    def to_json(self) -> dict[str, Any]:
        """JSON-safe values."""
        params = [{name: as_json(value) for name, value in each.items()} for each in self.params]
        return {"source": self.source, "params": params, "losses": list(self.losses)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], space: Space) -> Known:
        """What `to_json` wrote; where the space has changed since, without the trials that are not in it."""
        pairs = []
        for params, loss in zip(data["params"], data["losses"], strict=True):
            with contextlib.suppress(SpaceError):
                pairs.append((space.validate(space.complete(params)), float(loss)))
        return cls(str(data["source"]), tuple(params for params, _ in pairs), tuple(loss for _, loss in pairs))


@dataclass(frozen=True, slots=True)
class Settings:
    """A study's declaration.

    space: None while it is defined by run. sampler, scheduler: the registry's JSON form. audit: the share of
    steps for trials that check early stopping. target:
    what is tuned, for a command that continues the study: {"function": "module:name"} or
    {"command": [...]} and the workers' options; where only its own program can, empty, or {"search": what it is,
    for that program to know it by}. test: a metric that is reported at the end and never searched on. known: what
    earlier studies found. budget: the search's. finals: what it is a share of and what the rest is kept for,
    {"total": ..., "top": ..., "seeds": ..., "fixed": ...}; empty where nothing is kept. devices: how many a training
    takes, above 0.
    """

    objectives: tuple[Objective, ...]
    space: Space | None = None
    limits: tuple[Limit, ...] = ()
    seed: int = 0
    sampler: Any = "auto"
    scheduler: Any = "auto"
    max_steps: int | None = None
    budget: Budget = field(default_factory=Budget)
    audit: float = 0.0
    target: Mapping[str, Any] = field(default_factory=dict)
    test: str | None = None
    known: tuple[Known, ...] = ()
    finals: Mapping[str, Any] = field(default_factory=dict)
    devices: float = 1.0

    @property
    def budget_in_words(self) -> str:
        """The search's, and beside it the whole where some is kept for the finals."""
        return f"{self.budget}{f' for the search, {self.whole_budget} with the finals' if self.finals else ''}"

    @property
    def whole_budget(self) -> Budget:
        """The search's and what is kept for the finals."""
        return Budget(**self.finals["total"]) if self.finals else self.budget

    @property
    def resumable(self) -> bool:
        """Whether a command can continue the study."""
        return "function" in self.target or "command" in self.target

    def to_json(self) -> dict[str, Any]:
        """JSON-safe values; constraints that are functions are kept by name only."""
        return {
            "objectives": [[objective.metric, objective.maximize] for objective in self.objectives],
            "space": self.space.to_dict() if self.space is not None else None,
            "limits": [[limit.metric, limit.bound, limit.upper] for limit in self.limits],
            "seed": self.seed,
            "sampler": self.sampler,
            "scheduler": self.scheduler,
            "max_steps": self.max_steps,
            "budget": self.budget.to_json(),
            "audit": self.audit,
            "target": dict(self.target),
            "test": self.test,
            "finals": dict(self.finals),
            "devices": self.devices,
            **({"known": [each.to_json() for each in self.known]} if self.known else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Settings:
        """What `to_json` wrote; StorageError where it is damaged.

        functions: the constraints that are functions, by name; one that is not among them is left
        out, which does for reading a study and is checked by whoever would search with it.
        """
        try:
            space = _space(data["space"], functions)
            return cls(
                objectives=tuple(Objective(str(metric), bool(up)) for metric, up in data["objectives"]),
                space=space,
                limits=tuple(Limit(str(metric), float(bound), bool(up)) for metric, bound, up in data["limits"]),
                seed=int(data["seed"]),
                sampler=data["sampler"],
                scheduler=data["scheduler"],
                max_steps=data["max_steps"],
                budget=Budget(**data["budget"]),
                audit=data.get("audit", 0.0),
                target=data["target"],
                test=data.get("test"),
                finals=data.get("finals", {}),
                devices=data.get("devices", 1.0),
                known=tuple(Known.from_json(each, space or Space()) for each in data.get("known", ())),
            )
        except (KeyError, TypeError, ValueError, GreyhoundError) as error:
            raise StorageError(f"the study's settings in the journal are damaged: {error}") from error

    @property
    def replicated(self) -> bool:
        """Whether a step is one of several trainings of a configuration, and a value the mean over those so far."""
        return "replicates" in self.target


def continued(known: Settings, wanted: Settings) -> Settings:
    """What a study declares that is opened again with `wanted`; it keeps its seed, and what is not given anew.

    Raises as `check_continues` does.
    """
    check_continues(known, wanted)
    return replace(
        wanted,
        seed=known.seed,
        budget=known.whole_budget if wanted.budget.unlimited else wanted.budget,
        target=wanted.target or known.target,
        test=wanted.test or known.test,
        known=wanted.known or known.known,
    )


def check_continues(known: Settings, wanted: Settings) -> None:
    """Whether a study that declares `known` may go on with `wanted`.

    StudyError where its values would not compare with the earlier ones, SpaceError where its trials do not fit in.
    """
    if known.objectives != wanted.objectives:
        raise StudyError(
            f"the study's objectives are {goals(known.objectives)}, not {goals(wanted.objectives)}; "
            f"give another name= or storage=."
        )
    if known.max_steps != wanted.max_steps:
        raise StudyError(
            f"the study's max_steps is {known.max_steps} and cannot become {wanted.max_steps}: its values "
            f"would not compare; give another name= or storage=."
        )
    if (known.space is None) != (wanted.space is None):
        raise StudyError("a study keeps its kind: with a declared space, or with parameters named in the training.")
    if known.space is not None and wanted.space is not None:
        migrate(known.space, wanted.space)


def missing_constraints(data: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> list[str]:
    """Names of the constraints in a declaration that are functions and not among `functions`."""
    constraints = (data.get("space") or {}).get("constraints") or {}
    return [name for name, rule in constraints.items() if rule is None and name not in functions]


def _space(data: Mapping[str, Any] | None, functions: Mapping[str, Callable[..., Any]]) -> Space | None:
    if data is None:
        return None
    constraints = data.get("constraints") or {}
    kept = {name: rule for name, rule in constraints.items() if rule is not None or name in functions}
    rest = {name: value for name, value in data.items() if name != "constraints"}
    return Space.from_dict({**rest, "constraints": kept} if kept else rest, functions=functions)


def read_objectives(maximize: str | Sequence[str], minimize: str | Sequence[str]) -> tuple[Objective, ...]:
    """Objectives from the names of metrics; neither given means to minimise "value"."""
    up = [Objective(name, True) for name in _names(maximize, "maximize")]
    down = [Objective(name, False) for name in _names(minimize, "minimize")]
    objectives = (*up, *down) or (Objective("value", False),)
    names = [objective.metric for objective in objectives]
    for name in names:
        if names.count(name) > 1:
            raise StudyError(f"the metric {name!r} is named twice among maximize and minimize.")
    return objectives


def _names(value: str | Sequence[str], what: str) -> list[str]:
    given: Any = as_scalar(value)  # an array of no dimension is no list
    one = isinstance(given, str | Mapping | set) or not isinstance(given, Iterable)
    names: list[Any] = [given] if one else list(given)
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise StudyError(f"{what}: write the name of a metric, or a list of names; got {show(value)}.")
    return names


def read_limits(subject_to: str | Sequence[str]) -> tuple[Limit, ...]:
    """Limits from texts such as "latency_ms <= 5"."""
    return tuple(Limit.parse(text) for text in _names(subject_to, "subject_to"))


def check_configuration(params: object) -> None:
    """StudyError where it is no table of values by the names of parameters."""
    if not isinstance(params, Mapping):
        raise StudyError(f"enqueue: write a configuration such as {{'lr': 0.01}}; got {show(params)}.")


def plain_configuration(params: Mapping[str, Any]) -> dict[str, Any]:
    """Values for parameters that the training names itself, in plain Python; SpaceError where one can be of none."""
    plain = {}
    for name, value in params.items():
        if not isinstance(name, str):
            raise SpaceError(f"enqueue: the name of a parameter must be text; got {show(name)}.")
        try:
            plain[name] = as_choice(value)
        except SpaceError as error:
            raise SpaceError(f"enqueue: {name}: {error}") from None
    return plain


def read_test(test: str | None, objectives: Sequence[Objective], limits: Sequence[Limit]) -> str | None:
    """The held-out metric, checked: StudyError where the search would see it."""
    if test is not None and (not isinstance(test, str) or not test.strip()):
        raise StudyError(f"test: write the name of the held-out metric; got {test!r}.")
    searched = [objective.metric for objective in objectives] + [limit.metric for limit in limits]
    if test in searched:
        raise StudyError(f"test: {test!r} is an objective or a limit; a held-out metric must not be searched on.")
    return test


def read_seed(seed: Any) -> int:
    """A seed, checked."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise StudyError(f"seed must be a whole number of at least 0; got {seed!r}.")
    return seed


def read_max_steps(steps: int | None) -> int | None:
    """The length of a training, checked."""
    if steps is not None and not (is_int(steps) and 1 <= steps <= LARGEST_WHOLE):
        raise StudyError(
            f"max_steps must be a whole number of at least 1, at most {LARGEST_WHOLE}, or None; got {show(steps)}."
        )
    return steps


def read_folder(folder: Any) -> Path:
    """The folder for checkpoints, checked."""
    if not isinstance(folder, str | Path) or not Path(folder).name:
        raise StudyError(f"checkpoints: write the name of a folder; got {show(folder)}.")
    return Path(folder)


def read_devices(devices: Any) -> float:
    """StudyError where it is no number above 0."""
    if isinstance(devices, bool) or not isinstance(devices, int | float) or not 0 < devices <= sys.float_info.max:
        raise StudyError(f"devices_per_trial must be a number above 0; got {show(devices)}.")
    return float(devices)


def read_audit(share: Any) -> float:
    """The share of steps for audits, checked."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 0.5:
        raise StudyError(f"audit must be a share of the steps, 0 to 0.5, such as 0.1; got {share!r}.")
    return float(share)


def goals(objectives: Sequence[Objective]) -> str:
    """The objectives in words: "maximize accuracy, minimize bytes"."""
    return ", ".join(f"{'maximize' if each.maximize else 'minimize'} {each.metric}" for each in objectives)
