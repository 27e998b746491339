"""CMA-ES with margin, replayed from the history: nothing is kept but what the trials tell.

After a first generation of Sobol points, trials in the order of their numbers make up generations, from
which the strategy's state is worked out anew (a cache remembers states by content, so that a suggestion
replays a generation at most). In each generation the strategy draws the same points from its state and
the study's seed; what is proposed is the first of them that no trial has. Trials that come from
elsewhere are told as if they had been drawn. A run begins anew at the best trial after `generations`, and
at a random point where it has converged.

What CMA-ES has no notion of: a parameter with three or more unordered values is drawn from their
frequencies among the best trials. A parameter that a trial doesn't have is told at the value that was
drawn for it, or at the mean. Whole numbers spread by log are rounded, without a margin.

Source: Hansen 2016, "The CMA evolution strategy: a tutorial", arXiv 1604.00772; margin: Hamano et al. 2022,
"CMA-ES with margin", arXiv 2205.13482, both through the `cmaes` library.
"""

from __future__ import annotations

import copy
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from greyhound._lazy import require
from greyhound.errors import StudyError
from greyhound.numeric.parzen import cells_of
from greyhound.samplers.base import Traits
from greyhound.samplers.cube import Cube, cube_of
from greyhound.samplers.picking import Picker, at_least
from greyhound.samplers.results import Results, results
from greyhound.samplers.sobol import Sobol

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.numeric.parzen import Bools, Floats, Ints
    from greyhound.samplers.results import Numbers

_MOST_CELLS = 256
"""Columns of more values are continuous to the strategy: their cells are narrow beside every step."""
_MOST_RESAMPLED = 5
_SAME = 1e-9
_MOST_STATES = 256
"""States that the cache remembers."""
_MOST_DRAWS = 500
_MOST_TRIES = 100
_STREAM = 3
"""How many times a generation's size is drawn again to recognise its trials."""
_BEST_SHARE = 0.2
"""The share of the trials from which the frequencies of unordered values are taken."""


