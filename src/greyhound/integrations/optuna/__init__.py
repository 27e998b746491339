"""Greyhound for people who stay with Optuna, and the way over and back for their studies.

    study = optuna.create_study(sampler=GreyhoundSampler(), pruner=GreyhoundPruner())

`GreyhoundSampler` and `GreyhoundPruner` work inside Optuna's own loop, on code that is otherwise unchanged.
"""

from greyhound._lazy import require

require("optuna", "optuna")

from greyhound.integrations.optuna.pruner import GreyhoundPruner  # noqa: E402
from greyhound.integrations.optuna.sampler import GreyhoundSampler  # noqa: E402
from greyhound.integrations.optuna.studies import (  # noqa: E402
    add_trials,
    distributions_of,
    export_study,
    import_study,
    space_of,
)

__all__ = [
    "GreyhoundPruner",
    "GreyhoundSampler",
    "add_trials",
    "distributions_of",
    "export_study",
    "import_study",
    "space_of",
]
