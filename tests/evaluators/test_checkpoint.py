"""Checkpoints: whole or not at all, exact, and one clear error for whatever is no checkpoint."""

import enum
import json
import random
import resource
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from greyhound.errors import CheckpointError
from greyhound.evaluators import checkpoint


class Box:
    """Keeps one state."""

    def __init__(self, state=None):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def same(mine, theirs):
    """Equal in value and in kind, arrays and tensors included."""
    if type(mine) is not type(theirs):
        return False
    if isinstance(mine, dict):
        return list(mine) == list(theirs) and all(same(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, list | tuple):
        return len(mine) == len(theirs) and all(same(a, b) for a, b in zip(mine, theirs, strict=True))
    if isinstance(mine, np.ndarray):
        return mine.dtype == theirs.dtype and np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f")
    if isinstance(mine, torch.Tensor):
        return mine.dtype == theirs.dtype and torch.equal(mine, theirs)
    return mine == theirs


STATE = {
    "number": 1.5, "none": None, "flag": True, "text": "ü", "list": [1, (2, [3.0])], 7: {"int key": -1},
    "array": np.arange(6, dtype=np.int16).reshape(2, 3), "empty": np.zeros((0, 3)), "scalar": np.array(2.5),
    "bools": np.array([True, False]), "milestones": Counter({2: 1, 5: 2}),
}  # fmt: skip


def network():
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler}


def train(parts, steps):
    """Shuffles, drops out, and draws from every generator."""
    data = torch.linspace(-1, 1, 96).reshape(16, 6)
    for _ in range(steps):
        for batch in torch.randperm(16).split(4):
            noise = torch.randn(len(batch), 6) * random.random() * np.random.rand()
            loss = (parts["model"](data[batch] + noise) - data[batch].sum(1, keepdim=True)).square().mean()
            parts["optimizer"].zero_grad()
            loss.backward()
            parts["optimizer"].step()
        parts["scheduler"].step()


def seed(number):
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def test_a_resumed_training_reaches_the_same_weights_to_the_last_bit(tmp_path):
    seed(1)
    unbroken = network()
    train(unbroken, 9)
    seed(1)
    first = network()
    train(first, 4)
    checkpoint.save(tmp_path, 4, first)
    seed(99)
    resumed = network()
    assert checkpoint.load(tmp_path, resumed).step == 4
    train(resumed, 5)
    for mine, theirs in zip(unbroken["model"].parameters(), resumed["model"].parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert same(unbroken["optimizer"].state_dict(), resumed["optimizer"].state_dict())


def test_states_come_back_in_value_and_kind(tmp_path):
    tensors = {"half": torch.ones(3, dtype=torch.bfloat16), "ints": torch.arange(3)}
    checkpoint.save(tmp_path, 1, {"box": Box({**STATE, **tensors})}, [(1, {"score": 0.5})])
    box = Box()
    loaded = checkpoint.load(tmp_path, {"box": box})
    assert same(box.state, {**STATE, **tensors})
    assert (loaded.step, list(loaded.reports)) == (1, [(1, {"score": 0.5})])


def test_states_come_back_without_torch_too(tmp_path):
    program = textwrap.dedent(
        f"""
        import sys, random, numpy as np
        from collections import Counter
        sys.path.insert(0, {str(tmp_path)!r})
        from pathlib import Path
        from greyhound.evaluators import checkpoint
        array = np.array
        from numpy import int16, float64
        class Box:
            def __init__(self, state=None): self.state = state
            def state_dict(self): return self.state
            def load_state_dict(self, state): self.state = state
        state = {{"a": 1.5, "t": (1, [2]), 7: {{"k": None}}, "v": np.arange(6, dtype=np.int16).reshape(2, 3)}}
        state |= {{"milestones": Counter([2, 5, 5])}}
        folder = Path({str(tmp_path)!r})
        random.seed(3); np.random.seed(3)
        path = checkpoint.save(folder, 2, {{"box": Box(state)}})
        after = random.random(), np.random.rand()
        box = Box()
        assert checkpoint.load(folder, {{"box": box}}).step == 2
        assert (random.random(), np.random.rand()) == after
        assert box.state["t"] == (1, [2]) and box.state[7] == {{"k": None}} and list(box.state) == list(state)
        assert type(box.state["milestones"]) is Counter and box.state["milestones"] == Counter([2, 5, 5])
        assert box.state["v"].dtype == np.int16 and (box.state["v"] == state["v"]).all()
        assert path.name == "checkpoint.npz" and "torch" not in sys.modules
        """
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    box = Box()
    assert checkpoint.load(tmp_path, {"box": box}).step == 2, "a process with torch reads it as well"


def test_the_winner_is_loaded_without_greyhound(tmp_path):
    parts = network()
    path = checkpoint.save(tmp_path, 1, parts)
    fresh = network()["model"]
    fresh.load_state_dict(torch.load(path, weights_only=True)["objects"]["model"])
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), parts["model"].parameters(), strict=True))


