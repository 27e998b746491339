"""Rolling and metabolic use of any model: only the newest values decide, the oldest are dropped.

`Rolling` fits the last `window` values. `Metabolic` does so too and, forecasting further ahead, appends each forecast,
drops the oldest value and fits again.

Source: Deng 1989 (metabolism: the new information takes the place of the old); Liu & Lin 2006, section on the
metabolic GM(1,1); rolling: Akay & Atak, Grey prediction with rolling mechanism, Energy 32, 2007.
"""

from __future__ import annotations

import numpy as np

from greyhound.errors import GreyError
from greyhound.grey.base import Model, Series, check_model, check_steps, fresh


class Rolling(Model):
    """`model` on a moving window: `Rolling(GM11(), window=4).fit(series)`.

    `fitted` is the model's fit over the first window, then for each further point the forecast from the `window`
    values before it. After `fit`, `model` is the one of the last window.
    """

    def __init__(self, model: Model, window: int) -> None:
        check_model(model)
        self.model = fresh(model)
        self.window = _check_window(model, window)
        self.least = self.window

    def _estimate(self, x: Series) -> None:
        starts = range(len(x) - self.window + 1)
        models = [fresh(self.model).fit(x[start : start + self.window]) for start in starts]
        ahead = [model.predict(1) for model in models[:-1]]
        self._seen = np.concatenate([models[0].fitted, *ahead])
        self.model = models[-1]

    def _course(self, count: int) -> Series:
        steps = count - len(self._seen)
        return self._seen if steps == 0 else np.concatenate([self._seen, self._ahead(steps)])

    def _ahead(self, steps: int) -> Series:
        return self.model.predict(steps)


class Metabolic(Rolling):
    """`model` on a moving window that takes in its own forecasts: `Metabolic(GM11(), window=5).fit(series)`."""

    def _ahead(self, steps: int) -> Series:
        values = self.series[-self.window :]
        for _ in range(steps):
            following = fresh(self.model).fit(values[-self.window :]).predict(1)
            values = np.concatenate([values, following])
        return values[self.window :]


def _check_window(model: Model, window: int) -> int:
    check_steps(window, "window")
    if window < model.least:
        raise GreyError(f"window: {type(model).__name__} needs at least {model.least} values; got window={window}.")
    return window
