"""Greyhound for code that is written for Hyperopt: its spaces converted, and a search algorithm for its `fmin`.

    best = fmin(objective, space, algo=greyhound.suggest, max_evals=100, trials=Trials())

The rest of the program stays as it is. `convert` makes a space of ours of `hp.*` expressions.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

from greyhound import events as ev
from greyhound import samplers
from greyhound._lazy import require
from greyhound.errors import SpaceError
from greyhound.history import History
from greyhound.settings import Settings
from greyhound.space import Categorical, Float, Int, Parameter, Space
from greyhound.trial import Objective, TrialState

_OWNER = "hyperopt"
_TAIL = 1e-4
"""Normal distributions are searched between this quantile and one minus it."""
_HAIR = 1e-9
"""A bound so near to the middle between two multiples of q, in units of q, is taken to lie there."""


def suggest(new_ids: Sequence[int], domain: Any, trials: Any, seed: int, sampler: Any = "auto") -> list[Any]:
    """A search algorithm for `hyperopt.fmin`: new trials for these ids, from the results in `trials`.

    sampler: one of our samplers, as `greyhound.Study` takes it: `algo=functools.partial(suggest, sampler="tpe")`.
    The seeds come from fmin's `rstate`. SpaceError where the space has what cannot be converted.
    """
    import numpy as np

    if domain not in _SEARCHES:
        _SEARCHES[domain] = (convert(domain.expr), seed % 2**31)
    converted, first_seed = _SEARCHES[domain]
    history = _history(converted, _documents(trials), first_seed)
    rng = np.random.default_rng(seed)
    found = list(samplers.REGISTRY.make(sampler).suggest(history, len(new_ids), rng))
    while len(found) < len(new_ids):  # a finite space that was tried whole
        found.append(history.space.sample(rng))
    documents = []
    for new_id, params in zip(new_ids, found, strict=True):
        values = converted.values(params)
        misc = {
            "tid": new_id,
            "cmd": domain.cmd,
            "workdir": domain.workdir,
            "idxs": {label: [new_id] if label in values else [] for label in converted.labels},
            "vals": {label: [values[label]] if label in values else [] for label in converted.labels},
        }
        documents.extend(trials.new_trial_docs([new_id], [None], [domain.new_result()], [misc]))
    return documents


_SEARCHES: weakref.WeakKeyDictionary[Any, tuple[Converted, int]] = weakref.WeakKeyDictionary()
"""The converted space and the first seed of each search that goes on."""


@dataclass(frozen=True)
class Converted:
    """A space of Hyperopt's as one of ours.

    space: a parameter for each label, by that name. labels: all of them. A choice is its position from 0.
    """

    space: Space
    labels: Sequence[str]
    _expression: Any
    _kinds: Mapping[str, _Kind]
    _conditions: Mapping[str, Sequence[Mapping[str, int]]]

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration of ours as Hyperopt's assignment of values to labels, as `fmin` returns it."""
        return {
            label: self._kinds[label].outward(value) for label, value in params.items() if self._exists(label, params)
        }

    def params(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The other way round; labels that do not belong are left out."""
        mine = {label: self._kinds[label].inward(value) for label, value in values.items() if label in self._kinds}
        return {label: mine[label] for label in self.space.active(mine) if label in mine}

    def arguments(self, params: Mapping[str, Any]) -> Any:
        """What an objective of Hyperopt's is called with for a configuration of ours."""
        return require("hyperopt", "hyperopt").space_eval(self._expression, self.values(params))

    def _exists(self, label: str, params: Mapping[str, Any]) -> bool:
        ways = self._conditions[label]
        return any(all(params.get(parent) == value for parent, value in way.items()) for way in ways)


def convert(expression: Any) -> Converted:
    """A space written with `hp.*` (a dict, a list, a choice…) as one of ours.

    Nested choices become conditions. hp.normal and its kin are searched by their quantiles. The probabilities of
    hp.pchoice are weights: the search begins by them, and follows them less with every result; options of probability 0
    are left out, with all that hangs on them. SpaceError where a distribution is unknown, its bounds are expressions or
    too large, or its sigma or q is not above 0.
    """
    require("hyperopt", "hyperopt")
    from hyperopt.pyll import as_apply

    found: dict[str, _Found] = {}
    _walk(as_apply(expression), {}, found)
    kinds = {label: _kind(label, each.node, each.chooses) for label, each in found.items()}
    conditions = {label: [way for way in each.ways if _possible(way, kinds)] for label, each in found.items()}
    labels = [label for label, ways in conditions.items() if ways]
    parameters = {label: _under(kinds[label].parameter, conditions[label]) for label in labels}
    return Converted(Space(parameters), tuple(found), expression, {label: kinds[label] for label in labels}, conditions)


@dataclass
class _Found:
    """A labelled node of an expression. ways: the choices that lead to it. chooses: whether it is a choice itself."""

    node: Any
    ways: list[Mapping[str, int]]
    chooses: bool = False


def _walk(node: Any, way: Mapping[str, int], found: dict[str, _Found]) -> None:
    """Collect the labelled nodes below a node to which `way` leads."""
    if node.name == "hyperopt_param":
        label = node.arg["label"].obj
        if label in found and found[label].node is not node.arg["obj"]:
            raise SpaceError(f"{label}: two parameters have this label; rename one.")
        found.setdefault(label, _Found(node.arg["obj"], [])).ways.append(way)
        return
    index, *options = node.inputs() or [None]
    if node.name == "switch" and index.name == "hyperopt_param":
        _walk(index, way, found)
        label = index.arg["label"].obj
        found[label].chooses = True
        for at, option in enumerate(options):
            _walk(option, {**way, label: at}, found)
    else:
        for each in node.inputs():
            _walk(each, way, found)


@dataclass(frozen=True)
class _Kind:
    """A parameter, and the way from its values to Hyperopt's and back."""

    parameter: Parameter
    outward: Callable[[Any], Any] = lambda value: value
    inward: Callable[[Any], Any] = lambda value: value


def _kind(label: str, node: Any, is_choice: bool) -> _Kind:
    make = _KINDS.get(node.name)
    if make is None:
        raise SpaceError(f"{label}: hp.{node.name} cannot be converted; there are {', '.join(_KINDS)}.")
    arguments = {}
    for name, given in node.arg.items():
        if hasattr(given, "obj"):
            arguments[name] = given.obj
        elif hasattr(given, "eval"):
            try:
                arguments[name] = given.eval()
            except Exception as error:
                raise SpaceError(f"{label}: its {name} is an expression; write a number.") from error
    try:
        kind = make(**{name: value for name, value in arguments.items() if name not in ("rng", "size")})
    except SpaceError as error:
        raise SpaceError(f"{label}: {error}") from None
    if is_choice and isinstance(kind.parameter, Int):
        return _Kind(Categorical(range(kind.parameter.low, kind.parameter.high + 1)), int, int)
    return kind


def _uniform(low: float, high: float) -> _Kind:
    return _Kind(Float(low, high), float, _within(low, high))


def _quniform(low: float, high: float, q: float) -> _Kind:
    first, last = _multiples(low, high, q)
    return _Kind(Int(first, last), lambda at: at * q, lambda value: min(max(round(value / q), first), last))


def _loguniform(low: float, high: float) -> _Kind:
    low, high = _exp(low), _exp(high)
    return _Kind(Float(low, high, log=True), float, _within(low, high))


def _normal(mu: float, sigma: float) -> _Kind:
    if not sigma > 0:
        raise SpaceError(f"sigma must be above 0; got {sigma!r}; write the number itself where nothing is to vary.")
    normal = NormalDist(mu, sigma)
    inside = _within(_TAIL, 1 - _TAIL)
    return _Kind(Float(_TAIL, 1 - _TAIL), normal.inv_cdf, lambda value: inside(normal.cdf(value)))


def _lognormal(mu: float, sigma: float) -> _Kind:
    kind = _normal(mu, sigma)
    _exp(kind.outward(1 - _TAIL))
    return _Kind(
        kind.parameter,
        lambda unit: math.exp(kind.outward(unit)),
        lambda value: kind.inward(math.log(value)) if value > 0 else _TAIL,
    )


def _exp(bound: float) -> float:
    try:
        return math.exp(bound)
    except OverflowError:
        raise SpaceError(
            f"exp({bound:g}) is too large a number; Hyperopt takes the natural logarithms of bounds, as in "
            f"hp.loguniform(label, math.log(1e-5), math.log(0.1))."
        ) from None


def _rounded(make: Callable[..., _Kind]) -> Callable[..., _Kind]:
    """The same distribution, its values rounded to multiples of q."""

    def rounded(q: float, **arguments: float) -> _Kind:
        kind = make(**arguments)
        first, last = _multiples(kind.outward(kind.parameter.decode(0.0)), kind.outward(kind.parameter.decode(1.0)), q)
        return replace(kind, outward=lambda value: min(max(round(kind.outward(value) / q), first), last) * q)

    return rounded


def _multiples(low: float, high: float, q: float) -> tuple[int, int]:
    """The first and the last multiple of q that values between the bounds are rounded to.

    Of a bound half way between two multiples it is the one inside: to the other only the bound itself is rounded.
    """
    if not q > 0:
        raise SpaceError(f"q must be above 0; got {q!r}.")
    first = math.floor(low / q + 0.5 + _HAIR)
    return first, max(first, math.ceil(high / q - 0.5 - _HAIR))


def _randint(low: int, high: Any = None) -> _Kind:
    low, high = (0, low) if high is None else (low, high)
    return _Kind(Int(low, high - 1), int, int)


def _categorical(p: Any, upper: Any = None) -> _Kind:
    possible = [at for at, share in enumerate(p) if share != 0]
    return _Kind(Categorical(possible, weights=[p[at] for at in possible]), int, int)


def _possible(way: Mapping[str, int], kinds: Mapping[str, _Kind]) -> bool:
    """Whether no option on a way has the probability 0."""
    chosen = [(kinds[label].parameter, option) for label, option in way.items()]
    return all(option in parameter.choices for parameter, option in chosen if isinstance(parameter, Categorical))


def _within(low: float, high: float) -> Callable[[float], float]:
    return lambda value: float(min(max(value, low), high))


_KINDS: Mapping[str, Callable[..., _Kind]] = {
    "uniform": _uniform,
    "quniform": _quniform,
    "loguniform": _loguniform,
    "qloguniform": _rounded(_loguniform),
    "normal": _normal,
    "qnormal": _rounded(_normal),
    "lognormal": _lognormal,
    "qlognormal": _rounded(_lognormal),
    "randint": _randint,
    "categorical": _categorical,
}


def _under(parameter: Parameter, ways: Sequence[Mapping[str, int]]) -> Parameter:
    """The parameter under the condition that one of these ways leads to it, or, of several, what they share."""
    shared = set(ways[0]).intersection(*ways[1:])
    return replace(parameter, when={name: sorted({way[name] for way in ways}) for name in sorted(shared)} or None)


def _documents(trials: Any) -> list[Any]:
    """The trials of a search; those that raised, under catch_eval_exceptions=True, are not among `trials.trials`."""
    from hyperopt import JOB_STATE_ERROR

    raised = [each for each in trials._dynamic_trials if each["state"] == JOB_STATE_ERROR]
    mine = [each for each in raised if trials._exp_key is None or each["exp_key"] == trials._exp_key]
    return sorted([*trials.trials, *mine], key=lambda document: document["tid"])


def _history(converted: Converted, documents: Sequence[Any], seed: int) -> History:
    """The trials of a search as a history of ours."""
    history = History()
    settings = Settings((Objective("loss", False),), space=converted.space, seed=seed)
    history.apply(ev.Declared(0.0, settings.to_json()))
    for row, document in enumerate(documents):
        values = {label: given[0] for label, given in document["misc"]["vals"].items() if len(given)}
        history.apply(ev.Started(0.0, row, converted.params(values), row, _OWNER, _OWNER))
        ending = _ending(document)
        if ending is not None:
            state, metrics = ending
            history.apply(ev.Ended(0.0, row, state, metrics, _OWNER))
    return history


def _ending(document: Any) -> tuple[TrialState, dict[str, float]] | None:
    """How a trial ended; None where it has not."""
    from hyperopt import JOB_STATE_DONE, JOB_STATE_ERROR, STATUS_OK

    if document["state"] not in (JOB_STATE_DONE, JOB_STATE_ERROR):
        return None
    loss = document["result"].get("loss")
    if document["state"] == JOB_STATE_ERROR or document["result"].get("status") != STATUS_OK or loss is None:
        return TrialState.FAILED, {}
    loss = float(loss)
    return (TrialState.COMPLETED, {"loss": loss}) if math.isfinite(loss) else (TrialState.DIVERGED, {})
