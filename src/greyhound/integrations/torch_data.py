"""A data loader that a training may leave in the middle of an epoch and take up there again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from greyhound._lazy import require
from greyhound.errors import EvaluationError

torch = require("torch", "torch")


class Batches:
    """The batches of one epoch after the other, for `trial.checkpoint(batches=batches)`.

    dataset: with a length and items by number. batch_size: items of a batch, at least 1; the last may be
    smaller, unless drop_last leaves it out. shuffle: another order each epoch, derived from seed and epoch alone.
    options: others of torch.utils.data.DataLoader, such as num_workers. Iterating gives the rest of the current
    epoch, what was loaded ahead but not handed out included, and leaves torch's global random state alone; what
    workers draw at random is seeded by seed, epoch and batch from which they load. epoch: counted from 0.

    EvaluationError for a wrong batch_size, and for a sampler, in whose stead this is.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        **options: Any,
    ) -> None:
        if batch_size < 1:
            raise EvaluationError(f"Batches: batch_size must be at least 1; got {batch_size}.")
        for name in ("sampler", "batch_sampler"):
            if name in options:
                raise EvaluationError(
                    f"Batches: {name} is not taken, for they have an order of their own; "
                    f"use a DataLoader with it, and report at the ends of epochs."
                )
        self.epoch = 0
        self._done = 0  # batches of this epoch that were handed out
        self._dataset = dataset
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._drop_last = drop_last
        self._options = options

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        count, size = len(self._dataset), self._batch_size
        return count // size if self._drop_last else math.ceil(count / size)

    def __iter__(self) -> Iterator[Any]:
        rest = self._order()[self._done :]
        options = {"generator": _generator(self._seed, self.epoch, self._done), **self._options}
        for batch in torch.utils.data.DataLoader(self._dataset, batch_sampler=rest, **options):
            self._done += 1
            if self._done == len(self):
                self.epoch, self._done = self.epoch + 1, 0
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where it is."""
        return {"epoch": self.epoch, "done": self._done, "batch_size": self._batch_size}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there; where its batches were of another size, from the last of its own that begins before."""
        items = state["done"] * state.get("batch_size", self._batch_size)
        self.epoch, self._done = state["epoch"], items // self._batch_size
        if self._done >= len(self):  # what is left of the epoch is too little for a batch
            self.epoch, self._done = self.epoch + 1, 0

    def _order(self) -> list[list[int]]:
        """The numbers of the items of each batch of the epoch."""
        generator, count = _generator(self._seed, self.epoch), len(self._dataset)
        numbers = torch.randperm(count, generator=generator) if self._shuffle else torch.arange(count)
        return [part.tolist() for part in numbers.split(self._batch_size)][: len(self)]


def _generator(*numbers: int) -> Any:
    """A torch.Generator of its own for these numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number) % 2**63
    return torch.Generator().manual_seed(seed)
