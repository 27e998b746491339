"""What a study has spent of its budget, and what is left of it."""

from __future__ import annotations

from dataclasses import replace

from greyhound.budget import duration
from greyhound.history import History
from greyhound.values import counted


def spent(history: History, now: float) -> dict[str, float]:
    """What the study has spent, by the names of a budget's fields; the finals do not count as trials."""
    return {
        "seconds": history.elapsed_seconds(now),
        "trials": history.searched,
        "steps": history.total_steps,
        "device_seconds": history.device_seconds(now),
    }


def used_up(history: History, now: float, driven: bool) -> str | None:
    """Which budget of time or steps is used up, in a sentence; None while none is.

    driven: whether this process drives the study, so that the time passes until `now`; else until the last event.
    """
    if history.settings is None or history.settings.budget.unlimited:
        return None
    budget = replace(history.settings.budget, trials=None)
    amounts = spent(history, now if driven else history.last_time)
    if any(amounts[name] >= limit for name, limit in budget.to_json().items()):
        return f"the budget of {budget} is used up"
    return None


def steps_in_all(history: History) -> float | None:
    """How many steps the budget has room for, those spent among them; None where that is not limited or not known.

    For a budget of time, at the pace so far.
    """
    if history.settings is None:
        return None
    budget, limits = history.settings.budget, []
    if budget.steps is not None:
        limits.append(float(budget.steps))
    for limit, gone in (
        (budget.seconds, history.active_seconds),
        (budget.device_seconds, history.device_seconds(history.last_time)),
    ):
        if limit is not None and gone > 0 and history.total_steps:
            limits.append(history.total_steps * limit / gone)
    return min(limits, default=None)


def time_left(history: History, now: float) -> str:
    """What is left of the budgets: "1 min 20 s left", "37 of 100 trials"; empty where there is none.

    Of the search's until the finals that are planned begin; then of the whole, and their trials count too.
    """
    settings = history.settings
    if settings is None or settings.budget.unlimited:
        return ""
    whole = bool(settings.finals and len(history.replicates))
    budget, trials = (settings.whole_budget, len(history)) if whole else (settings.budget, history.searched)
    parts = []
    if budget.seconds is not None:
        parts.append(f"{duration(max(0.0, budget.seconds - history.elapsed_seconds(now)))} left")
    if budget.trials is not None:
        parts.append(f"{trials} of {counted(budget.trials, 'trial')}")
    if budget.steps is not None:
        parts.append(f"{history.total_steps} of {counted(budget.steps, 'step')}")
    if budget.device_seconds is not None:
        parts.append(f"{duration(max(0.0, budget.device_seconds - history.device_seconds(now)))} of device time left")
    return ", ".join(parts)
