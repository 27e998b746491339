"""Compression as hyperparameters: structured pruning, low-rank factors, quantisation.

Each is applied by a library that is kept well: channels are removed by torch-pruning (Fang et al. 2023, "DepGraph:
Towards any structural pruning"; the least by group magnitude), linear layers are split by torch's singular value
decomposition, and numbers are made small by torchao or torch itself.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.deploy.footprint import call
from greyhound.errors import EvaluationError, SpaceError
from greyhound.space import Categorical, Float, Parameter

if TYPE_CHECKING:
    from torch import nn

QUANTIZATIONS = ("none", "bf16", "int8-weight-only", "int8-dynamic")
"""bf16: every number in 16 bits. int8-weight-only: weights of linear layers in 8 bits, a scale for each output.
int8-dynamic: their inputs too, scaled anew for each row."""


@dataclass(frozen=True)
class Compression:
    """What a search may do to a model to make it small and fast.

    prune: range of the share of channels that every layer loses, 0 to below 1; None for no pruning. rank: range of
    the share of its rank that every linear layer keeps, above 0 to 1 (1 leaves it whole); None for none. quantize:
    which of QUANTIZATIONS. prefix: of the parameters' names, where a space has such names already.

    Defaults of the parameters are no compression at all, so that a study's baseline is the model as it is. SpaceError
    where a range is wrong.
    """

    prune: tuple[float, float] | None = (0.0, 0.8)
    rank: tuple[float, float] | None = None
    quantize: Sequence[str] = ("none", "int8-weight-only")
    prefix: str = ""

    def __post_init__(self) -> None:
        for name, given, least, most in (("prune", self.prune, 0.0, 0.99), ("rank", self.rank, 0.01, 1.0)):
            if given is not None and not least <= given[0] < given[1] <= most:
                raise SpaceError(f"Compression: {name} is a range within {least:g} to {most:g}; got {given!r}.")
        for kind in self.quantize:
            if kind not in QUANTIZATIONS:
                raise SpaceError(f"Compression: unknown quantisation {kind!r}; there are {', '.join(QUANTIZATIONS)}.")

    def parameters(self) -> dict[str, Parameter]:
        """The knobs by name, to go into a space: `gh.Space(**compression.parameters(), lr=...)`."""
        made: dict[str, Parameter] = {}
        if self.prune is not None:
            made["prune"] = Float(*self.prune, default=self.prune[0])
        if self.rank is not None:
            made["rank"] = Float(*self.rank, default=self.rank[1])
        if len(self.quantize) > 1:
            made["quantize"] = Categorical(list(self.quantize), default=self.quantize[0])
        return {self.prefix + name: parameter for name, parameter in made.items()}

    def apply(
        self,
        model: nn.Module,
        params: Mapping[str, Any],
        example_inputs: Any,
        *,
        fine_tune: Callable[[nn.Module], object] | None = None,
        keep: Sequence[str] = (),
        heads: Mapping[str, int] | None = None,
    ) -> nn.Module:
        """A compressed copy of the model, in evaluation mode; the model itself stays as it is.

        params: a configuration with the knobs; those that it lacks stay off. example_inputs: what the model is
        called with, a tensor, tuple or dict. fine_tune: trains the copy for a few epochs after pruning and
        factorising, before quantisation; not called where nothing was removed. keep: names of layers that are not
        pruned (the last layer, which makes the output, never is). heads: the number of heads by the name of the
        linear layer that makes queries, keys and values, so that all heads stay alike.

        EvaluationError where the model cannot be compressed in this way.
        """
        made = copy.deepcopy(model).eval()
        share = float(params.get(f"{self.prefix}prune", 0.0)) if self.prune is not None else 0.0
        rank = float(params.get(f"{self.prefix}rank", 1.0)) if self.rank is not None else 1.0
        kind = params.get(f"{self.prefix}quantize", self.quantize[0] if self.quantize else "none")
        if share > 0:
            prune(made, share, example_inputs, keep=keep, heads=heads)
        if rank < 1:
            factorise(made, rank)
        if fine_tune is not None and (share > 0 or rank < 1):
            made.train()
            fine_tune(made)
            made.eval()
        return quantize(made, str(kind))


def prune(
    model: nn.Module,
    share: float,
    example_inputs: Any,
    *,
    keep: Sequence[str] = (),
    heads: Mapping[str, int] | None = None,
) -> None:
    """Remove this share of the channels of every layer, the least in magnitude, in place; see Compression.apply."""
    pruning = require("torch_pruning", "deploy")
    modules = dict(model.named_modules())
    for name in (*keep, *(heads or {})):
        if name not in modules:
            raise EvaluationError(f"prune: the model has no layer {name!r}; it has {', '.join(filter(None, modules))}.")
    ignored = [modules[name] for name in keep]
    last = _last_layer(model, example_inputs)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Unwrapped parameters detected")
            pruning.pruner.BasePruner(
                model,
                example_inputs,
                importance=pruning.importance.GroupMagnitudeImportance(p=2),
                pruning_ratio=share,
                ignored_layers=[*ignored, *([last] if last is not None else [])],
                num_heads={modules[name]: count for name, count in (heads or {}).items()},
            ).step()
        _run(model, example_inputs)
    except Exception as error:
        raise EvaluationError(
            f"the model cannot be pruned so: {error}. Name layers whose width must stay in keep=, and the linear "
            f"layers that make queries, keys and values in heads=."
        ) from error


def factorise(model: nn.Module, share: float) -> None:
    """Replace every linear layer by two thin ones, of this share of its rank, where that has fewer numbers; in place.

    The factors are those of the truncated singular value decomposition, the best of that rank (Eckart and Young 1936).
    """
    torch = require("torch", "torch")
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is not torch.nn.Linear:
                continue
            rank = max(1, round(share * min(layer.in_features, layer.out_features)))
            if rank * (layer.in_features + layer.out_features) >= layer.in_features * layer.out_features:
                continue
            with torch.no_grad():
                left, values, right = torch.linalg.svd(layer.weight.float(), full_matrices=False)
                root = values[:rank].sqrt()
                first = torch.nn.Linear(layer.in_features, rank, bias=False)
                second = torch.nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
                first.weight.copy_(root[:, None] * right[:rank])
                second.weight.copy_(left[:, :rank] * root)
                if layer.bias is not None:
                    second.bias.copy_(layer.bias)
            setattr(parent, name, torch.nn.Sequential(first, second).to(layer.weight))


def quantize(model: nn.Module, kind: str) -> nn.Module:
    """The model with smaller numbers, a kind of QUANTIZATIONS; it may be changed in place."""
    if kind == "none":
        return model
    if kind == "bf16":
        return _bf16(model)
    with _quiet_torchao():
        torchao = require("torchao.quantization", "deploy")
        configs = {
            "int8-weight-only": torchao.Int8WeightOnlyConfig,
            "int8-dynamic": torchao.Int8DynamicActivationInt8WeightConfig,
        }
        torchao.quantize_(model, configs[kind]())
    return model


def _bf16(model: nn.Module) -> nn.Module:
    """The model in bf16, called with and returning the numbers that it was called with before."""
    torch = require("torch", "torch")
    tree_map = require("torch.utils._pytree", "torch").tree_map

    def cast(value: Any, kind: Any) -> Any:
        return value.to(kind) if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    class Bf16(torch.nn.Module):  # type: ignore[misc, name-defined]
        """A model whose numbers are bf16 inside and float32 outside."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model.to(torch.bfloat16)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            args, kwargs = tree_map(lambda value: cast(value, torch.bfloat16), (args, kwargs))
            return tree_map(lambda value: cast(value, torch.float32), self.model(*args, **kwargs))

    return Bf16().eval()


def _last_layer(model: nn.Module, example_inputs: Any) -> Any:
    """The layer with weights that is called last: what it makes is the output, whose width must stay."""
    torch = require("torch", "torch")
    called: list[Any] = []
    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
    hooks = [
        module.register_forward_hook(lambda module, *_: called.append(module))
        for module in model.modules()
        if isinstance(module, kinds)
    ]
    try:
        _run(model, example_inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return called[-1] if called else None


def _run(model: nn.Module, example_inputs: Any) -> None:
    torch = require("torch", "torch")
    with torch.no_grad():
        call(model, example_inputs)


@contextmanager
def _quiet_torchao() -> Iterator[None]:
    """Its import warns of kernels for other machines."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
