"""Checkpoints: the state of a training and of all random generators, in one file, written whole or not at all.

Where torch is in use the file is `checkpoint.pt`, written by torch.save and read with weights_only=True;
`torch.load(path, weights_only=True)["objects"]["model"]` is the state dict of what was registered as
`model`. Trainings without torch get `checkpoint.npz`: JSON and numpy arrays. Neither holds a pickled object.

What writes files of its own, such as a framework's trainer, gets a new folder below `files/` each time; the
checkpoint names the one that belongs to it, and the others are removed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import sys
import uuid
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greyhound.errors import CheckpointError
from greyhound.evaluators.stateful import InFiles, Stateful, bare, in_files

VERSION = 1
TORCH_NAME = "checkpoint.pt"
PLAIN_NAME = "checkpoint.npz"
FILES_NAME = "files"
_TEMPORARY = ".checkpoint.tmp"
_BEGUN, _DISCARDED = ".begun", ".old"
_TAG = "__greyhound__"


@dataclass(frozen=True)
class Loaded:
    """What a checkpoint says besides the objects' states.

    reports: (step, metrics) told before it was written. notes: what else was, by kind and name.
    """

    step: int
    reports: Sequence[tuple[int, Mapping[str, float]]] = field(default_factory=tuple)
    notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def save(
    folder: Path,
    step: int,
    objects: Mapping[str, Stateful | InFiles],
    reports: Sequence[tuple[int, Mapping[str, float]]] = (),
    notes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write the states of `objects` after `step` steps, and all random states; the file's path.

    reports, notes: see Loaded; notes hold what JSON can.

    The file appears by a rename, after its content is on disk: a kill leaves the old one or the new one.
    CheckpointError where a state holds something that can't be kept, or the disk refuses.
    """
    version = uuid.uuid4().hex
    with_torch = "torch" in sys.modules
    try:
        with _leaving_no_parts(folder / _TEMPORARY, folder / FILES_NAME / version):
            content: dict[str, Any] = {
                "version": VERSION,
                "step": step,
                "reports": [[at, dict(metrics)] for at, metrics in reports],
                "notes": json.dumps(notes or {}),
                "random": random_states(),
                "objects": _states(objects, folder / FILES_NAME / version),
                "files": version,
            }
            data = _pack_torch(content) if with_torch else _pack_plain(content)
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / _TEMPORARY, data)
        path = folder / (TORCH_NAME if with_torch else PLAIN_NAME)
        _put(folder / _TEMPORARY, path)
    except OSError as error:
        raise CheckpointError(f"{folder}: the checkpoint cannot be written: {error}.") from error
    with contextlib.suppress(FileNotFoundError):
        (folder / (PLAIN_NAME if with_torch else TORCH_NAME)).unlink()
    for old in _versions(folder):
        if old.name != version:
            _discard(old)
    return path


def load(folder: Path, objects: Mapping[str, Stateful | InFiles]) -> Loaded | None:
    """Bring objects and random states to where the folder's checkpoint left them; None where there is none.

    CheckpointError where the file is damaged, newer, or of other objects than these.
    """
    path = latest(folder)
    if path is None:
        return None
    content = _read(path)
    states = content["objects"]
    if set(states) != set(objects):
        raise CheckpointError(
            f"{path}: holds {_listed(states)}, but the training registers {_listed(objects)}; "
            f"register the same objects, or remove the file to start over."
        )
    for name, each in objects.items():
        try:
            if in_files(each):
                each.load_from(_files(folder, content, name))
            else:
                bare(each).load_state_dict(states[name])
        except Exception as error:
            why = " ".join(str(error).split())
            raise CheckpointError(f"{path}: {name} does not take its state back: {why}") from error
    restore_random_states(content["random"])
    reports = tuple((int(at), {str(k): float(v) for k, v in metrics.items()}) for at, metrics in content["reports"])
    return Loaded(content["step"], reports, json.loads(content.get("notes", "{}")))


def files(folder: Path, name: str) -> Path | None:
    """Where the folder's checkpoint has the files of the object registered as `name`; None where it has none."""
    path = latest(folder)
    there = _files(folder, _read(path), name) if path is not None else None
    return there if there is not None and there.is_dir() else None


def copy_files(source: Path, folder: Path) -> None:
    """Copy what objects wrote themselves for the checkpoint in `source`, but not what one that is being written has so
    far, nor what is being removed. OSError where the disk refuses.
    """
    for version in _versions(source):
        if version.suffix == _DISCARDED or (version / _BEGUN).exists():
            continue
        try:
            shutil.copytree(version, folder / FILES_NAME / version.name)
        except OSError:
            if version.exists():
                raise
            shutil.rmtree(folder / FILES_NAME / version.name, ignore_errors=True)  # it was removed meanwhile