def test_keys_come_back_as_what_they_are_equal_to(tmp_path):
    """Those of numpy, as np.unique gives them, and of enums are no built-in ones."""
    counts = {np.int64(3): 1, np.str_("cat"): 2, enum.IntEnum("Kind", ["FIRST"]).FIRST: 3, (np.int64(1), "b"): 4}
    checkpoint.save(tmp_path, 1, {"box": Box({"counts": counts})})
    box = Box()
    checkpoint.load(tmp_path, {"box": box})
    assert box.state == {"counts": {3: 1, "cat": 2, 1: 3, (1, "b"): 4}}


def test_what_cannot_be_kept_is_told_by_name(tmp_path):
    with pytest.raises(CheckpointError, match="the state of box holds bytes"):
        checkpoint.save(tmp_path, 1, {"box": Box({b"odd": 1})})
    with pytest.raises(CheckpointError, match=r"the state of box\['odd'\] holds object"):
        checkpoint.save(tmp_path, 1, {"box": Box({"odd": object()})})
    assert checkpoint.latest(tmp_path) is None


def test_other_objects_than_those_kept_are_refused(tmp_path):
    checkpoint.save(tmp_path, 1, {"model": Box({})})
    with pytest.raises(CheckpointError, match="holds model, but the training registers optimizer"):
        checkpoint.load(tmp_path, {"optimizer": Box()})


def test_a_state_that_its_object_refuses_is_told(tmp_path):
    checkpoint.save(tmp_path, 1, {"model": torch.nn.Linear(2, 3)})
    with pytest.raises(CheckpointError, match=r"model does not take its state back: .*size mismatch"):
        checkpoint.load(tmp_path, {"model": torch.nn.Linear(4, 3)})


def test_a_newer_file_is_refused_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    checkpoint.save(tmp_path, 1, {})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="newer Greyhound: pip install -U greyhound-tune"):
        checkpoint.load(tmp_path, {})


def test_no_checkpoint_is_no_error(tmp_path):
    assert checkpoint.load(tmp_path / "none", {}) is None
    assert checkpoint.size(tmp_path) == 0
    checkpoint.remove(tmp_path)


def test_size_and_removal(tmp_path):
    path = checkpoint.save(tmp_path, 1, {})
    assert checkpoint.size(tmp_path) == path.stat().st_size > 0
    checkpoint.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.save(tmp_path / "file", 1, {})


def _plain_file(folder):
    content = {"version": 1, "step": 3, "reports": [], "random": {}, "objects": {"box": {"a": 1}}}
    with zipfile.ZipFile(folder / checkpoint.PLAIN_NAME, "w") as archive:
        archive.writestr("content.json", json.dumps(content))
    return folder / checkpoint.PLAIN_NAME


@pytest.mark.parametrize("name", [checkpoint.TORCH_NAME, checkpoint.PLAIN_NAME])
@given(content=st.binary(max_size=300))
def test_random_bytes_give_one_clear_error(tmp_path_factory, name, content):
    folder = tmp_path_factory.mktemp("garbage")
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"remove it to start the trial over|damaged"):
        checkpoint.load(folder, {"box": Box()})


@pytest.mark.parametrize("kind", ["torch", "plain"])
@given(data=st.data())
def test_a_truncated_file_gives_one_clear_error(tmp_path_factory, kind, data):
    folder = tmp_path_factory.mktemp("cut")
    path = checkpoint.save(folder, 3, {"box": Box({"a": 1})}) if kind == "torch" else _plain_file(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CheckpointError):
        checkpoint.load(folder, {"box": Box()})


@pytest.mark.parametrize(
    "content",
    [[], {"version": "1"}, {"version": 1}, {"version": 1, "step": "x", "reports": [], "random": {}, "objects": {}},
     {"version": 1, "step": 1, "reports": [], "random": {"python": [1]}, "objects": {}}],
)  # fmt: skip
def test_a_readable_file_that_is_none_of_ours_is_told(content, tmp_path):
    torch.save(content, tmp_path / checkpoint.TORCH_NAME)
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path, {})


