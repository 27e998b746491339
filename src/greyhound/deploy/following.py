"""What torch-pruning cannot follow by itself: recurrent layers, and channels that go round in a circle.

It finds which channels belong together along autograd's graph. To that a recurrent layer is a knot of products and
gates; here it is one operation of its input, keeps its own width, and takes fewer inputs.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.errors import EvaluationError

if TYPE_CHECKING:
    from torch import nn

_MOST_VISITS = 200
"""Times that one set of channels may come to an operation, each time with other numbers, before it is a circle."""


def recurrent(model: nn.Module) -> list[nn.Module]:
    """The recurrent layers and cells of a model."""
    rnn = require("torch.nn", "torch")
    return [module for module in model.modules() if isinstance(module, rnn.RNNBase | rnn.RNNCellBase)]


def pruners(layers: Sequence[nn.Module]) -> dict[type, Any]:
    """How torch-pruning narrows these recurrent layers, by class: columns of what meets the input go, nothing else."""
    torch, base = require("torch", "torch"), require("torch_pruning", "deploy").BasePruningFunc

    class Inputs(base):  # type: ignore[misc, valid-type]
        def prune_in_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
            kept = sorted({*range(layer.input_size)} - {*idxs})
            for name in ("weight_ih", "weight_ih_l0", "weight_ih_l0_reverse"):
                if (weight := getattr(layer, name, None)) is not None:
                    setattr(layer, name, torch.nn.Parameter(weight.detach()[:, kept], weight.requires_grad))
            layer.input_size = len(kept)
            return layer

        def prune_out_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
            raise NotImplementedError  # it is among the layers that are ignored

        def get_in_channels(self, layer: Any) -> int:
            return int(layer.input_size)

        def get_out_channels(self, layer: Any) -> int:
            return int(layer.hidden_size)

    return {type(layer): Inputs() for layer in layers}


@contextlib.contextmanager
def as_one_operation(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Make each of these layers one operation of its first argument, for autograd; its state comes from nowhere."""
    torch, tree = require("torch", "torch"), require("torch.utils._pytree", "torch")

    class One(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(_: Any, given: Any, *made: Any) -> Any:
            return tuple(each.clone() for each in made)

    def cut(_: nn.Module, args: tuple[Any, ...], made: Any) -> Any:
        values, form = tree.tree_flatten(made)
        if not args or not all(isinstance(each, torch.Tensor) for each in (args[0], *values)):
            return None
        return tree.tree_unflatten(One.apply(args[0], *(value.detach() for value in values)), form)

    hooks = [layer.register_forward_hook(cut) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def without_circles() -> Iterator[None]:
    """EvaluationError where torch-pruning would follow channels for ever, as where several heads share their keys."""
    group = require("torch_pruning", "deploy").dependency.Group
    add = group.add_dep

    def counted(found: Any, dep: Any, idxs: Any) -> None:
        visits = vars(found).setdefault("visits", Counter())
        visits[dep.target, dep.handler] += 1
        if visits[dep.target, dep.handler] > _MOST_VISITS:
            names = {node.name.split(" ")[0] for node, narrow in visits if narrow.__name__ == "prune_out_channels"}
            layers = ", ".join(sorted(name for name in names if not name.startswith("_")))
            raise EvaluationError(
                f"channels go round in a circle at {layers}, as where several heads share their keys; keep the width "
                f"of these, and of all like them"
            )
        add(found, dep, idxs)

    group.add_dep = counted
    try:
        yield
    finally:
        group.add_dep = add
