"""The share of a study's budget that is kept for the finals, and how it is spent.

The search gets four fifths. With the rest the best few configurations and the default are trained again on fresh
seeds, as many of both as fit; where too few fit to tell anything the search gets the rest too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from greyhound.analysis import ranking
from greyhound.budget import Budget
from greyhound.errors import StudyError
from greyhound.study import Study
from greyhound.trial import TrialState

SHARE = 0.2
"""Of the budget, for the finals."""
TOP, SEEDS = 5, 5
FEWEST_TRIALS = 30
"""A budget of fewer trials is left to the search: a fifth of it compares nothing."""
_FEWEST_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What the finals may spend.

    total: the study's whole budget, the search's share of which the study declares meanwhile. top, seeds: how many
    finalists and seeds at most; fixed: exactly so many, whatever they cost.
    """

    total: Budget
    top: int = TOP
    seeds: int = SEEDS
    fixed: bool = False

    def to_json(self) -> dict[str, Any]:
        """JSON-safe values, as a study's settings keep them."""
        return {"total": self.total.to_json(), "top": self.top, "seeds": self.seeds, "fixed": self.fixed}


def kept(study: Study, more: Any = None) -> Plan | None:
    """The plan with which the study was last run; None where it had none.

    more: budget to add, counted from what was spent.
    """
    found = study.settings.finals
    if not found:
        if more is not None:
            study.extend(more)
        return None
    plan = Plan(Budget(**found["total"]), found["top"], found["seeds"], found["fixed"])
    if more is None:
        return plan
    study.set_budget(plan.total)
    study.extend(more)
    if not plan.fixed:
        return reserve(study, "auto", f"+{more}")
    plan = replace(plan, total=study.settings.budget)
    study.set_budget(plan.total, plan.to_json())
    return plan


def reserve(study: Study, wanted: Any, budget: Any) -> Plan | None:
    """Keep a share of the study's budget for finals; None where there are to be none.

    wanted: "auto" for finals where there is one objective, a default to compare with and a budget worth
    sharing; False for none; True or {"top": 5, "seeds": 5} for exactly these. budget: as the user wrote it; one with
    a leading plus counts from what was spent. StudyError where `wanted` cannot be read, or is impossible.
    """
    top, seeds, fixed = _sizes(wanted)
    if wanted is False or (not fixed and not _worth(study)):
        return None
    if len(study.history.objectives) != 1:
        raise StudyError("finals compare one objective; write finals=False where there are several.")
    total = study.settings.budget
    spent = study.spent_so_far() if isinstance(budget, str) and budget.strip().startswith("+") else {}
    search = {name: amount - SHARE * (amount - spent.get(name, 0.0)) for name, amount in total.to_json().items()}
    for name in ("trials", "steps"):
        if name in search:
            search[name] = math.ceil(search[name])
    if fixed and total.trials is not None:
        search["trials"] = total.trials - (top + 1) * seeds
        if search["trials"] < 1:
            raise StudyError(
                f"finals of {top} configurations and the default on {seeds} seeds take {(top + 1) * seeds} of the "
                f"budget's {total.trials} trials; give more trials, or fewer: finals={{'top': 2, 'seeds': 3}}."
            )
    plan = Plan(total, top, seeds, fixed)
    study.set_budget(search, plan.to_json())
    return plan


def begin(study: Study, plan: Plan, slots: int) -> bool:
    """Once the search has ended: ask for the replicates that fit; whether the study has more to train.

    slots: trainings at once. Where nothing fits, the search gets the rest of the budget.
    """
    history = study.history
    if history.replicates_open:
        return True
    runs = (plan.top + 1) * plan.seeds if plan.fixed else _affordable(study, plan.total, slots)
    top, seeds = (plan.top, plan.seeds) if plan.fixed else fit(runs, plan.top, plan.seeds)
    done = len(history) > 0 and history.trials[-1].replicates is not None
    if top and ranking.best(history) is not None:
        study.enqueue_finals(top, seeds)
        return study.history.replicates_open
    if done or study.settings.budget == plan.total:
        return False
    study.set_budget(plan.total)
    return not study.finished


def fit(runs: float, top: int, seeds: int) -> tuple[int, int]:
    """How many finalists besides the default, and seeds, so many trainings allow; (0, 0) if too few.

    Seeds first: an interval of three is twice as wide as one of five.
    """
    for count in range(seeds, _FEWEST_SEEDS - 1, -1):
        if (fits := min(top, int(runs // count) - 1)) >= 2:
            return fits, count
    alone = min(seeds, int(runs // 2))
    return (1, alone) if alone >= _FEWEST_SEEDS else (0, 0)


def _sizes(wanted: Any) -> tuple[int, int, bool]:
    if wanted in ("auto", False, True):
        return TOP, SEEDS, wanted is True
    if isinstance(wanted, Mapping) and set(wanted) <= {"top", "seeds"}:
        top, seeds = wanted.get("top", TOP), wanted.get("seeds", SEEDS)
        if all(isinstance(each, int) and each >= 1 for each in (top, seeds)):
            return top, seeds, True
    raise StudyError(f"finals: write 'auto', True, False or {{'top': 5, 'seeds': 5}}; got {wanted!r}.")


def _worth(study: Study) -> bool:
    budget, history = study.settings.budget, study.history
    compared = len(history.objectives) == 1 and not history.define_by_run and history.space.default() is not None
    return compared and not budget.unlimited and (budget.trials is None or budget.trials >= FEWEST_TRIALS)


def _affordable(study: Study, total: Budget, slots: int) -> float:
    """Trainings in full that the rest of the budget pays for, judged by the longest so far."""
    history = study.history
    done = [history.trial(number) for number in history.numbers(TrialState.COMPLETED)]
    left = {name: amount - study.spent_so_far()[name] for name, amount in total.to_json().items()}
    longest = max((trial.seconds for trial in done), default=math.inf)
    steps = max((trial.step for trial in done), default=1) or 1
    costs = {"seconds": longest / max(1, slots), "device_seconds": longest, "steps": steps, "trials": 1}
    return min((left[name] / max(costs[name], 1e-9) for name in left), default=0.0)