def test_a_kill_leaves_a_whole_checkpoint(tmp_path):
    program = textwrap.dedent(
        f"""
        import numpy as np
        from pathlib import Path
        from greyhound.evaluators import checkpoint
        class Box:
            def state_dict(self): return {{"step": step, "array": np.full(50_000, step)}}
        for step in range(1, 100_000):
            checkpoint.save(Path({str(tmp_path)!r}), step, {{"box": Box()}})
            print(step, flush=True)
        """
    )
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(5):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        box = Box()
        step = checkpoint.load(tmp_path, {"box": box}).step
        assert step >= told, "what was saved before the kill is there"
        assert box.state["step"] == step
        assert (box.state["array"] == step).all()


@pytest.mark.gpu
def test_random_states_of_cuda_come_back(tmp_path):
    torch.cuda.manual_seed_all(5)
    torch.randn(3, device="cuda")
    model = torch.nn.Linear(3, 3, device="cuda")
    checkpoint.save(tmp_path, 1, {"model": model})
    expected = torch.randn(8, device="cuda")
    torch.cuda.manual_seed_all(6)
    checkpoint.load(tmp_path, {"model": model})
    assert torch.equal(torch.randn(8, device="cuda"), expected)


class Folder:
    """Keeps its state in a file of its own."""

    def __init__(self, text=""):
        self.text = text

    def save_to(self, folder):
        (folder / "text.txt").write_text(self.text)

    def load_from(self, folder):
        self.text = (folder / "text.txt").read_text()


def test_what_writes_files_of_its_own_is_kept_with_the_checkpoint_that_names_them(tmp_path):
    for step, text in enumerate(["first", "second"], 1):
        checkpoint.save(tmp_path, step, {"folder": Folder(text), "box": Box(step)})
    kept = Folder()
    assert checkpoint.load(tmp_path, {"folder": kept, "box": Box()}).step == 2
    assert kept.text == "second"
    assert checkpoint.files(tmp_path, "folder").joinpath("text.txt").read_text() == "second"
    assert [file.read_text() for file in tmp_path.rglob("*.txt")] == ["second"], "no older files stay"
    assert checkpoint.size(tmp_path) == checkpoint.latest(tmp_path).stat().st_size + len("second")
    checkpoint.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_gets_back_what_was_written(tmp_path):
    limits, large = resource.getrlimit(resource.RLIMIT_FSIZE), Box(torch.zeros(100_000))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    checkpoint.save(tmp_path, 1, {"box": Box(1)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"cannot be written: .*File too large"):
            checkpoint.save(tmp_path, 2, {"box": large})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [file.name for file in tmp_path.iterdir()] == [checkpoint.TORCH_NAME]
    assert checkpoint.load(tmp_path, {"box": Box()}).step == 1


def test_files_of_a_save_that_failed_change_nothing_and_take_no_room(tmp_path):
    checkpoint.save(tmp_path, 1, {"folder": Folder("whole"), "box": Box(1)})
    there = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError):
        checkpoint.save(tmp_path, 2, {"folder": Folder("torn"), "box": Box(object())})
    assert sorted(tmp_path.rglob("*")) == there
    kept = Folder()
    assert checkpoint.load(tmp_path, {"folder": kept, "box": Box()}).step == 1
    assert kept.text == "whole"


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_a_wrapped_model_is_kept_as_what_it_wraps(wrap, tmp_path):
    model = network()["model"]
    path = checkpoint.save(tmp_path, 1, {"model": wrap(model)})
    plain = network()["model"]
    plain.load_state_dict(torch.load(path, weights_only=True)["objects"]["model"])
    wrapped = network()["model"]
    checkpoint.load(tmp_path, {"model": wrap(wrapped)})
    for mine, *theirs in zip(model.parameters(), plain.parameters(), wrapped.parameters(), strict=True):
        assert all(torch.equal(mine, other) for other in theirs)


def test_a_generator_goes_on_where_it_was(tmp_path):
    generator = torch.Generator().manual_seed(5)
    torch.rand(3, generator=generator)
    checkpoint.save(tmp_path, 1, {"generator": generator})
    expected = torch.rand(3, generator=generator)
    fresh = torch.Generator()
    checkpoint.load(tmp_path, {"generator": fresh})
    assert torch.equal(torch.rand(3, generator=fresh), expected)
