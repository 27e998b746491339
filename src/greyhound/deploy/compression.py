"""Compression as hyperparameters: depth, structured pruning, low-rank factors, LoRA, quantisation.

Each is applied by a library that is kept well: channels are removed by torch-pruning (Fang et al. 2023, "DepGraph:
Towards any structural pruning"; the least by group magnitude), linear layers are split by torch's singular value
decomposition, low-rank adapters are peft's, and numbers are made small by torchao or torch itself.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.deploy.depth import shorten
from greyhound.deploy.following import as_one_operation, pruners, recurrent, taken_apart, width, without_circles
from greyhound.deploy.footprint import alone, call, tensors
from greyhound.deploy.lora import fine_tune_by_lora
from greyhound.deploy.saving import quiet
from greyhound.errors import EvaluationError, SpaceError
from greyhound.space import Categorical, Float, Ordinal, Parameter

if TYPE_CHECKING:
    from torch import nn

QUANTIZATIONS = ("none", "bf16", "int8-weight-only", "int8-dynamic")
"""bf16: every number in 16 bits. int8-weight-only: weights of linear layers in 8 bits, a scale for each output.
int8-dynamic: their inputs too, scaled anew for each row."""

_MOST_NAMES = 6


@dataclass(frozen=True)
class Compression:
    """What a search may do to a model to make it small and fast.

    prune: range of the share of channels that every layer loses, 0 to below 1; None for no pruning. depth: range of
    the share of its blocks that every stack of blocks keeps, above 0 to 1; None for all. rank: range of the share of
    its rank that every linear layer keeps, above 0 to 1 (1 leaves it whole); None for none. lora_rank: ranks of the
    adapters that fine-tuning trains, in rising order, where 0 trains all weights; None for all weights. quantize:
    which of QUANTIZATIONS. prefix: of the parameters' names, where a space has such names already.

    Defaults of the parameters are the least compression that there is, none at all if a range or the kinds of
    quantisation do not shut that out, so that a study's baseline is the model as it is. SpaceError where a range is
    wrong.
    """

    prune: tuple[float, float] | None = (0.0, 0.8)
    depth: tuple[float, float] | None = None
    rank: tuple[float, float] | None = None
    lora_rank: Sequence[int] | None = None
    quantize: Sequence[str] = ("none", "int8-weight-only")
    prefix: str = ""

    def __post_init__(self) -> None:
        ranges = (("prune", self.prune, 0.0, 0.99), ("depth", self.depth, 0.01, 1.0), ("rank", self.rank, 0.01, 1.0))
        for name, given, least, most in ranges:
            if given is not None and not least <= given[0] < given[1] <= most:
                raise SpaceError(f"Compression: {name} is a range within {least:g} to {most:g}; got {given!r}.")
        if self.lora_rank is not None and (not self.lora_rank or min(self.lora_rank) < 0):
            raise SpaceError(f"Compression: lora_rank has ranks of at least 0, one or more; got {self.lora_rank!r}.")
        for kind in self.quantize:
            if kind not in QUANTIZATIONS:
                raise SpaceError(f"Compression: unknown quantisation {kind!r}; there are {', '.join(QUANTIZATIONS)}.")

    @property
    def can_be_none(self) -> bool:
        """Whether the defaults leave a model as it is, as they do unless a range or the kinds shut that out."""
        whole = all(given is None or given[1] == 1.0 for given in (self.depth, self.rank))
        return whole and (self.prune is None or self.prune[0] == 0.0) and (not self.quantize or "none" in self.quantize)

    def check_installed(self) -> None:
        """MissingExtraError where a library that a knob needs is missing."""
        if self.prune is not None:
            require("torch_pruning", "deploy")
        if self.lora_rank and max(self.lora_rank) > 0:
            require("peft", "deploy")
        if set(self.quantize) - {"none", "bf16"}:
            with quiet():
                require("torchao.quantization", "deploy")

    def parameters(self) -> dict[str, Parameter]:
        """The knobs by name, to go into a space: `gh.Space(**compression.parameters(), lr=...)`."""
        made: dict[str, Parameter] = {}
        if self.prune is not None:
            made["prune"] = Float(*self.prune, default=self.prune[0])
        if self.depth is not None:
            made["depth"] = Float(*self.depth, default=self.depth[1])
        if self.rank is not None:
            made["rank"] = Float(*self.rank, default=self.rank[1])
        if self.lora_rank is not None and len(self.lora_rank) > 1:
            made["lora_rank"] = Ordinal(list(self.lora_rank), default=self.lora_rank[0])
        if len(self.quantize) > 1:
            none = "none" if "none" in self.quantize else self.quantize[0]
            made["quantize"] = Categorical(list(self.quantize), default=none)
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
        called with, a tensor, tuple or dict. fine_tune: trains the copy for a few epochs after blocks and channels
        went and layers were split, before quantisation; not called where nothing was removed. keep: names of layers
        that are not pruned (those that make the outputs never are). heads: the number of heads by the name
        of the linear layer that makes queries, keys and values, so that all heads stay alike.

        EvaluationError where the model cannot be compressed in this way.
        """
        made = copy.deepcopy(model).eval()
        share = float(self._value(params, "prune", 0.0))
        depth = float(self._value(params, "depth", 1.0))
        rank = float(self._value(params, "rank", 1.0))
        if depth < 1:
            names = shorten(made, depth, example_inputs)
            keep = [now for now in (names.get(name, name) for name in keep) if now is not None]
            counts = {names.get(name, name): count for name, count in (heads or {}).items()}
            heads = {now: count for now, count in counts.items() if now is not None}
        if share > 0:
            prune(made, share, example_inputs, keep=keep, heads=heads)
        if rank < 1:
            factorise(made, rank)
        if fine_tune is not None and (share > 0 or depth < 1 or rank < 1):
            made.train()
            adapters = int(self._value(params, "lora_rank", self.lora_rank[0] if self.lora_rank else 0))
            if adapters:
                made = fine_tune_by_lora(made, adapters, fine_tune)
            else:
                fine_tune(made)
            made.eval()
        return quantize(made, str(self._value(params, "quantize", self.quantize[0] if self.quantize else "none")))

    def _value(self, params: Mapping[str, Any], name: str, otherwise: Any) -> Any:
        """A knob's value; what it is without the knob where the search does not turn it."""
        return params.get(self.prefix + name, otherwise) if getattr(self, name) else otherwise