@dataclass(frozen=True)
class CMAES:
    """CMA-ES with margin. Needs the `cmaes` library.

    population: trials of a generation, at least 4; None for 4 + ⌊3 ln d⌋. sigma: the first standard deviation
    as a share of each range, above 0 and up to 1. generations: of one run at most, at least 1.
    """

    population: int | None = None
    sigma: float = 0.25
    generations: int = 50
    traits: ClassVar[Traits] = Traits(model=True)

    def __post_init__(self) -> None:
        if self.population is not None:
            at_least("cmaes", "population", self.population, 4)
        at_least("cmaes", "generations", self.generations, 1)
        if not 0.0 < self.sigma <= 1.0:
            raise StudyError(f"cmaes: sigma must be above 0 and at most 1; got {self.sigma!r}.")

    def check_installed(self) -> None:
        """MissingExtraError without `cmaes`."""
        require("cmaes", "cmaes")

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more; MissingExtraError without `cmaes`."""
        self.check_installed()
        told, cube = results(history), cube_of(history.space)
        columns = np.flatnonzero(cube.varying & (np.array(cube.categories) <= 2))
        size = self.population or 4 + math.floor(3 * math.log(max(1, len(columns))))
        if len(told.ranking) < size or not cube.dimension:
            return Sobol().suggest(history, count, rng)
        picker = Picker(history)
        drawn: Iterator[Floats] = (np.empty(0) for _ in iter(int, 1))
        if len(columns):
            cells = cube.cells[columns]
            steps = np.where((cells > 1) & (cells <= _MOST_CELLS), 1.0 / np.maximum(cells, 1), 0.0)
            points, there = history.X[:, columns], history.active[:, columns]
            drawn = _Run(self, size, columns, steps, cube, history.seed, points, there, told).proposals()
        rows = (self._with_categories(units, columns, history, told, cube, rng) for units in drawn)
        for _ in range(count):
            if not picker.take(rows, _MOST_TRIES, rng):
                break
        return picker.found

    def _with_categories(
        self, units: Floats, columns: Numbers, history: History, told: Results, cube: Cube, rng: np.random.Generator
    ) -> Floats:
        """The row, (d,), that has `units` in `columns`, and in others values drawn by their frequencies."""
        row = np.full(cube.dimension, 0.5)
        row[columns] = units
        best = told.ranking[: min(len(told.known), max(4, math.ceil(_BEST_SHARE * len(told.ranking))))]
        for column, size in enumerate(cube.categories):
            if size > 2:
                having = best[history.active[best, column]]
                shares = frequencies(cells_of(history.X[having, column], size), size)
                row[column] = (rng.choice(size, p=shares) + 0.5) / size
        return row


def frequencies(cells: Ints, size: int) -> Floats:
    """Probabilities of `size` values, (size,): how often each is among `cells`, and once more spread over all."""
    counts = np.bincount(cells, minlength=size) + 1.0 / size
    return np.asarray(counts / counts.sum())


@dataclass(frozen=True)
class _State:
    """The strategy after some generations, and what it drew in the one before.

    drawn: (m, k), points as the space has them. raw: (m, k), the same before they were put into cells.
    """

    strategy: Any
    drawn: Floats
    raw: Floats


_STATES: OrderedDict[bytes, _State] = OrderedDict()
"""States by what they follow from, the latest used last."""
_LOCK = threading.Lock()


@dataclass(frozen=True)
class _Run:
    """The strategy on the columns that it deals with.

    size: trials of a generation. columns: (k,), of the space. steps: (k,), cell widths, 0 where continuous.
    points, there: (n, k), of all trials.
    """

    options: CMAES
    size: int
    columns: Numbers
    steps: Floats
    cube: Cube
    seed: int
    points: Floats
    there: Bools
    told: Results

    def proposals(self) -> Iterator[Floats]:
        """Points, (k,), of the current generation that no trial has."""
        ended = np.sort(self.told.ranking)
        block, within = divmod(len(ended) - self.size, self.size * self.options.generations)
        start = self.size + block * self.size * self.options.generations
        generation = within // self.size
        state = self._replayed(ended, block, start, generation)
        recent = np.append(ended[start + (generation - 1) * self.size :], self.told.pending)
        for spot, _ in islice(self._stream(state.strategy, block, generation), _MOST_DRAWS):
            if not _alike(spot, self.points[recent], self.there[recent]).any():
                yield spot

    def _replayed(self, ended: Numbers, block: int, start: int, generations: int) -> _State:
        """The state after so many generations, which begin at ended trial `start`; at the best before it."""
        best = self.told.ranking[np.isin(self.told.ranking, ended[:start])][0]
        mean = np.ascontiguousarray(self.points[best])
        key = hashlib.sha256(repr((self.options, self.size, self.seed, block)).encode())
        key.update(self.columns.tobytes() + self.steps.tobytes() + mean.tobytes())
        keys, batches = [key.digest()], []
        for at in range(generations):
            numbers = ended[start + at * self.size : start + (at + 1) * self.size]
            losses = comparable(self.told.costs[numbers], ~np.isin(numbers, self.told.known))
            batch = (self.points[numbers], self.there[numbers], losses)
            batches.append(batch)
            keys.append(hashlib.sha256(keys[-1] + b"".join(part.tobytes() for part in batch)).digest())
        done, state = _remembered(keys)
        if state is None:
            none = np.empty((0, len(self.columns)))
            state = _State(self._begun(mean), none, none)
            done = 0
        for at in range(done, generations):
            state = self._told(state, block, at, *batches[at])
            _remember(keys[at + 1], state)
        return state

    def _begun(self, mean: Floats) -> Any:
        return require("cmaes", "cmaes").CMAwM(
            mean=mean,
            sigma=self.options.sigma,
            bounds=np.stack([0.5 * self.steps, 1.0 - 0.5 * self.steps], axis=1),
            steps=self.steps,
            n_max_resampling=_MOST_RESAMPLED,
            seed=0,
            population_size=self.size,
        )

    def _told(
        self, state: _State, block: int, generation: int, points: Floats, active: Bools, losses: Floats
    ) -> _State:
        """The state after one more generation: points, active: (size, k). losses: (size,), finite."""
        strategy = copy.deepcopy(state.strategy)
        pairs = list(islice(self._stream(strategy, block, generation), _STREAM * self.size))
        drawn, raw = (np.array(parts) for parts in zip(*pairs, strict=True))
        origins, spots = np.vstack([raw, state.raw]), np.vstack([drawn, state.drawn])
        solutions = []
        for point, there, loss in zip(points, active, losses.tolist(), strict=True):
            same = np.flatnonzero(_alike(point, spots, there))
            foreign = np.where(there, point, strategy.mean)
            solutions.append((origins[same[0]] if same.size else foreign, loss))
        strategy.tell(solutions)
        if strategy.should_stop():
            strategy = self._begun(self._rng(block, generation).random(len(self.columns)))
        return _State(strategy, drawn, raw)

    def _stream(self, strategy: Any, block: int, generation: int) -> Iterator[tuple[Floats, Floats]]:
        """What the strategy draws in a generation, without an end: (k,) as the space has it, and (k,) raw."""
        strategy = copy.deepcopy(strategy)
        strategy.reseed_rng(int(self._rng(block, generation).integers(2**32)))
        whole = np.full((1, self.cube.dimension), 0.5)
        while True:
            encoded, raw = strategy.ask()
            whole[0, self.columns] = np.clip(encoded, 0.0, 1.0)
            yield self.cube.snap(whole)[0, self.columns], raw

    def _rng(self, block: int, generation: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, block, generation])


def _alike(point: Floats, points: Floats, there: Bools) -> Bools:
    """Which points, (m, k), are the given one, (k,), in the columns that are there, (k,) or (m, k)."""
    return np.asarray(np.all((np.abs(points - point) < _SAME) | ~there, axis=1))


def comparable(losses: Floats, failed: Bools) -> Floats:
    """Losses of a generation, in which failed trials are the worst whatever else the history holds."""
    worst = losses[~failed].max() if (~failed).any() else 0.0
    return np.where(failed, worst, losses)


def _remembered(keys: Sequence[bytes]) -> tuple[int, _State | None]:
    """The longest replay that is in the cache: its number of generations and its state."""
    with _LOCK:
        for at in range(len(keys) - 1, 0, -1):
            if (state := _STATES.get(keys[at])) is not None:
                _STATES.move_to_end(keys[at])
                return at, state
    return 0, None


def _remember(key: bytes, state: _State) -> None:
    with _LOCK:
        _STATES[key] = state
        while len(_STATES) > _MOST_STATES:
            _STATES.popitem(last=False)
