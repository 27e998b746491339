"""What a search's scores are of, as one number: equal for the same data, splits, estimator and scoring.

A kept search may only go on where all of these are as they were, in whatever process. The number is joblib's hash,
of which pickles are the basis; what has no lasting form as a pickle is told in other words here: an estimator by its
parameters, tables and sparse matrices by their values, functions of the user's program by their code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from operator import attrgetter
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from joblib.hashing import NumpyHasher
from scipy import sparse

from greyhound.errors import StudyError
from greyhound.integrations.sklearn.folds import Folds


def fingerprint(folds: Folds, seed: int | None = None) -> str:
    """40 hexadecimal digits for all that the scores of a training depend on, but for its hyperparameters, and a seed.

    Of the space that is what names and choices stand for; its ranges may change. StudyError where something cannot
    be pickled.
    """
    told: dict[str, Any] = {field.name: getattr(folds, field.name) for field in fields(folds)}
    told["seed"] = seed
    del told["kept"], told["config"]
    told["translation"] = (dict(folds.translation.names), dict(folds.translation.meanings))
    return str(_Hasher(hash_name="sha1").hash(told))


class _Hasher(NumpyHasher):  # type: ignore[misc]
    """joblib's, for which equal values are equal in every process."""

    def __init__(self, hash_name: str) -> None:
        super().__init__(hash_name)
        self._functions: list[FunctionType] = []

    def save(self, obj: Any) -> None:
        """Hash an object, or what stands for it; StudyError where there is no way."""
        try:
            super().save(self._stands_for(obj))
        except StudyError:
            raise
        except Exception as error:
            raise StudyError(
                f"storage: a search is kept only where its data, estimator and scoring can be pickled: {error}."
            ) from error

    def _stands_for(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType):
            return self._function(obj)
        if isinstance(obj, type):
            return "class", obj.__module__, obj.__qualname__
        if isinstance(obj, ModuleType):
            return "module", obj.__name__
        if isinstance(obj, CodeType):
            return "code", obj.co_code, obj.co_names, obj.co_consts
        if isinstance(obj, set | frozenset):
            return "set", sorted(obj, key=repr)
        if isinstance(obj, np.ndarray):
            return (obj.shape, obj.ravel().tolist()) if obj.dtype.hasobject else np.ascontiguousarray(obj)
        if obj is np.random.mtrand._rand:
            return "numpy's global generator"
        if sparse.issparse(obj):
            return _of_sparse(obj)
        if hasattr(obj, "iloc"):
            return type(obj), list(_of_table(obj))
        return (type(obj), obj.get_params(deep=False)) if hasattr(obj, "get_params") else obj

    def _function(self, function: FunctionType) -> Any:
        """Its name where that leads to it in a module; else its code, of what was met already which one it is."""
        module, name = function.__module__, function.__qualname__
        if module != "__main__" and _is_at(function, module, name):
            return ("function", module, name)
        met = [at for at, each in enumerate(self._functions) if each is function]
        if met:
            return ("function", met[0])
        self._functions.append(function)
        closed_over = [cell.cell_contents for cell in function.__closure__ or ()]
        return ("function", function.__code__, function.__defaults__, function.__kwdefaults__, closed_over)


def _is_at(function: FunctionType, module: str, name: str) -> bool:
    try:
        return attrgetter(name)(sys.modules[module]) is function
    except (AttributeError, KeyError):
        return False


def _of_sparse(matrix: Any) -> tuple[Any, ...]:
    """Shape and entries by row and column, however they are kept."""
    rows = matrix.tocsr(copy=True)
    rows.sum_duplicates()
    return ("sparse", rows.shape, rows.data, rows.indices, rows.indptr)


def _of_table(table: Any) -> Iterator[Any]:
    """Names, types and values of a table of pandas' or a column of one."""
    yield np.asarray(table.index)
    columns = [table] if table.ndim == 1 else [table.iloc[:, at] for at in range(table.shape[1])]
    for column in columns:
        yield column.name, str(column.dtype), np.asarray(column)