def prune(
    model: nn.Module,
    share: float,
    example_inputs: Any,
    *,
    keep: Sequence[str] = (),
    heads: Mapping[str, int] | None = None,
) -> None:
    """Remove this share of the channels of every layer, the least in magnitude, in place; see Compression.apply.

    share: 0 to below 1. Of each layer, and of each head, one channel stays at least. EvaluationError where the outputs
    would have another shape, or a layer lost channels that a reshape behind it takes apart.
    """
    pruning = require("torch_pruning", "deploy")
    _refuse_parametrised(model)
    modules = dict(model.named_modules())
    for name in (*keep, *(heads or {})):
        if name not in modules:
            raise EvaluationError(f"prune: the model has no layer {name!r}; it has {', '.join(filter(None, modules))}.")
    layers = recurrent(model)
    ignored = [*(modules[name] for name in keep), *layers]
    expected, last = _traced(model, example_inputs)
    apart = taken_apart(model, example_inputs)
    apart = {name: channels for name, channels in apart.items() if name not in {*keep, *(heads or {})}}
    frozen = {name: parameter for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for parameter in frozen.values():  # torch-pruning finds by gradients which layers belong together
        parameter.requires_grad_(parameter.is_floating_point())
    shares = _shares(share)
    try:
        with warnings.catch_warnings(), as_one_operation(layers), without_circles():
            warnings.filterwarnings("ignore", message="Unwrapped parameters detected")
            pruner = pruning.pruner.BasePruner(
                model,
                example_inputs,
                importance=pruning.importance.GroupMagnitudeImportance(p=2),
                pruning_ratio=share,
                iterative_steps=len(shares),
                iterative_pruning_ratio_scheduler=lambda most, _: [0.0, *(min(each, most) for each in shares)],
                ignored_layers=[*ignored, *last],
                num_heads={modules[name]: count for name, count in (heads or {}).items()},
                out_channel_groups=_heads(model),
                customized_pruners=pruners(layers),
            )
            for _ in shares:
                pruner.step()
        made = _shapes(_run(model, example_inputs))
        if made != expected:
            raise EvaluationError(f"its outputs would have the shapes {made} instead of {expected}")
        if any(width(model.get_submodule(name)) < channels for name, channels in apart.items()):
            raise EvaluationError("it would mix channels up that a reshape takes apart")
    except Exception as error:
        why = str(error) or type(error).__name__
        reshaped = f" A reshape takes apart the channels of {_some(apart)}." if apart else ""
        raise EvaluationError(
            f"the model cannot be pruned so: {why}. Name layers whose width must stay in keep=, and the linear "
            f"layers that make queries, keys and values in heads=.{reshaped}"
        ) from error
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)


def _heads(model: nn.Module) -> dict[nn.Module, int]:
    """The heads of torch's own attention layers, each of which loses as many channels as the others."""
    kind = require("torch.nn", "torch").MultiheadAttention
    return {module: module.num_heads for module in model.modules() if isinstance(module, kind)}


