"""Fine-tuning by low-rank adapters: beside each frozen weight W a small product B·A is trained, then added to it.

So fine-tuning keeps gradients and the optimizer's state for a small share of the numbers. The adapters are peft's.
Source: Hu et al. 2021, "LoRA: Low-rank adaptation of large language models", sec. 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from greyhound._lazy import require
from greyhound.deploy.footprint import alone
from greyhound.deploy.saving import quiet
from greyhound.errors import EvaluationError

if TYPE_CHECKING:
    from torch import nn

_SCALE = 2
"""What B·A is multiplied with: peft's lora_alpha over its r."""


def fine_tune_by_lora(model: nn.Module, rank: int, fine_tune: Callable[[nn.Module], object]) -> nn.Module:
    """The model after `fine_tune` has trained adapters of this rank in it, which are added to its weights.

    The adapters are put into the linear and convolutional layers of the model itself; all else stays as it is, layers
    whose weights something else uses too, or whose channels are in groups, among it: what fine_tune sees is the same
    model, with few parameters that ask for gradients. EvaluationError where no layer can be adapted.
    """
    torch = require("torch", "torch")
    with quiet():
        peft = require("peft", "deploy")
    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)
    names = [
        name
        for name, layer in model.named_modules()
        if name and isinstance(layer, kinds) and getattr(layer, "groups", 1) == 1 and alone(model, layer.weight)
    ]
    if not names:
        raise EvaluationError("the model has no linear or convolutional layer to adapt: leave lora_rank out.")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    options = {"r": rank, "lora_alpha": _SCALE * rank, "target_modules": "|".join(map(re.escape, names))}
    with quiet():
        adapted = peft.LoraModel(model, peft.LoraConfig(**options), "default")
    fine_tune(model)
    merged: nn.Module = adapted.merge_and_unload()
    for name, parameter in merged.named_parameters():
        parameter.requires_grad_(name in trained)
    return merged
