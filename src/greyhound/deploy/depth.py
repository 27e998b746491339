"""Fewer layers: the blocks of a deep model that change their input least are left out.

A residual block that hardly turns its input can go with little loss. How much a block does is its influence, one minus
the cosine of what it is given and what it returns. Source: Men et al. 2024, "ShortGPT: Layers in large language models
are more redundant than you expect", eq. 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.deploy.footprint import call
from greyhound.errors import EvaluationError

if TYPE_CHECKING:
    from torch import nn


def stacks(model: nn.Module) -> dict[str, nn.Module]:
    """The outermost stacks of blocks by name: Sequential or ModuleList, of two or more blocks of one class.

    A block is made of layers with weights; a row of plain layers is none.
    """
    torch = require("torch", "torch")
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Sequential | torch.nn.ModuleList):
            continue
        blocks = list(module)
        alike = len({type(block) for block in blocks}) == 1 and type(blocks[0]) is not torch.nn.Sequential
        deep = all(any(block.children()) and any(True for _ in block.parameters()) for block in blocks)
        inside = any(name.startswith(f"{outer}.") or not outer for outer in found)
        if len(blocks) > 1 and alike and deep and not inside:
            found[name] = module
    return found


def shorten(model: nn.Module, share: float, example_inputs: Any) -> dict[str, str | None]:
    """Keep this share, above 0 to 1, of the blocks of every stack, at least one, and those of most influence; in place.

    Only blocks that return the shape that they are given can go. What the layers are called now, by their names before,
    None for those that went. EvaluationError where the model has no stack, or does not run without the blocks.
    """
    found = stacks(model)
    if not found:
        raise EvaluationError(
            "the model has no stack of blocks to shorten: a Sequential or ModuleList of blocks of one class; "
            "leave depth out of the Compression."
        )
    before = dict(model.named_modules())
    influence = _influence(model, [block for stack in found.values() for block in stack], example_inputs)
    for stack in found.values():
        blocks = list(stack)
        count = len(blocks) - max(1, round(share * len(blocks)))
        weak = sorted(
            (at for at, block in enumerate(blocks) if block in influence), key=lambda at: influence[blocks[at]]
        )
        for at in sorted(weak[:count], reverse=True):
            del stack[at]
    try:
        with require("torch", "torch").no_grad():
            call(model, example_inputs)
    except Exception as error:
        raise EvaluationError(
            f"the model does not run with fewer blocks: {error}. Leave depth out of the Compression."
        ) from error
    now = {module: name for name, module in model.named_modules()}
    return {name: now.get(module) for name, module in before.items()}


def _influence(model: nn.Module, blocks: list[nn.Module], example_inputs: Any) -> dict[nn.Module, float]:
    """One minus the mean cosine over rows, of the blocks that return the shape that they are given."""
    torch = require("torch", "torch")
    found: dict[nn.Module, float] = {}

    def note(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = next((each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor)), None)
        made = output[0] if isinstance(output, tuple) else output
        if given is not None and isinstance(made, torch.Tensor) and given.shape == made.shape:
            cosine = torch.nn.functional.cosine_similarity(given.flatten(1).float(), made.flatten(1).float(), dim=1)
            found[block] = float(1.0 - cosine.mean())

    hooks = [block.register_forward_hook(note, with_kwargs=True) for block in blocks]
    try:
        with torch.no_grad():
            call(model, example_inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found