def latest(folder: Path) -> Path | None:
    """The checkpoint in a folder; None where there is none."""
    written = []
    for path in (folder / TORCH_NAME, folder / PLAIN_NAME):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            written.append((path.stat().st_mtime_ns, path))
    return max(written)[1] if written else None


def remove(folder: Path) -> None:
    """Remove the checkpoint; the rest of the folder stays."""
    for name in (TORCH_NAME, PLAIN_NAME, _TEMPORARY):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / FILES_NAME, ignore_errors=True)


def size(folder: Path) -> int:
    """Bytes that the checkpoint takes; of one that its training replaces or removes meanwhile, of a part of it."""
    total = 0
    with contextlib.suppress(FileNotFoundError):
        path = latest(folder)
        total += path.stat().st_size if path is not None else 0
        for file in (folder / FILES_NAME).rglob("*"):
            total += file.stat().st_size if file.is_file() else 0
    return total


def _states(objects: Mapping[str, Any], files: Path) -> dict[str, Any]:
    """The objects' states, and in `files`, marked as begun until all of them are there, those of what writes files."""
    if any(in_files(each) for each in objects.values()):
        files.mkdir(parents=True)
        (files / _BEGUN).touch()
    states = {name: _state(each, files / name) for name, each in objects.items()}
    (files / _BEGUN).unlink(missing_ok=True)
    return states


def _state(each: Any, files: Path) -> Any:
    """The object's state; of one that writes files, those are on disk then."""
    if not in_files(each):
        return bare(each).state_dict()
    files.mkdir()
    each.save_to(files)
    for file in files.rglob("*"):
        if file.is_file():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
    return None


def _files(folder: Path, content: Mapping[str, Any], name: str) -> Path:
    return folder / FILES_NAME / str(content.get("files")) / name


def _versions(folder: Path) -> Sequence[Path]:
    return list((folder / FILES_NAME).iterdir()) if (folder / FILES_NAME).is_dir() else ()


def _discard(version: Path) -> None:
    """Remove it under another name, so that nobody copies a part of it."""
    with contextlib.suppress(OSError):
        version = version.rename(version.with_suffix(_DISCARDED))
    shutil.rmtree(version, ignore_errors=True)


@contextlib.contextmanager
def _leaving_no_parts(temporary: Path, files: Path) -> Iterator[None]:
    """Remove what was written where it could not be written to its end: a full disk needs the room."""
    try:
        yield
    except BaseException:
        shutil.rmtree(files, ignore_errors=True)
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _put(temporary: Path, path: Path) -> None:
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> dict[str, Any]:
    """The file's content, checked to be one of ours."""
    try:
        content = _unpack_torch(path) if path.name == TORCH_NAME else _unpack_plain(path)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a reader makes of a damaged file
        raise CheckpointError(
            f"{path}: is damaged and cannot be read; remove it to start the trial over ({type(error).__name__})."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("version"), int):
        raise CheckpointError(f"{path}: is no checkpoint of Greyhound; remove it to start the trial over.")
    if content["version"] > VERSION:
        raise CheckpointError(f"{path}: was written by a newer Greyhound: pip install -U greyhound-tune.")
    kinds = {"step": int, "reports": list, "random": dict, "objects": dict}
    for name, kind in kinds.items():
        if not isinstance(content.get(name), kind):
            raise CheckpointError(f"{path}: is damaged: its {name} cannot be read; remove it to start the trial over.")
    return content


# With torch: tensors as they are, numpy arrays as tagged tensors


def _pack_torch(content: dict[str, Any]) -> bytes:
    import torch

    def plain(value: Any, where: str) -> Any:
        if isinstance(value, torch.nn.Parameter):
            return value.detach()
        if isinstance(value, torch.Tensor):
            return value
        if _is_array(value):
            kind = value.dtype.str
            raw = torch.frombuffer(bytearray(value.tobytes() or b"\0"), dtype=torch.uint8)
            return {_TAG: "array", "dtype": kind, "shape": list(value.shape), "data": raw}
        return _container(value, where, plain)

    out = io.BytesIO()
    torch.save(_named(content, plain), out)
    return out.getvalue()


