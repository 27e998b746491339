"""A trained model made small or fast, at no more than a stated loss of accuracy: a study over ways to compress it.

Each trial compresses the model, trains it on for a few epochs, saves it, loads what was saved, and measures that: its
accuracy, its bytes on disk, and its latency with the device to itself. The first trial is the model as it is. Where
latency matters, the model and what may be chosen are timed once more at the end, in turns, so that their ratios hold.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from greyhound import events as ev
from greyhound import leases, outputs
from greyhound.deploy.compression import Compression
from greyhound.deploy.depth import stacks
from greyhound.deploy.footprint import Timing, latencies, measure
from greyhound.deploy.saving import load, save
from greyhound.errors import EvaluationError, StudyError
from greyhound.evaluators.function import load_file
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.retention import trial_folder
from greyhound.space import Space
from greyhound.storage import Journal, open_journal
from greyhound.study import Study
from greyhound.trial import Trial
from greyhound.tuning import tune

if TYPE_CHECKING:
    from torch import nn

COSTS = ("bytes", "latency_ms", "parameters", "flops", "peak_memory_bytes")
"""What can be made small."""
_SHORT = {"latency": "latency_ms", "size": "bytes", "memory": "peak_memory_bytes"}
_ROUNDING = 1e-9
"""By how much an accuracy may seem to fall below what is allowed where it does not, as 0.7 below 0.8 - 0.1."""
FILE = "model.pt2"
_MODEL = "model"
"""What a trial notes of the model that it compressed."""


@dataclass(frozen=True)
class Subject:
    """What is compressed, and how it is judged.

    model: the trained model. example_inputs: a tensor, tuple or dict, two rows or more. accuracy: of a model, on
    validation data, the higher the better. fine_tune: trains a model in place for a few epochs; None for
    none. test: as accuracy, on data that nothing is chosen by. keep, heads: see Compression.apply.
    """

    model: nn.Module
    example_inputs: Any
    accuracy: Callable[[Any], float]
    fine_tune: Callable[[Any], object] | None = None
    test: Callable[[Any], float] | None = None
    keep: Sequence[str] = ()
    heads: Mapping[str, int] | None = None

    @classmethod
    def from_file(cls, path: str | Path) -> Subject:
        """From a Python file that defines model(), example_inputs() and accuracy(model).

        It may define fine_tune(model), test(model), keep (names of layers) and heads (heads by a layer's name).
        EvaluationError where one is missing.
        """
        module = load_file(Path(path))
        if module.__name__ != Path(path).stem:
            cloudpickle.register_pickle_by_value(module)  # no worker finds it by its name
        for name in ("model", "example_inputs", "accuracy"):
            if not callable(getattr(module, name, None)):
                raise EvaluationError(
                    f"{path} has no function {name}(); to be compressed it defines model(), the trained model; "
                    f"example_inputs(); accuracy(model); and may define fine_tune(model) and test(model)."
                )
        return cls(
            model=module.model(),
            example_inputs=module.example_inputs(),
            accuracy=module.accuracy,
            fine_tune=getattr(module, "fine_tune", None),
            test=getattr(module, "test", None),
            keep=tuple(getattr(module, "keep", ())),
            heads=getattr(module, "heads", None),
        )


@dataclass(frozen=True)
class Compressed:
    """What came of it.

    before: the model as it was, saved and measured like the others. after: the chosen one; None where no trial keeps
    to the limits and takes less than the model as it was. path: its file, with torch.export.load(path).module() to open
    it. test: held-out accuracy before and after, told once. front: the trials that no other beats in accuracy, bytes
    and latency. timings: by number of trial, the latency of one row of those that were timed in turns; none where
    latency did not matter.
    """

    study: Study
    before: Trial
    after: Trial | None
    path: Path | None
    test: tuple[float, float] | None
    front: tuple[Trial, ...]
    timings: Mapping[int, Timing]

    def latency_ms(self, trial: Trial) -> float:
        """Of one row, taken in turns with the others where that was done."""
        timing = self.timings.get(trial.number)
        return trial.metrics["latency_ms"] if timing is None else timing.median_ms

    def lines(self) -> list[str]:
        """The change, a line a measure."""
        if self.after is None:
            return [f"no compressed model is smaller or faster and keeps to the limit; {self._advice()}."]
        told = [f"{'':18} {'before':>12} {'after':>12}"]
        for name in ("accuracy", *COSTS):
            old, new = (
                self.latency_ms(trial) if name == "latency_ms" else trial.metrics[name]
                for trial in (self.before, self.after)
            )
            change = f"{new - old:+.4f}" if name == "accuracy" else _change(old, new)
            told.append(f"{name:18} {old:12,.4g} {new:12,.4g}  {change}".rstrip())
        if self.test is not None:
            old, new = self.test
            told.append(f"{'held-out accuracy':18} {old:12.4g} {new:12.4g}  {new - old:+.4f}")
        return [*told, f"by {_how(self.after)}"]

    def _advice(self) -> str:
        """What to do where there is none; what was wrong with all but the model as it was, where they failed."""
        others = [trial for trial in self.study.trials if trial.number != self.before.number]
        if not others or not all(trial.state.failed for trial in others):
            return "allow a larger drop, or give more trials"
        last = (others[-1].error or others[-1].state.value).strip().splitlines()[-1]
        return f"all {len(others)} failed, the last so: {last.removesuffix('.')}"

    @property
    def shown(self) -> tuple[Trial, ...]:
        """The front, the model as it was and the chosen one, the smallest first."""
        chosen = () if self.after is None else (self.after,)
        trials = {trial.number: trial for trial in (*self.front, self.before, *chosen)}
        return tuple(sorted(trials.values(), key=lambda trial: trial.metrics["bytes"]))

    def table(self, accuracy: Callable[[Any], float] | None = None) -> list[str]:
        """What is shown as a table in Markdown, a line a model.

        accuracy: of a model, such as on held-out data; None for the one on validation data that was measured.
        """
        told = ["| kilobytes | latency, ms | accuracy | how |", "| ---: | ---: | ---: | --- |"]
        for trial in self.shown:
            right = trial.metrics["accuracy"] if accuracy is None else float(accuracy(saved(self.study, trial)))
            how = _how(trial) + ", as it was" * (trial == self.before) + ", chosen" * (trial == self.after)
            told.append(f"| {trial.metrics['bytes'] / 1e3:,.4g} | {self.latency_ms(trial):.3g} | {right:.4g} | {how} |")
        return told


def compress(
    subject: Subject,
    *,
    max_drop: float | str = 0.01,
    minimize: str | Sequence[str] = "bytes",
    shrink: Mapping[str, float] | None = None,
    compression: Compression | None = None,
    budget: Any = "20 trials",
    output: str | Path | None = None,
    workers: int | str = "auto",
    threads: int = 1,
    **options: Any,
) -> Compressed:
    """Find the smallest or fastest form of a model that loses at most `max_drop` of its accuracy.

    max_drop: in the units of the accuracy, or "1%" for 0.01. minimize: of COSTS, "latency" for short; with several
    the study seeks the whole front of accuracy and these, and the first decides what is chosen. shrink: how many
    times less the chosen model has to take, such as {"bytes": 4, "latency": 2}; of those that do, the most
    accurate is chosen. compression: what may be done, by default pruning, 8-bit weights, and fewer blocks where the
    model is a stack of them. output: where the chosen model is written, none for nowhere. threads: of the CPU for the
    latency. options: more for `tune`, such as storage, seed and progress.

    StudyError where an argument is wrong, or the storage holds compressions of a model with other weights.
    EvaluationError where the model cannot be measured as it is, KeyboardInterrupt where that was interrupted; after an
    interrupt later, what is chosen is the best so far. MissingExtraError where a library for what may be done is
    missing. The same call goes on where the storage is a file.
    """
    costs = [_SHORT.get(name, name) for name in ([minimize] if isinstance(minimize, str) else minimize)]
    wanted = {_SHORT.get(name, name): factor for name, factor in (shrink or {}).items()}
    if compression is None:
        compression = Compression(depth=(0.25, 1.0) if stacks(subject.model) else None)
    compression.check_installed()
    _check(costs, wanted, threads, output)
    _check_choices(subject.model, compression)
    drop = _drop(max_drop)
    least = _accuracy(subject) - drop - _ROUNDING
    one = len(costs) == 1
    mark = _mark(subject.model)
    journal = _journal(options.pop("storage", None), options.pop("name", None), mark)
    study = tune(
        _Compress(subject, compression, threads, mark),
        Space(compression.parameters()),
        maximize=() if one else "accuracy",
        minimize=costs,
        subject_to=f"accuracy >= {least!r}" if one else (),
        budget=budget,
        workers=workers,
        scheduler="none",
        finals=False,
        storage=journal,
        **options,
    )
    before = study.baseline
    if before is None or not before.state.final:
        raise KeyboardInterrupt  # it is paused; there is nothing to compare with yet
    if "accuracy" not in before.metrics:
        raise EvaluationError(f"the model could not be saved and measured as it is: {before.error}")
    kept = [trial for trial in study.history.completed if trial.metrics["accuracy"] >= least]
    kept = [trial for trial in kept if trial.number != before.number]
    for name, factor in wanted.items():
        if name != "latency_ms":
            kept = [trial for trial in kept if factor * trial.metrics[name] <= before.metrics[name]]
    best = front(study)
    if not wanted and costs[0] != "latency_ms":
        kept = [trial for trial in kept if trial.metrics[costs[0]] < before.metrics[costs[0]]]
    timings: dict[int, Timing] = {}
    if "latency_ms" in {*costs, *wanted}:
        timings = _in_turns(study, [before, *kept, *best], subject.example_inputs, threads)
    if "latency_ms" in wanted:
        most = timings[before.number].median_ms / wanted["latency_ms"]
        kept = [trial for trial in kept if timings[trial.number].median_ms <= most]
    elif not wanted and costs[0] == "latency_ms":
        kept = [trial for trial in kept if timings[trial.number].median_ms < timings[before.number].median_ms]

    def cost(trial: Trial) -> float:
        if wanted:
            return -trial.metrics["accuracy"]
        return timings[trial.number].median_ms if costs[0] == "latency_ms" else trial.metrics[costs[0]]

    after = min(kept, key=cost, default=None)
    path = None
    if after is not None and output is not None:
        made = _file(study, after)
        path = Path(output) / made.name if Path(output).is_dir() else Path(output)
        outputs.copy(made, path)
    return Compressed(study, before, after, path, _tested(subject, study, before, after), best, timings)


def front(study: Study) -> tuple[Trial, ...]:
    """The trials of a compression that no other beats in accuracy, bytes and latency, the smallest first."""
    done = [trial for trial in study.history.completed if "latency_ms" in trial.metrics]

    def losses(trial: Trial) -> tuple[float, float, float]:
        return -trial.metrics["accuracy"], trial.metrics["bytes"], trial.metrics["latency_ms"]

    def beaten(trial: Trial) -> bool:
        mine = losses(trial)
        return any(
            losses(other) != mine and all(a <= b for a, b in zip(losses(other), mine, strict=True)) for other in done
        )

    return tuple(sorted((each for each in done if not beaten(each)), key=lambda trial: trial.metrics["bytes"]))


def saved(study: Study, trial: Trial) -> Any:
    """The model that a trial of a compression saved."""
    return load(_file(study, trial))


@dataclass(frozen=True)
class _Compress:
    """One trial, in the worker."""

    subject: Subject
    compression: Compression
    threads: int
    mark: str

    def __call__(self, trial: LiveTrial) -> dict[str, float]:
        import torch

        trial.set_user_attr(_MODEL, self.mark)
        torch.manual_seed(trial.seed)
        subject = self.subject
        smaller = self.compression.apply(
            subject.model,
            trial.params,
            subject.example_inputs,
            fine_tune=subject.fine_tune,
            keep=subject.keep,
            heads=subject.heads,
        )
        path = save(smaller, subject.example_inputs, trial.directory / FILE)
        loaded = load(path)
        accuracy = float(subject.accuracy(loaded))
        with trial.exclusive():
            footprint = measure(loaded, subject.example_inputs, threads=self.threads)
        return {**footprint.metrics(), "accuracy": accuracy, "bytes": float(path.stat().st_size)}


def _mark(model: nn.Module) -> str:
    """32 hexadecimal digits for the model's weights."""
    import torch

    told = hashlib.blake2b(digest_size=16)
    for name, value in model.state_dict().items():
        told.update(f"{name} {value.dtype} {tuple(value.shape)}".encode() if torch.is_tensor(value) else name.encode())
        if type(value) is torch.Tensor and not value.is_meta:
            told.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return told.hexdigest()


def _journal(storage: Any, name: str | None, mark: str) -> Journal:
    """The journal of the study; StudyError where its trials compressed a model with other weights."""
    journal = open_journal(storage, name)
    for event in journal.read(0):
        if isinstance(event, ev.Noted) and event.attrs.get(_MODEL, mark) != mark:
            journal.close()
            raise StudyError(
                f"{storage}: the study compressed the model with other weights, as from before it was trained again; "
                f"give another storage or name, or remove the file."
            )
    return journal


def _in_turns(study: Study, trials: Sequence[Trial], example_inputs: Any, threads: int) -> dict[int, Timing]:
    """The latency of one row of what these trials saved, by number, with the device to itself."""
    numbers = sorted({trial.number for trial in trials})
    models = [saved(study, study.history.trial(number)) for number in numbers]
    with leases.exclusive():
        return dict(zip(numbers, latencies(models, example_inputs, threads=threads), strict=True))


def _file(study: Study, trial: Trial) -> Path:
    return trial_folder(study.folder, trial.number) / FILE


def _tested(subject: Subject, study: Study, before: Trial, after: Trial | None) -> tuple[float, float] | None:
    if subject.test is None or after is None:
        return None
    return float(subject.test(saved(study, before))), float(subject.test(saved(study, after)))


def _check(costs: Sequence[str], wanted: Mapping[str, float], threads: int, output: str | Path | None) -> None:
    """StudyError where these arguments of `compress` are wrong, before anything is trained."""
    for name in (*costs, *wanted):
        if name not in COSTS:
            raise StudyError(f"compress: cannot minimize {name!r}; there are {', '.join(COSTS)}.")
    for name, factor in wanted.items():
        if not 0 < factor < float("inf"):
            raise StudyError(f"compress: shrink says how many times less, such as {name}=4; got {name}={factor:g}.")
    if threads < 1:
        raise StudyError(f"compress: threads must be at least 1; got {threads}.")
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise StudyError(f"compress: there is no folder {Path(output).parent} to write {Path(output).name} into.")


def _check_choices(model: nn.Module, compression: Compression) -> None:
    """StudyError where the model cannot be compressed so, or not be left as it is."""
    if not compression.parameters():
        raise StudyError("compress: there is nothing to try; give prune, depth, rank or kinds of quantize.")
    if not compression.can_be_none:
        raise StudyError(
            "compress: the first trial is the model as it is: prune has to begin at 0, depth and rank have to end at "
            "1, and quantize needs 'none'."
        )
    if compression.depth is not None and not stacks(model):
        raise StudyError("compress: the model has no stack of blocks that depth could shorten; leave depth out.")


def _accuracy(subject: Subject) -> float:
    """Of the model as it is; EvaluationError where it is no finite number."""
    given = subject.accuracy(subject.model.eval())
    try:
        found = float(given)
    except (TypeError, ValueError):
        found = float("nan")
    if not math.isfinite(found):
        raise EvaluationError(f"accuracy(model) has to give a finite number; it gave {given!r}.")
    return found


def _drop(given: float | str) -> float:
    text = str(given).strip()
    try:
        drop = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise StudyError(f"compress: max_drop is a number or a percentage such as 1%; got {given!r}.") from None
    if not 0 <= drop < float("inf"):
        raise StudyError(f"compress: max_drop must be at least 0; got {given!r}.")
    return drop


def _change(old: float, new: float) -> str:
    """How many times less a cost is than it was, or more; nothing where either is 0."""
    if not (old and new):
        return ""
    return f"{old / new:.1f} times less" if new <= old else f"{new / old:.1f} times more"


def _how(trial: Trial) -> str:
    told = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in trial.params.items()}
    return ", ".join(f"{name} {value}" for name, value in told.items())
