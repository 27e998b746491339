"""Freeze-thaw: whoever is likeliest to win for its cost trains next, a new configuration or any that is paused.

Every configuration trains for a few steps, is looked at, and pauses. For a free worker
every paused trial has an index: how much its final loss is expected to fall below the best so far, by the forecast of
its curve and its uncertainty, for each step that it still needs. A new configuration has one too, the price of a step
at which it would just pay to start it, look at it, and go on only if that pays: that is worked out on the
newest configurations as they looked then, so that it follows what the sampler has learned. The highest
index goes first. Where early steps tell little, forecasts are uncertain, few are told apart, and trainings finish.

The first to be resumed are looked at again, after twice and four times as many steps, while so few have finished that
nobody knows how curves end; and meanwhile no more than two dozen are begun. Later a trial that was resumed trains to
its end: its result teaches the sampler more than another look would save. One is stopped for good only when the chance
that it would finish best is below `risk`. Once some trainings have finished the rest are not held back at their look
unless they are hopeless: what the sampler proposes by then is so alike that early steps can't rank it, and where a
forecast is wrong the sampler would not learn it.

Where the first trials learn nothing there is nothing to forecast by: then configurations are drawn at random, rather
near those that fared well (see `scouting`), until enough of them have learned, and go on by successive halving, which
looks at many and gives more time to the best of each rung.

A paused trial that breaks a limit goes after all that do not, and what breaks one promises nothing, unless trainings
that finished show that a limit which is broken early may be kept in the end.

With several objectives the front of what has finished stands for the best, the growth of its hypervolume for the fall
of the loss, and the chance to end undominated for that of finishing best.

Sources: Swersky, Snoek & Adams 2014, "Freeze-thaw Bayesian optimization", for pausing and resuming by forecasts; the
index: Weitzman 1979, "Optimal search for the best alternative", each alternative's reservation price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from greyhound.errors import StudyError
from greyhound.schedulers.asha import Asha
from greyhound.schedulers.base import Action, Resume, Start, Traits, Wait, is_number
from greyhound.schedulers.idle import learners, nothing_learns
from greyhound.schedulers.promise import Best, Front, to_beat
from greyhound.schedulers.ranking import breaches, finished
from greyhound.schedulers.scouting import scouted
from greyhound.spending import steps_in_all
from greyhound.trial import TrialState, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from greyhound.curves.study import Finals
    from greyhound.history import History
    from greyhound.numeric.gp import Bools, Floats
    from greyhound.trial import Trial

_FIRST = 8
"""So many trials are looked at before any goes on."""
_NEWEST = 10
"""The newest configurations tell what the next one may be like."""
_SURE = 5
"""So many trainings are finished before any trial is stopped for good."""
_LOOKS = 1 / 4
"""First looks have at least this share of all steps, so that trials which are all alike are not polished."""
_EACH = 5
"""So many trials a worker are looked at before any goes on: where many train at once, what they teach comes late."""
_MANY = 24
"""So many are looked at, or _EACH for each worker, before _KNOWN have finished."""
_KNOWN = 3
"""Until so many trainings have finished, what goes on is looked at again at each of _AGAIN looks."""
_AGAIN = (2, 4)
_LAST = 1.25
"""With room for so many trainings a worker left, and none finished, the best goes on to its end."""
_TOLD = 5
"""So many random configurations, and so many of the sampler's, have been looked at before they are compared."""
_LEARNED = 8
"""From so many finished trainings on the sampler is trusted with all starts, and all but the hopeless go on at once."""
_HOPELESS = 0.001
"""The chance to finish best below which such a trial is not let go on."""
_DOMINATED = 0.2
"""The same with several objectives, where it is the chance to finish on the front."""
_TAUGHT = 3
"""Where the first trials learn nothing, so many trials must have learned for each that a model begins with."""
_ETA = 4
"""One of so many goes on from each rung where the first trials learn nothing: most stand still, so few are worth it."""
_BISECTIONS = 40
_MOST_OBJECTIVES = 4
"""Of more, what a front leaves takes long to cut into boxes."""


