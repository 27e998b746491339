"""What every sampler promises: valid configurations of any space, purely from the history."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greyhound import events as ev
from greyhound.errors import GreyhoundError
from greyhound.history import History
from greyhound.samplers.base import Sampler
from greyhound.settings import Settings
from greyhound.space import Bool, Categorical, Float, Int, Ordinal, Space
from greyhound.testing.promise import expect
from greyhound.trial import Objective, TrialState, derive_seed

if TYPE_CHECKING:
    import numpy as np

Make = Callable[[], Sampler]


def check_sampler(make: Make) -> None:
    """Run every check on the samplers that make() gives."""
    for check in CHECKS.values():
        check(make)


def spaces() -> dict[str, Space]:
    """Spaces of every kind that a sampler has to deal with."""
    return {
        "one float": Space(x=Float(0.0, 1.0)),
        "every type": Space(
            lr=Float(1e-5, 1e-1, log=True),
            momentum=Float(0.0, 0.9, step=0.1),
            layers=Int(1, 8),
            width=Int(8, 1024, log=True),
            batch=Ordinal([16, 32, 64, 128]),
            optimizer=Categorical(["sgd", "adam", None, ("a", 1)]),
            nesterov=Bool(),
        ),
        "conditional": Space(
            optimizer=Categorical(["sgd", "adam"]),
            momentum=Float(0.0, 0.99, when={"optimizer": "sgd"}),
            nesterov=Bool(when={"optimizer": "sgd"}),
            decay=Float(1e-6, 1e-2, log=True, when={"nesterov": True}),
            beta=Float(0.8, 0.999, when={"optimizer": ["adam"]}),
        ),
        "constrained": Space(a=Int(0, 20), b=Int(0, 20), c=Float(0, 1), constraint={"a below b": "a < b"}),
        "one value": Space(x=Int(3, 3), y=Categorical(["only"]), z=Float(0.5, 0.5)),
        "huge": Space({f"x{at}": Float(-1e6, 1e6) for at in range(60)} | {"n": Int(0, 10**15)}),
        "small": Space(a=Categorical(["a", "b", "c"]), b=Bool()),
    }


def gives_valid_configurations(make: Make) -> None:
    """Every suggestion is a configuration of the space, with and without a history behind it."""
    for name, space in _taken(make):
        for history in (history_of(space, 0), history_of(space, 12)):
            for params in _suggest(make(), history, 3):
                _valid(space, params, name)


def is_pure(make: Make) -> None:
    """The same arguments give the same suggestions, from another instance too, and history is left alone."""
    for name, space in _taken(make):
        history = history_of(space, 10)
        before = [copy.deepcopy(trial) for trial in history.trials]
        sampler = make()
        first, second = _suggest(sampler, history, 2), _suggest(sampler, history, 2)
        expect(first == second, f"{name}: the same history and random state give the same suggestions")
        expect(_suggest(make(), history, 2) == first, f"{name}: nothing is kept between calls or instances")
        expect(list(history.trials) == before, f"{name}: the history is not changed")


def uses_the_random_generator_it_is_given(make: Make) -> None:
    """Global random states are neither used nor changed."""
    import random

    import numpy as np

    history = history_of(spaces()["every type"], 6)
    random.seed(1)
    np.random.seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    _suggest(make(), history, 2)
    after = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    expect(states == after, "global random states are left alone")


def gives_no_more_than_asked(make: Make) -> None:
    """At most count suggestions, and exactly count where the space is infinite."""
    for count in (0, 1, 5):
        found = _suggest(make(), history_of(spaces()["one float"], 0), count)
        expect(len(found) <= count, f"no more than count={count} suggestions")
        if not make().traits.finite:
            expect(len(found) == count, f"an infinite space gives count={count} suggestions")


def repeats_nothing_in_a_finite_space(make: Make) -> None:
    """A finite space is tried without repeats until it is exhausted, and then there is no more."""
    _tries_whole(make, spaces()["small"], 6)
    if make().traits.constraints and not make().traits.finite:
        _tries_whole(make, Space(a=Int(0, 69), b=Int(0, 69), constraint={"a few": "a + b < 3"}), 6)


def batches_hold_no_repeats(make: Make) -> None:
    """Suggestions of one batch differ, in finite and infinite spaces."""
    for name in ("small", "one float", "every type"):
        space = spaces()[name]
        keys = [space.key(params) for params in _suggest(make(), history_of(space, 0), 4)]
        expect(len(set(keys)) == len(keys), f"{name}: the suggestions of a batch differ")


def bears_pending_trials(make: Make) -> None:
    """Trials that still run are in the history; what they try is not proposed again."""
    space = spaces()["small"]
    history = history_of(space, 0, pending=3)
    running = {space.key(trial.params) for trial in history.running}
    for params in _suggest(make(), history, 3):
        expect(space.key(params) not in running, "what a running trial tries is not proposed again")


def bears_failures(make: Make) -> None:
    """Failed trials, NaN and infinite values, and nothing but failures, are borne."""
    for name, space in _taken(make):
        for kind in ("some", "all"):
            history = history_of(space, 9, failures=kind)
            for params in _suggest(make(), history, 2):
                _valid(space, params, f"{name}, {kind} trials failed")


def bears_a_long_history(make: Make) -> None:
    """Thousands of trials are borne."""
    space = spaces()["every type"]
    for params in _suggest(make(), history_of(space, 2000), 1):
        _valid(space, params, "2,000 trials")


def bears_several_objectives(make: Make) -> None:
    """Two objectives give valid configurations, purely; what learns, learns from both."""
    for name, space in _taken(make):
        history = history_of(space, 30, size=1.0)
        found = _suggest(make(), history, 2)
        for params in found:
            _valid(space, params, f"{name}, two objectives")
        expect(_suggest(make(), history, 2) == found, f"{name}: suggestions are pure with two objectives")
    if make().traits.model:
        space = spaces()["every type"]
        small, large = (_suggest(make(), history_of(space, 30, size=sign), 2) for sign in (1.0, -1.0))
        expect(small != large, "the second objective counts as well as the first")


def learns_under_a_constraint(make: Make) -> None:
    """What learns goes on learning where the objective improves towards what a constraint forbids."""
    if not make().traits.model:
        return
    import random

    space = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0), constraint={"enough": "x + y > 1"})

    def loss_of(params: Mapping[str, Any]) -> float:
        return float(params["x"] + 2.0 * params["y"])

    rng, events = random.Random(7), list(_declared(space))
    tried = [space.sample(rng) for _ in range(20)]
    for number, params in enumerate(tried):
        events.extend(_trial(number, params, {"loss": loss_of(params)}))
    found = [params for seed in range(8) for params in make().suggest(History.of(events), 1, _rng(seed))]
    for params in found:
        _valid(space, params, "a constraint that the objective pulls beyond")
    before, now = (sum(map(loss_of, each)) / len(each) for each in (tried, found))
    expect(now < before, f"suggestions are better than random ones: a mean loss of {now:.3g}, not of {before:.3g}")


def bears_one_value(make: Make) -> None:
    """A space of a single configuration gives it once."""
    space = spaces()["one value"]
    found = _suggest(make(), history_of(space, 0), 3)
    expect(len(found) == 1, "the only configuration is proposed once")
    _valid(space, found[0], "one value")


CHECKS: Mapping[str, Callable[[Make], None]] = {
    check.__name__: check
    for check in (
        gives_valid_configurations, is_pure, uses_the_random_generator_it_is_given, gives_no_more_than_asked,
        repeats_nothing_in_a_finite_space, batches_hold_no_repeats, bears_pending_trials, bears_failures,
        bears_a_long_history, bears_several_objectives, learns_under_a_constraint, bears_one_value,
    )
}  # fmt: skip


def history_of(
    space: Space, count: int, *, pending: int = 0, failures: str = "none", size: float | None = None
) -> History:
    """A history of `count` random trials that ended, and `pending` that run.

    failures: "none", "some" (each third: one failed, one NaN) or "all". size: with a second objective of this name,
    which grows (or falls, where it is negative) with the squares of the coordinates.
    """
    import random

    rng = random.Random(7)
    seen: set[Any] = set()
    events = list(_declared(space, ["loss"] if size is None else ["loss", "size"]))
    for number in range(count + pending):
        params = space.sample(rng)
        for _ in range(20):
            if space.size is None or space.key(params) not in seen:
                break
            params = space.sample(rng)
        seen.add(space.key(params))
        loss: float | None = sum(space.encode(params)[0]) + rng.random()
        state = TrialState.COMPLETED
        if failures == "all" or (failures == "some" and number % 3 == 0):
            state, loss = (TrialState.DIVERGED, float("nan")) if number % 2 else (TrialState.OUT_OF_MEMORY, None)
        told = {} if loss is None else {"loss": loss}
        if size is not None:
            told["size"] = size * sum(unit * unit for unit in space.encode(params)[0])
        events.extend(_trial(number, params, told, state)[: 1 if number >= count else None])
    return History.of(events)


def _declared(space: Space, metrics: Sequence[str] = ("loss",)) -> Iterable[ev.Event]:
    settings = Settings(objectives=tuple(Objective(metric, False) for metric in metrics), space=space, seed=3)
    return [ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "check", "host", 1, 1.0)]


def _trial(
    number: int,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    state: TrialState = TrialState.COMPLETED,
) -> Sequence[ev.Event]:
    time = 2.0 + number
    return [
        ev.Started(time, number, params, derive_seed(3, number), "check", "check"),
        ev.Ended(time + 0.5, number, state, metrics, "check"),
    ]


def _tries_whole(make: Make, space: Space, size: int) -> None:
    events = list(_declared(space))
    seen: list[Any] = []
    for number in range(size + 4):
        found = _suggest(make(), History.of(events), 1)
        if not found:
            break
        expect(space.key(found[0]) not in seen, "no configuration of a finite space is proposed twice")
        seen.append(space.key(found[0]))
        events.extend(_trial(number, found[0], {"loss": float(number)}))
    expect(len(seen) == size, f"all {size} configurations are proposed; {len(seen)} were")


def _taken(make: Make) -> Iterable[tuple[str, Space]]:
    """The spaces that the sampler takes; those that it declares not to take it has to refuse clearly."""
    traits = make().traits
    for name, space in spaces().items():
        refused = (name == "conditional" and not traits.conditional) or (
            name == "constrained" and not traits.constraints
        )
        if not refused and not (traits.finite and name == "huge"):
            yield name, space
            continue
        try:
            _suggest(make(), history_of(space, 0), 1)
        except GreyhoundError:
            continue
        expect(False, f"{name}: a space that the sampler's traits rule out is refused with a GreyhoundError")


def _suggest(sampler: Sampler, history: History, count: int) -> list[dict[str, Any]]:
    return list(sampler.suggest(history, count, _rng()))


def _rng(seed: int = 5) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng([3, seed])


def _valid(space: Space, params: Mapping[str, Any], where: str) -> None:
    try:
        valid = space.validate(dict(params))
    except GreyhoundError as error:
        raise AssertionError(f"{where}: every suggestion is valid; {error}") from error
    expect(valid == params, f"{where}: a suggestion has plain Python values in their canonical form")
