"""How big and how fast a model is, measured on the device that it is on.

Operations are counted by torch.utils.flop_counter, which sees the products inside of attention and recurrent layers
while their fused forms are off, and those of 8-bit numbers once it is told of them; times are taken by
torch.utils.benchmark, which synchronises the device. On a GPU the peak of memory is the allocator's; elsewhere every
tensor's storage is followed from its birth to its end, which gives the same bytes on every run.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import statistics
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.errors import StudyError

if TYPE_CHECKING:
    from torch import Tensor, nn

_WARM_UP = 3
_LATENCY_S, _STEP_S = 0.2, 0.2
"""How long each of the two is timed at least."""
_TURNS, _TURNS_S = 15, 0.5


@dataclass(frozen=True, slots=True)
class Timing:
    """Runs of one kind: median_ms with the interquartile range iqr_ms, and items (rows of a batch) a second."""

    batch_size: int
    median_ms: float
    iqr_ms: float
    throughput: float


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a model costs.

    parameters: numbers in it, those that several layers share once. bytes: of its state as torch saves it.
    peak_memory_bytes: the most that its weights, inputs and activations take at once in a forward pass of the largest
    batch; through libraries that allocate by themselves it is a lower bound. flops: floating-point operations of a
    pass of one row, a multiply-add counted as two, and those in 8 bits like others. latency: by batch size, the
    smallest first. train_step: a forward and backward pass with the largest batch, None unless asked
    for. device, threads: where, and with how many threads of the CPU, it was measured.
    """

    parameters: int
    bytes: int
    peak_memory_bytes: int
    flops: int
    latency: tuple[Timing, ...]
    train_step: Timing | None
    device: str
    threads: int

    @property
    def latency_ms(self) -> float:
        """The median time of a pass of the smallest batch."""
        return self.latency[0].median_ms

    @property
    def throughput(self) -> float:
        """Rows a second in the largest batch."""
        return self.latency[-1].throughput

    def metrics(self) -> dict[str, float]:
        """What a trial reports: parameters, bytes, peak_memory_bytes, flops, latency_ms and throughput."""
        named = asdict(self)
        sizes = {name: float(named[name]) for name in ("parameters", "bytes", "peak_memory_bytes", "flops")}
        return {**sizes, "latency_ms": self.latency_ms, "throughput": self.throughput}

    def __str__(self) -> str:
        lines = [
            f"{self.parameters:,} parameters, {self.bytes:,} bytes, {self.flops:,} operations a row, "
            f"{self.peak_memory_bytes:,} bytes at the peak ({self.device}, {self.threads} threads)"
        ]
        lines += [f"batch of {_timed(each)}" for each in self.latency]
        return "\n".join([*lines, *([f"training step of {_timed(self.train_step)}"] if self.train_step else [])])


def measure(
    model: nn.Module,
    example_inputs: Any,
    *,
    batch_sizes: Sequence[int] = (1, 32),
    loss: Callable[[Any], Tensor] | None = None,
    threads: int | None = None,
    min_run_time_s: float = _LATENCY_S,
) -> Footprint:
    """The footprint of a model, on the device and in the precision that it is in.

    example_inputs: a tensor, or a tuple or dict of the tensors that the model is called with; the first dimension of
    each is the batch. Rows are repeated or cut to each of `batch_sizes`. loss: from the model's output to a number;
    with it a training step is timed too (gradients are cleared afterwards). threads: of the CPU, by default as
    many as torch uses now. min_run_time_s: how long each batch size is timed at least, after warming up.

    The model is measured in evaluation mode; every module is left in the mode that it was in, and what a training step
    changes besides gradients, such as BatchNorm's statistics, as it was. Inside of a trial hold the device:
    `with trial.exclusive(): measure(...)`. StudyError where an argument is wrong.
    """
    torch = require("torch", "torch")
    if not isinstance(batch_sizes, Sequence) or not batch_sizes or not all(map(_counts, batch_sizes)):
        raise StudyError(
            f"measure: batch_sizes must be whole numbers of at least 1, such as [1, 32]; got {batch_sizes!r}."
        )
    sizes = sorted(set(batch_sizes))
    threads = torch.get_num_threads() if threads is None else threads
    if not _counts(threads):
        raise StudyError(f"measure: threads must be a whole number of at least 1; got {threads!r}.")
    device = device_of(model)
    inputs = {size: resized(example_inputs, size, device) for size in sizes}
    before = torch.get_num_threads()
    with modes_kept(model):
        try:
            torch.set_num_threads(threads)
            _set_mode(model, False)
            with torch.no_grad():
                latency = tuple(_timing(partial(call, model, inputs[n]), n, threads, min_run_time_s) for n in sizes)
                peak = _peak_memory(model, inputs[sizes[-1]], device)
                flops = _flops(model, resized(example_inputs, 1, device))
            step = None if loss is None else _train_step(model, inputs[sizes[-1]], sizes[-1], loss, threads)
        finally:
            torch.set_num_threads(before)
    return Footprint(
        parameters=_numbers(model),
        bytes=state_bytes(model),
        peak_memory_bytes=peak,
        flops=flops,
        latency=latency,
        train_step=step,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        threads=threads,
    )