def _unpack_torch(path: Path) -> Any:
    import torch

    def back(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get(_TAG) == "array":
                import numpy as np

                shape = tuple(value["shape"])
                raw = value["data"].numpy().tobytes()
                count = int(np.prod(shape, dtype=np.int64)) * np.dtype(value["dtype"]).itemsize
                return np.frombuffer(raw[:count], dtype=value["dtype"]).reshape(shape).copy()
            if value.get(_TAG) == "counter":
                return Counter(dict(back(value["items"])))
            return type(value)((key, back(item)) for key, item in value.items())
        if isinstance(value, list | tuple):
            return type(value)(back(item) for item in value)
        return value

    return back(torch.load(path, map_location="cpu", weights_only=True))


# Without torch: JSON, with arrays beside it


def _pack_plain(content: dict[str, Any]) -> bytes:
    arrays: list[Any] = []

    def plain(value: Any, where: str) -> Any:
        if _is_array(value):
            arrays.append(value)
            return {_TAG: "array", "at": len(arrays) - 1}
        odd = isinstance(value, dict) and not all(isinstance(key, str) and key != _TAG for key in value)
        if odd and not isinstance(value, Counter):
            items = [[plain(key, where), plain(item, f"{where}[{key!r}]")] for key, item in value.items()]
            return {_TAG: "items", "items": items}
        if isinstance(value, tuple):
            return {_TAG: "tuple", "items": [plain(item, where) for item in value]}
        return _container(value, where, plain)

    text = json.dumps(_named(content, plain))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("content.json", text)
        for at, array in enumerate(arrays):
            import numpy as np

            raw = io.BytesIO()
            np.save(raw, array, allow_pickle=False)
            archive.writestr(f"{at}.npy", raw.getvalue())
    return out.getvalue()


def _unpack_plain(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:

        def back(value: Any) -> Any:
            if isinstance(value, list):
                return [back(item) for item in value]
            if not isinstance(value, dict):
                return value
            match value.get(_TAG):
                case "array":
                    import numpy as np

                    return np.load(io.BytesIO(archive.read(f"{value['at']}.npy")), allow_pickle=False)
                case "counter":
                    return Counter(dict(back(value["items"])))
                case "items":
                    return {back(key): back(item) for key, item in value["items"]}
                case "tuple":
                    return tuple(back(item) for item in value["items"])
            return {key: back(item) for key, item in value.items()}

        return back(json.loads(archive.read("content.json")))


def _named(content: dict[str, Any], plain: Any) -> dict[str, Any]:
    """The content made plain, objects first, so that what can't be kept is told by the object's name."""
    objects = {name: plain(state, name) for name, state in content["objects"].items()}
    rest = {name: plain(value, name) for name, value in content.items() if name != "objects"}
    return {**rest, "objects": objects}


def _container(value: Any, where: str, plain: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value if type(value) in (type(None), bool, int, float, str) else _builtin(value)
    if isinstance(value, Counter):  # as MultiStepLR has one, which asks it for its elements
        return {_TAG: "counter", "items": [[plain(key, where), plain(count, where)] for key, count in value.items()]}
    if isinstance(value, Mapping):
        return {plain(key, where): plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, where) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item, where) for item in value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a numpy scalar
        return value.item()
    raise CheckpointError(
        f"the state of {where} holds {type(value).__name__}, which a checkpoint cannot keep; "
        f"its state_dict may hold tensors, arrays, numbers, text, and dicts and lists of these."
    )


def _builtin(value: Any) -> Any:
    """An IntEnum, a numpy float and the like as the built-in kind that it extends."""
    return next(kind(value) for kind in (bool, int, float, str) if isinstance(value, kind))


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray) and value.dtype != object


def random_states() -> dict[str, Any]:
    """The states of all random generators that are in use: Python's, numpy's, torch's, CUDA's."""
    version, internal, gauss = random.getstate()
    states: dict[str, Any] = {"python": [version, list(internal), gauss]}
    if (numpy := sys.modules.get("numpy")) is not None and "numpy.random" in sys.modules:
        name, keys, position, has_gauss, cached = numpy.random.get_state()
        states["numpy"] = [name, [int(key) for key in keys], int(position), int(has_gauss), float(cached)]
    if (torch := sys.modules.get("torch")) is not None:
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Bring the random generators back to what `random_states` gave."""
    try:
        if "python" in states:
            version, internal, gauss = states["python"]
            random.setstate((version, tuple(internal), gauss))
        if "numpy" in states:
            import numpy as np

            name, keys, position, has_gauss, cached = states["numpy"]
            np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
        if "torch" in states:
            import torch

            torch.set_rng_state(states["torch"])
            if "cuda" in states and torch.cuda.is_available():
                for device, state in zip(range(torch.cuda.device_count()), states["cuda"], strict=False):
                    torch.cuda.set_rng_state(state, device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"the checkpoint's random states are damaged: {error}.") from error


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "nothing"
