"""PyTorch: one trial over several processes; and `Batches`, which can be left in the middle of an epoch.

    study = gh.tune(distributed(train, processes=4), space, gpus_per_trial=4, ...)

Rank 0 runs in the trial's own process and owns the trial; the other ranks are processes beside it. What
rank 0 gets to know, parameters, the step to start from and verdicts, is broadcast, so that all ranks start, pause
and stop together. The function is the same on all ranks, and is given a `RankTrial`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greyhound._lazy import require
from greyhound.errors import EvaluationError, TrialEnded
from greyhound.evaluators import checkpoint
from greyhound.evaluators.inheritance import adopt, note_rates
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.outcomes import KilledError, completed
from greyhound.evaluators.stateful import in_files
from greyhound.executors.endings import die_with
from greyhound.executors.pickling import hand_on_by_value, pickled
from greyhound.integrations.torch_data import Batches as Batches
from greyhound.jobs import Job
from greyhound.memory import memory_kills
from greyhound.trial import TrialState

torch = require("torch", "torch")

_BOOT = (
    "import json, sys; start = json.loads(sys.argv[1]); sys.path[:] = start.pop('path'); "
    "from greyhound.executors.endings import shield_from_signals; shield_from_signals(); "
    "from greyhound.integrations.torch import follow; follow(**start)"
)
_PATIENCE_S = 30.0


def distributed(
    train: Callable[[RankTrial], Any], processes: int, backend: str | None = None
) -> Callable[[LiveTrial], Any]:
    """A training function for `tune` that runs `train` on several ranks of one process group.

    train: a function of the trial, called on every rank with the group made. processes: ranks, at least 1;
    with GPUs give gpus_per_trial the same number, and each rank gets one. backend: of the group; by default
    "nccl" where each rank has a GPU, else "gloo". What rank 0 returns counts.

    An error on any rank fails the trial with that rank's traceback; one that is killed is as a worker that is.
    EvaluationError for a wrong argument.
    """
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise EvaluationError(f"distributed: processes must be a whole number of at least 1; got {processes!r}.")
    return _Distributed(train, processes, backend)


class RankTrial:
    """A trial as one of its ranks sees it; on every rank the same calls have to be made, in the same order.

    rank, ranks: which of how many. job, params, number, seed, step, max_steps, directory: those of the trial. Give
    each rank its own random numbers by `torch.manual_seed(trial.seed + trial.rank)`.
    """

    def __init__(self, job: Job, rank: int, ranks: int, trial: LiveTrial | None) -> None:
        self.rank, self.ranks = rank, ranks
        self.number, self.seed = job.number, job.seed
        self.params: dict[str, Any] = dict(job.params)
        self.step = job.step
        self.job = job
        self.last_metrics: dict[str, float] = {}
        self._trial = trial
        self._states = _Ranks()
        self._objects: dict[str, Any] = {}
        # Verdicts go their own way, so that they may be broadcast whatever the backend of the training is.
        self._group = torch.distributed.new_group(backend="gloo")

    @property
    def max_steps(self) -> int:
        """The full length of a training; EvaluationError where the study declares none."""
        if self.job.max_steps is None:
            raise EvaluationError("this study has no max_steps; give max_steps= to tune.")
        return self.job.max_steps

    @property
    def directory(self) -> Path:
        """The trial's own folder, the same on all ranks."""
        if self.job.directory is None:
            raise EvaluationError("this trial has no folder: its study keeps no files.")
        self.job.directory.mkdir(parents=True, exist_ok=True)
        return self.job.directory

    @property
    def device(self) -> str:
        """ "cuda:RANK" where there is a GPU for each rank, else "cpu"."""
        return f"cuda:{self.rank}" if _enough_gpus(self.ranks) else "cpu"

    def checkpoint(self, **objects: Any) -> int:
        """As `trial.checkpoint`; every rank takes up the states, and its own random states.

        Objects have to be alike on all ranks, as the replicas of DistributedDataParallel are. Those with
        save_to(folder) are called on every rank, for what they do there together.
        """
        self._objects = {**objects, "ranks": self._states}
        note_rates(objects.values())

        def on_first() -> tuple[int, dict[str, float], Path | None]:
            kept = {name: _Everywhere(self, name) if in_files(each) else each for name, each in self._objects.items()}
            start = self._owned.checkpoint(**kept)
            folders = (folder for folder in (self.job.directory, self.job.parent) if folder is not None)
            there = next((folder for folder in folders if checkpoint.latest(folder) is not None), None)
            return start, self._owned.last_metrics, there

        self.step, self.last_metrics, folder = self._agreed(on_first)
        if folder is not None:
            if self.rank:
                (adopt if folder == self.job.parent else checkpoint.load)(folder, self._objects)
            self._states.restore(self.rank)
        return self.step

    def report(self, step: int, /, **metrics: Any) -> None:
        """As `trial.report`; the metrics of rank 0 count, so average them over the ranks first where they differ.

        Leaves the training on every rank where the scheduler says so.
        """
        self.report_metrics(step, metrics)

    def report_metrics(self, step: int, metrics: Mapping[str, Any]) -> None:
        """As `report`, of metrics with any names."""
        self._states.gathered = self._gather(checkpoint.random_states())
        self._agreed(lambda: self._owned.report_metrics(step, metrics))
        self.step = max(self.step, step)

    def conclude(self, returned: Any) -> None:
        """As of the trial, once the training has returned; nothing where it took the process group down itself.

        returned: what it returned on rank 0.
        """

        def on_first() -> None:
            outcome = completed(self._owned, returned)
            if outcome.state is TrialState.COMPLETED:
                self._owned.conclude(outcome.metrics)

        if not torch.distributed.is_initialized():
            if self._trial is not None:
                self._trial.concluded = True  # the other ranks cannot be asked any more
            return
        self._states.gathered = self._gather(checkpoint.random_states())
        self._agreed(on_first)

    def set_user_attr(self, key: str, value: Any) -> None:
        """As of the trial; rank 0 does it."""
        if self.rank == 0:
            self._owned.set_user_attr(key, value)

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> float:
        """As of the trial, the same on all ranks."""
        return float(self._suggested(name, lambda: self._owned.suggest_float(name, low, high, **options)))

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> int:
        """As of the trial, the same on all ranks."""
        return int(self._suggested(name, lambda: self._owned.suggest_int(name, low, high, **options)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """As of the trial, the same on all ranks."""
        return self._suggested(name, lambda: self._owned.suggest_categorical(name, choices))

    @property
    def _owned(self) -> LiveTrial:
        if self._trial is None:
            raise RuntimeError("only rank 0 owns the trial")
        return self._trial

    def _suggested(self, name: str, suggest: Callable[[], Any]) -> Any:
        self.params[name] = self._agreed(suggest)
        return self.params[name]

    def _agreed(self, on_first: Callable[[], Any]) -> Any:
        """What the function returns on rank 0, on every rank; what it raises there is raised on all."""
        if self.rank:
            return self._follow()
        try:
            found = on_first()
        except BaseException as error:
            self._tell(_Raised(type(error) if isinstance(error, TrialEnded) else EvaluationError(f"rank 0: {error}")))
            raise
        self._tell(found)
        return found

    def _follow(self) -> Any:
        """What rank 0 tells, saved along with it as often as it saves."""
        while True:
            told: list[Any] = [None]
            torch.distributed.broadcast_object_list(told, src=0, group=self._group)
            if isinstance(told[0], _Raised):
                raise told[0].what
            if not isinstance(told[0], _Save):
                return told[0]
            self._objects[told[0].name].save_to(told[0].folder)

    def _tell(self, message: Any) -> None:
        torch.distributed.broadcast_object_list([message], src=0, group=self._group)

    def _save_everywhere(self, name: str, folder: Path) -> None:
        self._tell(_Save(name, folder))
        self._objects[name].save_to(folder)

    def _gather(self, mine: Any) -> list[Any]:
        gathered: list[Any] | None = [None] * self.ranks if self.rank == 0 else None
        torch.distributed.gather_object(mine, gathered, dst=0, group=self._group)
        return gathered or []


@dataclass(frozen=True)
class _Raised:
    """What rank 0 raised, for the others to raise."""

    what: Any


@dataclass(frozen=True)
class _Save:
    """Every rank is to call an object's save_to."""

    name: str
    folder: Path


class _Everywhere:
    """An object that writes files, as rank 0's checkpoint sees it: it writes on every rank."""

    def __init__(self, trial: RankTrial, name: str) -> None:
        self._trial = trial
        self._name = name

    def save_to(self, folder: Path) -> None:
        self._trial._save_everywhere(self._name, folder)

    def load_from(self, folder: Path) -> None:
        self._trial._objects[self._name].load_from(folder)


class _Ranks:
    """The random states of all ranks, in the checkpoint that rank 0 writes."""

    def __init__(self) -> None:
        self.gathered: list[Any] = []

    def state_dict(self) -> dict[str, Any]:
        return {"random": self.gathered}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.gathered = state["random"]

    def restore(self, rank: int) -> None:
        if rank < len(self.gathered):
            checkpoint.restore_random_states(self.gathered[rank])


@dataclass(frozen=True)
class _Distributed:
    """The training function that `distributed` makes."""

    train: Callable[[RankTrial], Any]
    processes: int
    backend: str | None

    def __call__(self, trial: LiveTrial) -> Any:
        with tempfile.TemporaryDirectory(prefix="greyhound-ranks-") as folder, self._followers(trial, folder) as ranks:
            try:
                ranks.get_ready()
                with _group(Path(folder), 0, self.processes, self.backend):
                    try:
                        first = RankTrial(trial.job, 0, self.processes, trial)
                        returned = self.train(first)
                        first.conclude(returned)
                    except Exception as error:  # asked before the group is gone, which makes the others fail
                        if (why := ranks.failure()) is not None:
                            raise why from error
                        raise
            except TrialEnded:
                ranks.wait()
                raise
            ranks.wait()
            return returned

    @contextlib.contextmanager
    def _followers(self, trial: LiveTrial, folder: str) -> Iterator[_Followers]:
        program = Path(folder) / "train.pickle"
        program.write_bytes(pickled(self.train))  # type: ignore[arg-type]
        (Path(folder) / "job.pickle").write_bytes(pickle.dumps(trial.job))
        followers = _Followers(folder, self.processes, self.backend)
        try:
            yield followers
        finally:
            followers.end()


class _Followers:
    """The processes of ranks 1 and up."""

    def __init__(self, folder: str, ranks: int, backend: str | None) -> None:
        path = [str(entry) or os.getcwd() for entry in sys.path]
        start = {"path": path, "folder": folder, "ranks": ranks, "backend": backend, "parent": os.getpid()}
        self._folder = Path(folder)
        self._memory_kills = memory_kills()
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps({**start, "rank": rank})], stdin=subprocess.DEVNULL
            )
            for rank in range(1, ranks)
        ]

    def get_ready(self) -> None:
        """Until all are about to join the group, in which rank 0 would wait for one that is gone; RuntimeError then."""
        while not all((self._folder / _ready(rank)).exists() for rank, _ in enumerate(self._processes, 1)):
            if any(process.poll() for process in self._processes) and (why := self.failure()) is not None:
                raise why
            time.sleep(0.01)

    def wait(self) -> None:
        """Until all have ended; RuntimeError with the traceback of one that failed."""
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE_S)
        if (why := self.failure()) is not None:
            raise why

    def failure(self) -> RuntimeError | None:
        """What a rank that failed said, if one did; it may be about to end, so a second is waited for that.

        KilledError for one that was killed.
        """
        give_up = time.monotonic() + 1.0
        while True:
            codes = [process.poll() for process in self._processes]
            if -signal.SIGKILL in codes:  # told first: the others fail of it
                out_of_memory = ", out of memory" if memory_kills() > self._memory_kills else ""
                rank = codes.index(-signal.SIGKILL) + 1
                return KilledError(f"rank {rank} was killed by signal {signal.SIGKILL.value}{out_of_memory}")
            for rank, code in enumerate(codes, 1):
                if code:
                    said = self._folder / f"error-{rank}.txt"
                    how = said.read_text() if said.exists() else f"it ended with exit code {code}"
                    return RuntimeError(f"rank {rank} failed:\n{how}")
            if time.monotonic() > give_up or all(code == 0 for code in codes):
                return None
            time.sleep(0.02)

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def follow(folder: str, rank: int, ranks: int, backend: str | None, parent: int) -> None:
    """The whole life of a rank other than 0: train along, and leave a word where it fails."""
    die_with(parent)
    place = Path(folder)
    (place / _ready(rank)).touch()
    try:
        with _group(place, rank, ranks, backend):
            train = pickle.loads((place / "train.pickle").read_bytes())
            hand_on_by_value()
            job = pickle.loads((place / "job.pickle").read_bytes())
            with contextlib.suppress(TrialEnded):
                trial = RankTrial(job, rank, ranks, None)
                train(trial)
                trial.conclude(None)
    except BaseException as error:
        if not str(error).startswith("rank 0: "):
            (place / f"error-{rank}.txt").write_text(traceback.format_exc())
        sys.stdout.flush()
        os._exit(1)  # no farewell: the others must see at once that this rank is gone
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # its part is done, and threads of a process group may abort where the interpreter is taken down


def _ready(rank: int) -> str:
    return f"ready-{rank}"


@contextlib.contextmanager
def _group(folder: Path, rank: int, ranks: int, backend: str | None) -> Iterator[None]:
    chosen = backend or ("nccl" if _enough_gpus(ranks) else "gloo")
    if _enough_gpus(ranks):
        torch.cuda.set_device(rank)
    # As torchrun would have it, for frameworks that look there, though none has to connect to this address.
    told: dict[str, Any] = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": ranks,
        "LOCAL_WORLD_SIZE": ranks,
        "GROUP_RANK": 0,
    }
    told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 29500, "TORCHELASTIC_RUN_ID": folder.name}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update({name: str(value) for name, value in told.items()})
    store = torch.distributed.FileStore(str(folder / "store"), ranks)
    torch.distributed.init_process_group(chosen, store=store, rank=rank, world_size=ranks)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            torch.distributed.destroy_process_group()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _enough_gpus(ranks: int) -> bool:
    return bool(torch.cuda.is_available() and torch.cuda.device_count() >= ranks)
