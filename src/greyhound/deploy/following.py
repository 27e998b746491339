"""What torch-pruning cannot follow by itself: recurrent layers, channels that go round in a circle, and reshapes.

It finds which channels belong together along autograd's graph. To that a recurrent layer is a knot of products and
gates; here it is one operation of its input, keeps its own width, and takes fewer inputs. Where a reshape takes the
channels of a layer apart, as into heads or to shuffle them, it does not see which of them have to go together.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.deploy.footprint import call, tensors
from greyhound.errors import EvaluationError

if TYPE_CHECKING:
    from torch import Tensor, nn

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


def taken_apart(model: nn.Module, example_inputs: Any) -> dict[str, int]:
    """How many channels each layer has, by its name, that a reshape takes apart, as into heads or to shuffle them.

    A tensor's channels are known by their stride: what shares its storage, as slices and transposed forms do, has
    them where that stride is. What is made of it place by place, as by an activation or BatchNorm, has them too.
    """
    torch = require("torch", "torch")
    mode = require("torch.utils._python_dispatch", "torch").TorchDispatchMode
    aten = torch.ops.aten
    reshapes = {aten.view, aten._unsafe_view, aten._reshape_alias}
    products = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution}
    strides: dict[int, int] = {}
    makers: dict[int, set[str]] = {}
    kept: list[Tensor] = []  # so that no other tensor gets the same storage
    found: set[str] = set()

    def pass_on(operation: Any, given: Tensor, made: Tensor) -> None:
        before, after = _place(given), _place(made)
        if before not in strides or (channels := _channels(given, strides[before])) is None:
            return
        if after == before:
            new = _channels(made, strides[before])
            if operation in reshapes and new is not None and made.shape[new] < given.shape[channels]:
                found.update(makers[before])
        elif (made.shape == given.shape and operation not in products) or operation is aten.cat:
            strides.setdefault(after, made.stride(channels))
            makers.setdefault(after, set()).update(makers[before])
            kept.append(made)

    class Follow(mode):  # type: ignore[misc, valid-type]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            given = _strided((args, kwargs))
            for made in _strided(result):
                for each in given:
                    pass_on(func.overloadpacket, each, made)
            return result

    def note(name: str, dimension: int, made: Tensor) -> None:
        for each in _strided(made):
            strides[_place(each)], makers[_place(each)] = each.stride(dimension), {name}
            kept.append(each)

    linear, convolution = torch.nn.Linear, torch.nn.modules.conv._ConvNd
    layers = {name: each for name, each in model.named_modules() if isinstance(each, linear | convolution)}
    hooks = [
        layer.register_forward_hook(
            lambda layer, _, made, name=name: note(name, -1 if isinstance(layer, linear) else 1, made)
        )
        for name, layer in layers.items()
    ]
    try:
        with torch.no_grad(), Follow():
            call(model, example_inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: width(layers[name]) for name in layers if name in found}


def width(layer: Any) -> int:
    """How many channels a linear or convolutional layer makes."""
    return int(layer.out_features if hasattr(layer, "out_features") else layer.out_channels)


def _strided(value: Any) -> list[Tensor]:
    """The tensors whose channels lie so far apart: not sparse ones, nor those of padded rows in torch's own encoder."""
    strided = require("torch", "torch").strided
    return [tensor for tensor in tensors(value) if tensor.layout is strided and not tensor.is_nested]


def _place(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _channels(tensor: Tensor, stride: int) -> int | None:
    """The dimension that has more than one entry, so far apart; None where there is none."""
    return next((at for at, size in enumerate(tensor.shape) if size > 1 and tensor.stride(at) == stride), None)
