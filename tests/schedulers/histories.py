"""Histories written by hand, to take a scheduler's decisions from."""

from greyhound import events as ev
from greyhound.history import History
from greyhound.settings import Settings
from greyhound.space import Float, Space
from greyhound.trial import Objective, TrialState

SPACE = Space(x=Float(0.0, 1.0))


def begun(max_steps=9, losses=("loss",), space=SPACE, maximize=False, **settings):
    """A study that minimises (or maximises) these metrics, without a trial."""
    settings = Settings(
        objectives=tuple(Objective(name, maximize) for name in losses), space=space, max_steps=max_steps, **settings
    )
    return History.of([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "test", "host", 1, 1.0)])


def add(history, curve, state=None, params=None, parent=None, step=0):
    """A trial that reported losses (rows of several, or by name) from `step` on, and is in the state; its number."""
    number = len(history)
    params = {"x": 0.5} if params is None else params
    history.apply(ev.Started(2.0 + number, number, params, 1, "test", "test", parent=parent, step=step))
    go_on(history, number, curve, state)
    return number


def add_replicates(history, of, count, curve):
    """`count` trainings of a trial on fresh seeds, as finals ask for them, each with these losses and at its end."""
    for seed in range(count):
        number, ticket = len(history), len(history.queue) + len(history.replicates)
        history.apply(ev.Enqueued(2.0 + number, {"x": 0.5}, seed, of))
        history.apply(ev.Started(2.0 + number, number, {"x": 0.5}, seed, "finals", "test", ticket=ticket))
        go_on(history, number, curve, TrialState.COMPLETED)


def go_on(history, number, curve, state=None):
    """More reports of a trial, and its end; PAUSED ones are resumed first."""
    trial = history.trial(number)
    if trial.state is TrialState.PAUSED:
        history.apply(ev.Resumed(2.05 + number, number, "test"))
    names = [objective.metric for objective in history.objectives]
    for at, losses in enumerate(curve, trial.step + 1):
        values = losses if isinstance(losses, tuple) else (losses,)
        told = losses if isinstance(losses, dict) else dict(zip(names, values, strict=True))
        history.apply(ev.Reported(2.1 + number, number, at, told))
    if state is not None:
        history.apply(ev.Ended(2.5 + number, number, state, {}, "test"))
