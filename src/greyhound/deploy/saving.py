"""Models in files that need neither Greyhound nor the code that made them: torch.export's programs."""

from __future__ import annotations

import contextlib
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.deploy.footprint import call, modes_kept, tensors
from greyhound.errors import EvaluationError

if TYPE_CHECKING:
    from torch import nn


def save(model: nn.Module, example_inputs: Any, path: str | Path) -> Path:
    """Write the model as a program that runs for any batch size; its path.

    example_inputs: a tensor, tuple or dict of tensors whose first dimension is the batch, two rows or more. Whoever
    has torch (and torchao, if int8 is in it) opens it with `torch.export.load(path).module()`. What is saved is the
    model in evaluation mode; the model stays in the mode that it was in. EvaluationError where torch.export cannot
    follow the model, or the file gives other outputs than the model.
    """
    torch = require("torch", "torch")
    path = Path(path)
    tree = require("torch.utils._pytree", "torch")
    if any(not tensor.ndim or len(tensor) < 2 for tensor in tensors(example_inputs)):
        raise EvaluationError("the model cannot be exported: its example inputs need two rows or more, the batch.")
    # A slice would take all of the data that it was cut from into the file.
    example_inputs = tree.tree_map(
        lambda value: value.clone() if isinstance(value, torch.Tensor) else value, example_inputs
    )
    if isinstance(example_inputs, Mapping):
        given: dict[str, Any] = {"args": (), "kwargs": dict(example_inputs)}
    else:
        args = tuple(example_inputs) if isinstance(example_inputs, tuple | list) else (example_inputs,)
        given = {"args": args, "kwargs": {}}
    batch = torch.export.Dim("batch")
    shapes = tree.tree_map(lambda value: {0: batch} if isinstance(value, torch.Tensor) else None, given)
    with quiet(), torch.no_grad(), modes_kept(model):
        model.eval()
        try:
            expected = call(model, example_inputs)
            program = torch.export.export(model, **given, dynamic_shapes=_by_name(model, **shapes))
        except Exception as error:
            raise EvaluationError(f"the model cannot be exported: {_why(error, example_inputs)}") from error
        torch.export.save(program, path)
        found = call(load(path), example_inputs)
    difference = _difference(expected, found)
    if not difference < 0.05:
        raise EvaluationError(f"{path}: the saved model's outputs differ from the model's by {difference:.3g}.")
    return path


def load(path: str | Path) -> nn.Module:
    """The model in a file that `save` wrote: torch.export.load(path).module(), deaf to eval() and train().

    An exported program has one mode, that of evaluation, and refuses both calls.
    """
    torch = require("torch", "torch")
    with quiet():
        model: nn.Module = torch.export.load(Path(path)).module()
    model.training = False
    vars(model).update(eval=lambda: model, train=lambda mode=True: model)
    return model


def _why(error: Exception, example_inputs: Any) -> str:
    """Its first line, and without a full stop; what to write where the model runs for one batch size alone."""
    if "specialized it to be a constant" in str(error):
        rows = len(tensors(example_inputs)[0])
        return (
            f"it takes the {rows} rows of its example inputs for those of every batch, as by len(x) or a number in a "
            f"shape; write x.shape[0]"
        )
    return (str(error).strip() or type(error).__name__).splitlines()[0].removesuffix(".")


def _by_name(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The dynamic shapes of arguments by the parameters of the model's signature, as torch.export wants them."""
    return dict(inspect.signature(model.forward).bind(*args, **kwargs).arguments)


def _difference(expected: Any, found: Any) -> float:
    """The largest difference of the outputs that are real numbers, relative to the largest of each; 0 without any.

    Infinite ones, as in masked logits, have to be the same: else it is infinite.
    """
    torch = require("torch", "torch")
    leaves = require("torch.utils._pytree", "torch").tree_leaves
    largest = 0.0
    for mine, theirs in zip(leaves(expected), leaves(found), strict=True):
        if not isinstance(mine, torch.Tensor) or not mine.is_floating_point() or not mine.numel():
            continue
        endless = mine.isinf()
        if not torch.equal(mine[endless], theirs[endless]):
            return float("inf")
        mine, theirs = mine[~endless], theirs[~endless]
        if mine.numel():
            difference = float((mine - theirs).abs().max() / mine.abs().max().clamp(min=1e-6))
            largest = max(largest, difference) if difference == difference else difference
    return largest


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """torch and torchao warn of each other's future, and of kernels for other machines."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
