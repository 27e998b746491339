"""Loggers: callbacks of a study that write it where people look already.

    gh.tune(train, space, callbacks=[TensorBoard("logs"), CSV("logs")], ...)

Each of them is imported, with what it needs, when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greyhound.integrations.loggers.base import Logger as Logger
    from greyhound.integrations.loggers.mlflow import MLflow as MLflow
    from greyhound.integrations.loggers.table import CSV as CSV
    from greyhound.integrations.loggers.tensorboard import TensorBoard as TensorBoard
    from greyhound.integrations.loggers.wandb import WandB as WandB

_PUBLIC = {"CSV": "table", "Logger": "base", "MLflow": "mlflow", "TensorBoard": "tensorboard", "WandB": "wandb"}

__all__ = ["CSV", "Logger", "MLflow", "TensorBoard", "WandB"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