def _some(names: Iterable[str]) -> str:
    """The names with commas between, six of them where there are more."""
    told = list(names)
    return ", ".join(told) if len(told) <= _MOST_NAMES else f"{', '.join(told[:_MOST_NAMES])} and others like them"


def _shares(share: float) -> Sequence[float]:
    """The share, and then smaller ones for layers too narrow for it, which torch-pruning leaves whole.

    What is kept doubles each time, so that the first share by which anything of a layer stays leaves it one channel;
    layers that have been pruned have less than a smaller share would leave.
    """
    kept = [1 - share]
    while kept[-1] < 0.5:
        kept.append(2 * kept[-1])
    return [1 - each for each in kept]


def factorise(model: nn.Module, share: float) -> None:
    """Replace every linear layer by two thin ones, of this share of its rank, where that has fewer numbers; in place.

    A layer whose weight something else uses too stays whole: split it would be held twice.
    The factors are those of the truncated singular value decomposition, the best of that rank (Eckart and Young 1936).
    """
    torch = require("torch", "torch")
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is not torch.nn.Linear or not alone(model, layer.weight):
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
            thin = torch.nn.Sequential(first, second).to(layer.weight)
            setattr(parent, name, thin.requires_grad_(layer.weight.requires_grad))
            if isinstance(parent, torch.nn.TransformerEncoderLayer):
                parent.activation_relu_or_gelu = 0  # its fused form knows whole layers alone


def quantize(model: nn.Module, kind: str) -> nn.Module:
    """The model with smaller numbers, a kind of QUANTIZATIONS; it may be changed in place.

    In 8 bits a weight that several layers have together stays as it is: it would be held twice, once for each kind.
    """
    if kind == "none":
        return model
    if kind == "bf16":
        return _bf16(model)
    _refuse_parametrised(model)
    torch = require("torch", "torch")
    holders = Counter(parameter for layer in model.modules() for parameter in layer.parameters(recurse=False))

    def its_own(layer: nn.Module, _: str) -> bool:
        fused = torch.nn.modules.linear.NonDynamicallyQuantizableLinear  # attention reads its weight past the layer
        return isinstance(layer, torch.nn.Linear) and not isinstance(layer, fused) and holders[layer.weight] == 1

    with quiet():
        torchao = require("torchao.quantization", "deploy")
        configs = {
            "int8-weight-only": torchao.Int8WeightOnlyConfig,
            "int8-dynamic": torchao.Int8DynamicActivationInt8WeightConfig,
        }
        torchao.quantize_(model, configs[kind](), filter_fn=its_own)
    return model


def _refuse_parametrised(model: nn.Module) -> None:
    """EvaluationError where a layer's weight is computed, as by weight_norm, so that it can't be cut or replaced."""
    is_parametrized = require("torch.nn.utils.parametrize", "torch").is_parametrized
    name = next((name for name, module in model.named_modules() if is_parametrized(module)), None)
    if name is not None:
        raise EvaluationError(
            f"the model cannot be compressed so: {name or 'it'} has a parametrization, such as weight_norm; make its "
            f"tensors plain with torch.nn.utils.parametrize.remove_parametrizations before."
        )


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

        @functools.wraps(type(model).forward)  # torch.export goes by the names of the arguments
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            args, kwargs = tree_map(lambda value: cast(value, torch.bfloat16), (args, kwargs))
            return tree_map(lambda value: cast(value, torch.float32), self.model(*args, **kwargs))

    return Bf16().eval()


def _traced(model: nn.Module, example_inputs: Any) -> tuple[list[tuple[int, ...]], list[nn.Module]]:
    """The shapes of the outputs, and the layers with weights that make them: whose outputs they are, and the last."""
    torch = require("torch", "torch")
    called: list[tuple[nn.Module, Any]] = []
    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
    hooks = [
        module.register_forward_hook(lambda module, _, made: called.append((module, made)))
        for module in model.modules()
        if isinstance(module, kinds)
    ]
    try:
        outputs = tensors(_run(model, example_inputs))
    finally:
        for hook in hooks:
            hook.remove()
    makers = [module for module, made in called if any(made is output for output in outputs)]
    return _shapes(outputs), [*makers, *(module for module, _ in called[-1:])]


def _shapes(outputs: Any) -> list[tuple[int, ...]]:
    return [tuple(output.shape) for output in tensors(outputs)]


def _run(model: nn.Module, example_inputs: Any) -> Any:
    torch = require("torch", "torch")
    with torch.no_grad():
        return call(model, example_inputs)