def latencies(
    models: Sequence[nn.Module],
    example_inputs: Any,
    *,
    batch_size: int = 1,
    threads: int | None = None,
    turns: int = _TURNS,
) -> tuple[Timing, ...]:
    """The latency of each model, taken in turns: what slows the machine for a while meets all of them alike.

    So their ratios hold where something else runs beside, though all may be slower than on an idle machine. A turn is
    one pass, after two that warm up: the shorter it is, the less often something comes between. They go on for about
    half a second a model, and for `turns` at least; medians and interquartile ranges are over turns. The other
    arguments are those of `measure`. StudyError where one is wrong.
    """
    torch = require("torch", "torch")
    threads = torch.get_num_threads() if threads is None else threads
    for name, count in (("batch_size", batch_size), ("threads", threads), ("turns", turns)):
        if not _counts(count):
            raise StudyError(f"latencies: {name} must be a whole number of at least 1; got {count!r}.")
    if not models:
        raise StudyError("latencies: give one model or more.")
    timer = require("torch.utils.benchmark", "torch").Timer
    timers: list[Any] = []
    times: list[list[float]] = [[] for _ in models]
    with torch.no_grad(), contextlib.ExitStack() as modes:
        for model in models:
            modes.enter_context(modes_kept(model))
            _set_mode(model, False)
            run = partial(call, model, resized(example_inputs, batch_size, device_of(model)))
            timers.append(timer("run()", globals={"run": run}, num_threads=threads))
        end = time.perf_counter() + _TURNS_S * len(timers)
        while time.perf_counter() < end or len(times[-1]) < max(2, turns):
            for each, taken in zip(timers, times, strict=True):
                taken.append(1e3 * each.timeit(1).mean)
    found = []
    for taken in times:
        low, median, high = statistics.quantiles(taken, n=4)
        found.append(Timing(batch_size, median, high - low, 1e3 * batch_size / median))
    return tuple(found)


def call(model: Any, inputs: Any) -> Any:
    """The model's output for a tensor, or a tuple or dict of arguments."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


def state_bytes(model: nn.Module) -> int:
    """How long the file is into which torch saves the model's state."""
    torch = require("torch", "torch")
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


def _counts(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= 1


def _numbers(model: nn.Module) -> int:
    """Numbers in the model's parameters; a saved model has a tied weight under each of its names, in one place."""
    places = {
        (each.untyped_storage()._cdata, each.storage_offset(), each.shape): each.numel() for each in model.parameters()
    }
    return sum(places.values())


def _timing(run: Callable[[], Any], batch_size: int, threads: int, min_run_time_s: float) -> Timing:
    for _ in range(_WARM_UP):
        run()
    timer = require("torch.utils.benchmark", "torch").Timer("run()", globals={"run": run}, num_threads=threads)
    found = timer.blocked_autorange(min_run_time=min_run_time_s)
    return Timing(batch_size, 1e3 * found.median, 1e3 * found.iqr, batch_size / found.median)


def _train_step(model: nn.Module, inputs: Any, batch_size: int, loss: Callable[[Any], Tensor], threads: int) -> Timing:
    _set_mode(model, True)

    def step() -> None:
        loss(call(model, inputs)).backward()

    with buffers_kept(model):
        try:
            return _timing(step, batch_size, threads, _STEP_S)
        finally:
            model.zero_grad(set_to_none=True)


def _flops(model: nn.Module, inputs: Any) -> int:
    torch = require("torch", "torch")

    def products(left: Sequence[int], right: Sequence[int], **_: Any) -> int:
        return 2 * left[0] * left[1] * right[1]

    counter = require("torch.utils.flop_counter", "torch").FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten._int_mm: products}
    )
    with _unfused(), counter:
        call(model, inputs)
    return int(counter.get_total_flops())


