"""A study as a table: a row a trial."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require

if TYPE_CHECKING:
    import pandas as pd

    from greyhound.history import History
    from greyhound.trial import Trial


def rows(history: History) -> list[dict[str, Any]]:
    """Every trial as a flat record: its own fields, then params.NAME, metrics.NAME and attrs.NAME.

    All records have the same keys in the same order; what a trial does not have is None.
    """
    trials = list(history.trials)
    params = list(dict.fromkeys([*history.space.names, *(name for trial in trials for name in trial.params)]))
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    attrs = list(dict.fromkeys(name for trial in trials for name in trial.attrs))
    return [
        {
            "number": trial.number,
            "state": trial.state.value,
            "source": trial.source,
            "step": trial.step,
            **{f"params.{name}": trial.params.get(name) for name in params},
            **{f"metrics.{name}": trial.metrics.get(name) for name in metrics},
            **{f"attrs.{name}": trial.attrs.get(name) for name in attrs},
            "seconds": round(trial.seconds, 3),
            "started": trial.started,
            "ended": trial.ended,
            "seed": trial.seed,
            "restarts": trial.restarts,
            "error": trial.error,
        }
        for trial in trials
    ]


def dataframe(history: History) -> pd.DataFrame:
    """The rows as a pandas data frame; MissingExtraError where pandas is not installed."""
    frame: pd.DataFrame = require("pandas", "pandas").DataFrame(rows(history))
    return frame


def to_csv(history: History) -> str:
    """The rows as CSV with a header; tuples and other structured values as JSON.

    A parameter that is None is null; what a trial does not have is empty.
    """
    table = rows(history)
    out = io.StringIO()
    if table:
        writer = csv.DictWriter(out, fieldnames=list(table[0]))
        writer.writeheader()
        for row, trial in zip(table, history.trials, strict=True):
            nothing = {f"params.{name}": "null" for name, value in trial.params.items() if value is None}
            writer.writerow({**{name: _cell(value) for name, value in row.items()}, **nothing})
    return out.getvalue()


def to_json(history: History) -> str:
    """Trials with their full learning curves, and what the study declares, as JSON.

    A parameter that is None is null; one that a trial does not have is left out.
    """
    settings = history.settings
    trials = [
        {
            **strict(_had(row, trial)),
            "reports": [strict({"step": report.step, **report.metrics}) for report in trial.reports],
        }
        for row, trial in zip(rows(history), history.trials, strict=True)
    ]
    out = io.StringIO()  # one text for all the pieces of it
    data = {"study": strict(settings.to_json()) if settings else None, "trials": trials}
    json.dump(data, out, indent=1, default=str, allow_nan=False)
    return out.getvalue()


def _had(row: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """The row without the parameters that the trial does not have."""
    params = {f"params.{name}" for name in trial.params}
    return {key: value for key, value in row.items() if key in params or not key.startswith("params.")}


def strict(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    return [strict(item) for item in value] if isinstance(value, list | tuple) else value


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple | list | dict) else value
