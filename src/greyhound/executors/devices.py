"""Which GPUs and cores each worker may use, found without importing a deep-learning library.

`plan` is a pure function from what the machine has to one lease a worker; `environment` says what a
lease means to CUDA and to the libraries that start threads.
"""

from __future__ import annotations

import itertools
import math
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from greyhound.errors import StudyError
from greyhound.leases import named_gpus
from greyhound.values import is_int

MAX_AUTO_WORKERS = 8
"""The most workers that "auto" starts on a machine without GPUs: each holds a copy of the data."""

_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=index", "--format=csv,noheader")
_NVIDIA_SMI_TIMEOUT_S = 30.0
_THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class Lease:
    """What one worker may use.

    gpus: names as CUDA_VISIBLE_DEVICES takes them; none for the CPU only. cores: the cores that it
    is kept on; none where it is not kept on any. threads: how many threads its libraries start.
    """

    name: str
    gpus: tuple[str, ...]
    cores: tuple[int, ...]
    threads: int

    @property
    def device(self) -> str:
        """The devices in words, as a status line shows them."""
        if self.gpus:
            return f"GPU {', '.join(self.gpus)}"
        if not self.cores:
            return "CPU"
        first, last = self.cores[0], self.cores[-1]
        return f"core {first}" if first == last else f"cores {first}-{last}"


def plan(
    workers: int | str,
    gpus_per_trial: float,
    cores: Sequence[int],
    gpus: Sequence[str],
    cores_per_trial: int | None = None,
) -> list[Lease]:
    """One lease a worker.

    workers: "auto" is as many as the GPUs allow; without GPUs one a core (or `cores_per_trial`), at
    most MAX_AUTO_WORKERS. gpus_per_trial: a whole number, or a fraction for workers that share a GPU
    (0.5: two on each); 0 keeps to the CPU, and 1 or less does so where there is no GPU. Workers are
    spread over the GPUs.

    Cores are split into even, contiguous parts. Where there are more workers than cores, or more
    asked for by `cores_per_trial` than there are, no worker is kept on any, and each starts
    `cores_per_trial` threads (1 by default).

    StudyError says what does not fit and what would.
    """
    check_shares(workers, gpus_per_trial)
    if cores_per_trial is not None and not (is_int(cores_per_trial) and 1 <= cores_per_trial <= len(cores)):
        raise StudyError(f"cores_per_trial: write a whole number from 1 to {len(cores)}; got {cores_per_trial!r}.")
    shares = _gpu_shares(gpus_per_trial, gpus)
    if isinstance(workers, int):
        count = workers
    else:
        count = len(shares) or max(1, min(MAX_AUTO_WORKERS, len(cores) // (cores_per_trial or 1)))
    if shares and count > len(shares):
        enough = f"workers={len(shares)} or gpus_per_trial={_fraction(count, len(gpus)):g}"
        raise StudyError(
            f"workers={count}: gpus_per_trial={gpus_per_trial:g} allows {len(shares)} on the GPUs that there "
            f"are ({', '.join(gpus)}); write {enough}."
        )
    parts = _split(cores, count, cores_per_trial)
    return [
        Lease(
            name=f"worker-{index}",
            gpus=shares[index] if shares else (),
            cores=part,
            threads=len(part) or cores_per_trial or 1,
        )
        for index, part in enumerate(parts)
    ]


def check_shares(workers: int | str, gpus_per_trial: float) -> None:
    """StudyError where one of them means nothing on any machine."""
    if workers != "auto" and not (is_int(workers) and workers >= 1):
        raise StudyError(f"workers: write 'auto' or a whole number from 1; got {workers!r}.")
    share = gpus_per_trial if isinstance(gpus_per_trial, int | float) else math.nan
    if not 0 <= share < math.inf or (share > 1 and share != int(share)):
        raise StudyError(
            f"gpus_per_trial: write a whole number, a fraction below 1 to share, or 0; got {gpus_per_trial!r}."
        )


def environment(lease: Lease) -> dict[str, str]:
    """The variables that hold a worker to its lease."""
    variables = dict.fromkeys(_THREAD_LIMITS, str(lease.threads))
    variables["CUDA_VISIBLE_DEVICES"] = ",".join(lease.gpus)
    variables["TOKENIZERS_PARALLELISM"] = "false"  # its threads do not survive the fork of a data loader
    variables["GREYHOUND_WORKER"] = lease.name
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as nvidia-smi counts
    return variables


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none where there are none."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return _installed_gpus()
    return named_gpus(allowed)


def usable_cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _installed_gpus() -> list[str]:
    try:
        listing = subprocess.run(
            _NVIDIA_SMI, capture_output=True, text=True, timeout=_NVIDIA_SMI_TIMEOUT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listing.splitlines() if line.strip().isdigit()]


def _gpu_shares(gpus_per_trial: float, gpus: Sequence[str]) -> list[tuple[str, ...]]:
    """What each of as many workers as possible gets of the GPUs."""
    if gpus_per_trial == 0 or (not gpus and gpus_per_trial <= 1):
        return []
    if gpus_per_trial < 1:
        return [(gpu,) for _ in range(_sharers(gpus_per_trial)) for gpu in gpus]
    each = int(gpus_per_trial)
    if each > len(gpus):
        there = f"the GPUs that there are: {', '.join(gpus) or 'none'}"
        raise StudyError(f"gpus_per_trial={each} is more than {there}; write less, or 0 for the CPU only.")
    return [tuple(gpus[first : first + each]) for first in range(0, len(gpus) - each + 1, each)]


def _sharers(gpus_per_trial: float) -> int:
    return math.floor(1 / gpus_per_trial + 1e-9)


def _fraction(workers: int, gpus: int) -> float:
    """The largest share of a GPU, in thousandths, with which so many workers fit."""
    sharers = math.ceil(workers / gpus)
    return math.floor(1000 / sharers) / 1000 or 1 / sharers


def _split(cores: Sequence[int], count: int, each: int | None) -> list[tuple[int, ...]]:
    if count * (each or 1) > len(cores):
        return [()] * count
    edges = [index * each if each else index * len(cores) // count for index in range(count + 1)]
    return [tuple(cores[start:stop]) for start, stop in itertools.pairwise(edges)]