@dataclass(frozen=True)
class FreezeThaw:
    """One look at each configuration, after min_steps, and two more at the first that go on.

    min_steps: 1 or more; None for a ninth of max_steps. risk: 0 to 1, the chance of
    finishing best (with several objectives, on the front) below which a trial is stopped for good, from eight
    finished trainings on a thousandth at most with one objective; 0 for never.
    """

    min_steps: int | None = None
    risk: float = 0.05
    traits: ClassVar[Traits] = Traits(objectives=_MOST_OBJECTIVES, unbounded=False)

    def __post_init__(self) -> None:
        if self.min_steps is not None and (not isinstance(self.min_steps, int) or self.min_steps < 1):
            raise StudyError(f"freeze_thaw: min_steps must be a whole number of at least 1; got {self.min_steps!r}.")
        if not (is_number(self.risk) and 0 <= self.risk < 1):
            raise StudyError(f"freeze_thaw: risk must be a chance, 0 or more and below 1; got {self.risk!r}.")

    def next(self, history: History) -> Action:
        """The highest index, among the paused and a new configuration.

        When no new ones are to be had, only those go on that may still win, and one in any case if none has finished.
        """
        if history.can_start and self._idle(history):
            return self._halve(history)
        paused = history.numbers(TrialState.PAUSED)
        if not paused:
            return Start() if history.can_start else Wait()
        import numpy as np

        from greyhound.curves.study import finals

        forecast = finals(history)
        bar = to_beat(history, forecast)
        kept = self._kept(history)
        index = _index(history, forecast, paused, bar, kept)
        first = int(index.argmax())
        if history.can_start:
            if self._enough(history) or _last_call(history):
                return Resume(paused[first])
            starts = self._looks_due(history) or self._price(history, forecast, bar, kept) >= index[first]
            return _start(history, forecast) if starts else Resume(paused[first])
        winnable = (_chance(forecast, paused, bar) >= self.risk) & kept[paused]
        if winnable.any():
            return Resume(paused[int(np.where(winnable, index, -np.inf).argmax())])
        winners = finished(history) if kept[paused[first]] else history.completed
        return Resume(paused[first]) if not history.running and not winners else Wait()

    def judge(self, history: History, trial: Trial) -> Verdict:
        """STOP where the chance to finish best is below the risk, else PAUSE; once many have finished CONTINUE.

        Then only the hopeless are stopped, and what breaks a limit is paused. Where the first trials learn nothing,
        PAUSE at every rung. CONTINUE where an objective is not told before the end.
        """
        if any(objective.metric not in trial.metrics for objective in history.objectives):
            return Verdict.CONTINUE
        count = history.count(TrialState.COMPLETED)
        if count < _SURE or self._idle(history):
            return Verdict.PAUSE
        from greyhound.curves.study import finals

        forecast = finals(history)
        chance = _chance(forecast, [trial.number], to_beat(history, forecast))[0]
        hopeless = _HOPELESS if len(history.objectives) == 1 else _DOMINATED
        if count >= _LEARNED and chance >= hopeless and self._kept(history)[trial.number]:
            return Verdict.CONTINUE
        return Verdict.STOP if chance < self.risk else Verdict.PAUSE

    def until(self, history: History, trial: Trial | None) -> int | None:
        """The next look, or the end of the training; the next rung where the first trials learn nothing."""
        if self._idle(history):
            return self._halving(history).until(history, trial)
        step = trial.step if trial is not None else 0
        look = self._look(history)
        if step < look:
            return look
        end = history.max_steps or 1
        again = _AGAIN if history.count(TrialState.COMPLETED) < _KNOWN and not _last_call(history) else ()
        return next((times * look for times in again if step < times * look < end), end)

    def _idle(self, history: History) -> bool:
        return len(history.objectives) == 1 and nothing_learns(history, _FIRST, self._look(history))

    def _halve(self, history: History) -> Action:
        """Successive halving; new configurations are scouted until enough have learned to teach the sampler."""
        action = self._halving(history).next(history)
        if not isinstance(action, Start) or not _may_draw(history):
            return action
        known = learners(history, _FIRST, self._look(history))
        taught = known >= _TAUGHT * (len(history.space) + 1)
        return action if taught else Start(params=scouted(history, _generator(history)))

    def _halving(self, history: History) -> Asha:
        return Asha(eta=_ETA, min_steps=self.min_steps or max(1, self._look(history) // 3))

    def _look(self, history: History) -> int:
        """After how many steps a configuration is looked at."""
        end = history.max_steps or 1
        return min(self.min_steps or max(1, round(end / 9)), end)

    def _kept(self, history: History) -> Bools:
        """Which trials keep to the limits as far as is known, (n,); all where breaking one early tells nothing.

        That is where none keeps to them, or a finished one does that broke one at its look.
        """
        import numpy as np

        now = np.asarray(breaches(history)) == 0.0
        recovered = now & (np.asarray(breaches(history, self._look(history))) > 0.0)
        tells = (now & (history.steps > 0)).any() and not recovered[history.numbers(TrialState.COMPLETED)].any()
        return now if tells else np.ones(len(now), bool)

    def _looks_due(self, history: History) -> bool:
        """Whether there were too few first looks: for the workers, or for all the steps."""
        workers = len(history.running) + 1
        return len(history) < _EACH * workers or len(history) * self._look(history) < _LOOKS * history.total_steps

    def _enough(self, history: History) -> bool:
        """Whether as many were begun as can be told apart before some have finished."""
        workers = len(history.running) + 1
        return history.count(TrialState.COMPLETED) < _KNOWN and len(history) >= max(_MANY, _EACH * workers)

    def _price(self, history: History, forecast: Finals, bar: Best | Front | None, kept: Bools) -> float:
        """The index of a new configuration: gain for each step."""
        import numpy as np

        end = history.max_steps or 1
        look = self._look(history)
        newest = np.flatnonzero(forecast.lengths >= look)[-_NEWEST:]
        if bar is None or len(newest) < _FIRST:
            return np.inf
        told = forecast.told_at(look, newest)
        gains = np.where(kept[newest], bar.gain(told.mean, told.std), 0.0)
        left = end - look
        low, high = 0.0, float(gains.max()) / max(left, 1)
        for _ in range(_BISECTIONS):
            price = (low + high) / 2.0
            worth = np.maximum(gains - price * left, 0.0).mean() > price * look
            low, high = (price, high) if worth else (low, price)
        return low


def _start(history: History, forecast: Finals) -> Start:
    """A new configuration: the sampler's, or one drawn at random.

    Of three in a row the first is random, the last the sampler's, and the middle one random as long as the sampler's
    have not turned out better than the random ones; once eight trainings are finished all are the sampler's. So are
    they in a finite space, of which it knows what is left.
    """
    number = len(history)
    if number < _FIRST or not _may_draw(history):
        return Start()
    if history.count(TrialState.COMPLETED) >= _LEARNED:
        return Start()
    if number % 3 == 2 or (number % 3 == 1 and _sampler_helps(forecast)):
        return Start()
    return _random(history)


def _last_call(history: History) -> bool:
    """Whether the budget has hardly room for one training more a worker, and nothing within the limits has finished.

    Not in its first half: until then the pace may be that of workers which were starting.
    """
    room = steps_in_all(history)
    if room is None or finished(history):
        return False
    left, workers = room - history.total_steps, len(history.running) + 1
    return left <= history.total_steps and left < _LAST * workers * (history.max_steps or 1)


def _may_draw(history: History) -> bool:
    """Whether configurations can be drawn without the sampler."""
    return not history.define_by_run and history.space.size is None


def _random(history: History) -> Start:
    return Start(params=history.space.sample(_generator(history)))


def _generator(history: History) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng([history.seed, len(history)])


def _sampler_helps(forecast: Finals) -> bool:
    """Whether the sampler's configurations are better than random ones in more than half of all pairs."""
    import numpy as np

    from greyhound.numeric import pareto

    numbers = np.flatnonzero(np.isfinite(forecast.mean).all(axis=1))
    numbers = numbers[numbers >= _FIRST]
    expected = forecast.mean[numbers]
    worth = expected[:, 0] if expected.shape[1] == 1 else pareto.costs(expected)
    drawn, chosen = (worth[numbers % 3 == turn] for turn in (0, 2))
    if min(len(drawn), len(chosen)) < _TOLD:
        return True
    return bool((chosen[:, None] < drawn).mean() > 0.5)


def _index(history: History, forecast: Finals, numbers: Sequence[int], bar: Best | Front | None, kept: Bools) -> Floats:
    """Expected gain for each step still needed, (n,); infinite for trials of which nothing is known.

    Below 0, by how much, for trials that are not among those that keep to the limits.
    """
    import numpy as np

    over = np.asarray(breaches(history))
    if bar is None:
        return np.where(kept[numbers], np.inf, -over[numbers])
    left = (history.max_steps or 1) - forecast.lengths[numbers]
    gains = bar.gain(forecast.mean[numbers], forecast.std[numbers]) / np.maximum(left, 1)
    return np.where(kept[numbers], np.nan_to_num(gains, nan=np.inf), -over[numbers])


def _chance(forecast: Finals, numbers: Sequence[int], bar: Best | Front | None) -> Floats:
    """The probability to finish best, or on the front, (n,); 1 for trials of which nothing is known."""
    import numpy as np

    if bar is None:
        return np.ones(len(numbers))
    return bar.chance(forecast.mean[numbers], forecast.std[numbers], forecast.degrees[numbers])
