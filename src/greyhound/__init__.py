"""Greyhound: hyperparameter tuning for deep learning.

    import greyhound as gh

    space = gh.Space(lr=gh.Float(1e-5, 1e-1, log=True), layers=gh.Int(1, 4))
    study = gh.tune(train, space, maximize="accuracy", max_steps=30, budget="2h")
    study.best.params

The names below are imported when they are first used, so that `import greyhound` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from greyhound._version import __version__

if TYPE_CHECKING:
    from greyhound.budget import Budget as Budget
    from greyhound.errors import GreyhoundError as GreyhoundError
    from greyhound.errors import TrialPaused as TrialPaused
    from greyhound.errors import TrialPruned as TrialPruned
    from greyhound.errors import TrialStopped as TrialStopped
    from greyhound.evaluators.reporting import params as params
    from greyhound.evaluators.reporting import report as report
    from greyhound.evaluators.script import Script as Script
    from greyhound.integrations.hyperopt import suggest as suggest
    from greyhound.space import Bool as Bool
    from greyhound.space import Categorical as Categorical
    from greyhound.space import Float as Float
    from greyhound.space import Int as Int
    from greyhound.space import Ordinal as Ordinal
    from greyhound.space import Space as Space
    from greyhound.study import Study as Study
    from greyhound.trial import Trial as Trial
    from greyhound.trial import TrialState as TrialState
    from greyhound.trial import Verdict as Verdict
    from greyhound.tuning import tune as tune

_PUBLIC = {
    "Bool": "greyhound.space",
    "Budget": "greyhound.budget",
    "Categorical": "greyhound.space",
    "Float": "greyhound.space",
    "GreyhoundError": "greyhound.errors",
    "Int": "greyhound.space",
    "Ordinal": "greyhound.space",
    "Script": "greyhound.evaluators.script",
    "Space": "greyhound.space",
    "Study": "greyhound.study",
    "Trial": "greyhound.trial",
    "TrialPaused": "greyhound.errors",
    "TrialPruned": "greyhound.errors",
    "TrialState": "greyhound.trial",
    "TrialStopped": "greyhound.errors",
    "Verdict": "greyhound.trial",
    "params": "greyhound.evaluators.reporting",
    "report": "greyhound.evaluators.reporting",
    "suggest": "greyhound.integrations.hyperopt",
    "tune": "greyhound.tuning",
}

__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'greyhound' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