@contextlib.contextmanager
def _unfused() -> Iterator[None]:
    """Attention and recurrent layers as the products that they are made of: torch does not count their fused forms."""
    backends = require("torch.backends", "torch")
    attention = require("torch.nn.attention", "torch")
    fused = [backend for backend in (backends.mkldnn, backends.cudnn) if backend.enabled]
    before = backends.mha.get_fastpath_enabled()
    try:
        backends.mha.set_fastpath_enabled(False)
        for backend in fused:
            backend.enabled = False
        with attention.sdpa_kernel(attention.SDPBackend.MATH):
            yield
    finally:
        backends.mha.set_fastpath_enabled(before)
        for backend in fused:
            backend.enabled = True


def _peak_memory(model: nn.Module, inputs: Any, device: Any) -> int:
    torch = require("torch", "torch")
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        call(model, inputs)
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device))
    held = itertools.chain(model.parameters(), model.buffers(), tensors(inputs))
    with _storages(held) as seen:
        call(model, inputs)
    return seen.peak


@dataclass
class _Seen:
    """Bytes of the storages that are alive now, and the most there were."""

    now: int = 0
    peak: int = 0
    alive: set[int] = field(default_factory=set)

    def take(self, tensor: Any) -> None:
        """Count a tensor's storage until it ends, once however many tensors share it."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.alive:
            return
        self.alive.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._give_back, key, size)

    def _give_back(self, key: int, size: int) -> None:
        self.alive.discard(key)
        self.now -= size


@contextlib.contextmanager
def _storages(held: Any) -> Iterator[_Seen]:
    """Follow the storages of `held` and of every tensor that is made meanwhile."""
    mode = require("torch.utils._python_dispatch", "torch").TorchDispatchMode
    seen = _Seen()

    class Follow(mode):  # type: ignore[misc, valid-type]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            for tensor in tensors(result):
                seen.take(tensor)
            return result

    for tensor in held:
        seen.take(tensor)
    with Follow():
        yield seen


def tensors(value: Any) -> list[Any]:
    """The tensors in a model's inputs or outputs."""
    torch = require("torch", "torch")
    leaves = require("torch.utils._pytree", "torch").tree_leaves(value)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def resized(inputs: Any, size: int, device: Any) -> Any:
    """The inputs with `size` rows, on the device."""
    torch = require("torch", "torch")

    def resize(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if value.ndim == 0 or not len(value):
            raise StudyError(f"measure: example inputs need a first dimension, the batch; got {tuple(value.shape)}.")
        return value.to(device)[torch.arange(size, device=device) % len(value)].contiguous()

    return require("torch.utils._pytree", "torch").tree_map(resize, inputs)


def _set_mode(model: nn.Module, training: bool) -> None:
    with contextlib.suppress(NotImplementedError):  # an exported program has one mode
        model.train(training)


@contextlib.contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Leave every module of the model in the mode, training or evaluation, that it was in."""
    before = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextlib.contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Leave the model's buffers, such as BatchNorm's statistics, as they were, whatever runs forward meanwhile."""
    torch = require("torch", "torch")
    before = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, kept in before:
                buffer.copy_(kept)


def alone(model: nn.Module, parameter: nn.Parameter) -> bool:
    """Whether one layer alone uses a parameter: no tied weight, and none of a layer that stands in several places."""
    return sum(each is parameter for _, each in model.named_parameters(remove_duplicate=False)) == 1


def device_of(model: nn.Module) -> Any:
    """The device of the model's first parameter or buffer; the CPU for one without any."""
    torch = require("torch", "torch")
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    return first.device if first is not None else torch.device("cpu")


def _timed(timing: Timing) -> str:
    return (
        f"{timing.batch_size}: {timing.median_ms:.3g} ms (IQR {timing.iqr_ms:.2g}), {timing.throughput:,.0f} a second"
    )
