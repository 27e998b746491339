"""Histories of one loss that samplers' tests make trial by trial, and what they measure on them."""

import numpy as np

from greyhound import events as ev
from greyhound.history import History
from greyhound.settings import Settings
from greyhound.space import Bool, Categorical, Float, Int, Space
from greyhound.trial import Objective, TrialState, derive_seed

SQUARE = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))
MIXED = Space(
    x=Float(0.0, 1.0),
    n=Int(1, 20),
    kind=Categorical(["a", "b", "c"]),
    deep=Float(0.0, 1.0, when={"kind": "b"}),
    flag=Bool(),
)


def loss_of(params):
    """0 at its lowest on SQUARE and on MIXED."""
    if "kind" not in params:
        return (params["x"] - 0.3) ** 2 + (params["y"] - 0.7) ** 2
    by_kind = {"a": 0.3, "b": (params.get("deep", 0.0) - 0.6) ** 2, "c": 0.2}[params["kind"]]
    return by_kind + (params["x"] - 0.3) ** 2 + ((params["n"] - 14) / 20) ** 2 + 0.1 * params["flag"]


def begun(space, seed=0):
    """A study that minimises the loss, without a trial."""
    settings = Settings(objectives=(Objective("loss", False),), space=space, seed=seed)
    return History.of([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "test", "host", 1, 1.0)])


def add(history, params, loss, running=False, **metrics):
    """A trial that completed with a loss and other metrics, failed without a loss, or runs."""
    number = len(history)
    history.apply(ev.Started(2.0 + number, number, params, derive_seed(0, number), "test", "test"))
    if not running:
        state = TrialState.FAILED if loss is None else TrialState.COMPLETED
        told = metrics if loss is None else {"loss": loss, **metrics}
        history.apply(ev.Ended(2.5 + number, number, state, told, "test"))


def searched(sampler, space, seed, trials=40, loss_of=loss_of):
    """The history of so many suggestions of a sampler, one at a time."""
    history = begun(space, seed)
    for number in range(trials):
        (params,) = sampler.suggest(history, 1, np.random.default_rng(derive_seed(seed, number)))
        add(history, params, loss_of(params))
    return history


def lowest(*args, **options):
    """The lowest loss that `searched` finds."""
    return np.nanmin(searched(*args, **options).losses)


def corner(rng):
    """Ten configurations of SQUARE near the origin."""
    return [{"x": float(x), "y": float(y)} for x, y in 0.25 * rng.random((10, 2))]


def in_corner(sampler, seed, trials):
    """How many of the trials after ten failures near the origin, where losses point to, fall there again."""
    history = begun(SQUARE, seed)
    for params in corner(np.random.default_rng(seed)):
        add(history, params, None)
    inside = 0
    for number in range(10, 10 + trials):
        (params,) = sampler.suggest(history, 1, np.random.default_rng(derive_seed(seed, number)))
        fails = params["x"] < 0.25 and params["y"] < 0.25
        inside += fails
        add(history, params, None if fails else (params["x"] - 0.3) ** 2 + (params["y"] - 0.3) ** 2)
    return inside
