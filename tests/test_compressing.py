"""A trained model made small at no more than a stated loss: the study, the choice, the command."""

import os
import signal
import sys
import textwrap
from dataclasses import replace

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from greyhound import compressing
from greyhound.cli.app import app
from greyhound.compressing import Subject, compress
from greyhound.deploy import Compression, load
from greyhound.deploy.footprint import Timing
from greyhound.errors import EvaluationError, MissingExtraError, StudyError
from greyhound.space import Float
from greyhound.study import Study

PROGRAM = """
import torch
from torch import nn

torch.set_num_threads(1)
DATA = torch.randn(256, 16, generator=torch.Generator().manual_seed(0))
LABELS = (DATA[:, 0] > 0).long()

def train(model, steps):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(DATA), LABELS).backward()
        optimizer.step()

def model():
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 2))
    train(made, 60)
    return made

def example_inputs():
    return DATA[:4]

def accuracy(model):
    model.eval()
    return (model(DATA).argmax(1) == LABELS).float().mean().item()

def fine_tune(model):
    train(model, 10)

def test(model):
    return accuracy(model) - 0.5
"""
QUIET = {"progress": False, "workers": "serial", "sampler": "random"}


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "subject_of_test.py"
    path.write_text(textwrap.dedent(PROGRAM))
    return path


def test_the_smallest_that_keeps_the_accuracy_is_chosen_saved_and_measured_as_it_opens(program, tmp_path):
    subject = Subject.from_file(program)
    found = compress(subject, max_drop="2%", budget="4 trials", output=tmp_path / "small.pt2", **QUIET)
    assert found.before.params == {"prune": 0.0, "quantize": "none"}
    metrics = found.after.metrics
    assert metrics["bytes"] == found.path.stat().st_size < found.before.metrics["bytes"]
    assert metrics["accuracy"] == subject.accuracy(load(found.path)) >= found.before.metrics["accuracy"] - 0.02
    kept = [
        trial for trial in found.study.trials if trial.metrics["accuracy"] >= subject.accuracy(subject.model) - 0.02
    ]
    assert metrics["bytes"] == min(trial.metrics["bytes"] for trial in kept)
    assert found.test == (found.before.metrics["accuracy"] - 0.5, metrics["accuracy"] - 0.5)
    assert found.after.number in {trial.number for trial in found.front}
    assert any("times less" in line for line in found.lines())


def test_no_model_is_written_over_a_study(program, tmp_path):
    other = Study({"x": Float(0, 1)}, minimize="loss", storage=tmp_path / "other.db")
    other.enqueue({"x": 0.5})
    other.close()
    with pytest.raises(StudyError, match=r"other\.db: cannot be written: it is a database"):
        compress(Subject.from_file(program), max_drop="2%", budget="4 trials", output=tmp_path / "other.db", **QUIET)
    assert Study.load(tmp_path / "other.db").history.queue


def test_the_fewest_operations_are_not_those_that_8_bits_hide_and_what_grows_is_told_as_more():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))

    def accuracy(candidate):
        return 0.9

    found = compress(
        Subject(model, torch.randn(2, 64), accuracy),
        minimize="flops",
        compression=Compression(quantize=("none", "int8-dynamic")),
        budget="5 trials",
        **QUIET,
    )
    assert min(trial.metrics["flops"] for trial in found.study.trials) > 0
    most = max(found.study.trials, key=lambda trial: trial.metrics["bytes"])
    assert most.params["quantize"] == "int8-dynamic"  # a small model's program outweighs what 8 bits save
    told = next(line for line in replace(found, after=most).lines() if line.startswith("bytes"))
    factor = most.metrics["bytes"] / found.before.metrics["bytes"]
    assert told.endswith(f"{factor:.1f} times more")


def test_a_model_that_nothing_may_be_done_to_without_loss_is_not_replaced():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    size = sum(parameter.numel() for parameter in model.parameters())

    def accuracy(candidate):
        return float(sum(parameter.numel() for parameter in candidate.parameters()) == size)

    found = compress(
        Subject(model, torch.randn(2, 8), accuracy),
        compression=Compression(prune=(0.0, 0.6), quantize=("none",)),
        budget="2 trials",
        **QUIET,
    )
    assert found.after is None
    assert "allow a larger drop" in found.lines()[0]


@pytest.mark.parametrize(("width", "chosen"), [(2, None), (256, {"quantize": "bf16"})])
def test_what_is_smaller_and_loses_just_what_it_may_is_chosen(width, chosen):
    def accuracy(model):
        return 0.7 if next(model.parameters()).dtype is torch.bfloat16 else 0.8

    subject = Subject(nn.Sequential(nn.Linear(256, width)), torch.randn(2, 256), accuracy)
    compression = Compression(prune=None, quantize=("bf16", "none"))
    found = compress(subject, max_drop=0.1, compression=compression, budget="2 trials", **QUIET)
    assert [trial.params["quantize"] for trial in found.study.trials] == ["none", "bf16"]
    assert (found.after.params if found.after is not None else None) == chosen


@pytest.mark.parametrize(
    ("missing", "wanted"),
    [
        ("torch_pruning", {}),
        ("torchao.quantization", {"prune": None, "quantize": ("none", "int8-dynamic")}),
        ("peft", {"prune": None, "rank": (0.5, 1.0), "lora_rank": (0, 4), "quantize": ("none",)}),
    ],
)
def test_a_library_for_what_may_be_done_is_asked_for_before_anything_is_measured(missing, wanted, monkeypatch):
    def accuracy(model):
        raise AssertionError("it was measured")

    monkeypatch.setitem(sys.modules, missing, None)
    subject = Subject(nn.Linear(8, 2), torch.randn(2, 8), accuracy)
    with pytest.raises(MissingExtraError, match=r"which is not installed: pip install 'greyhound-tune\[deploy\]'"):
        compress(subject, compression=Compression(**wanted), budget="3 trials", **QUIET)


def test_where_every_compression_fails_it_is_told_why():
    def fine_tune(model):
        raise ValueError("no data for fine-tuning")

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    compression = Compression(prune=(0.0, 0.8), quantize=("none",))
    subject = Subject(model, torch.randn(2, 8), lambda candidate: 1.0, fine_tune)
    found = compress(subject, compression=compression, budget="3 trials", **QUIET)
    assert "all 2 failed, the last so: ValueError: no data for fine-tuning" in found.lines()[0]


def test_several_costs_make_a_front_and_shrink_asks_for_the_most_accurate_that_is_small(program):
    options = {"minimize": ["bytes", "latency"], "shrink": {"parameters": 1.3}, "max_drop": 1.0, "budget": "4 trials"}
    found = compress(Subject.from_file(program), **options, **QUIET)
    small = [trial for trial in found.study.trials if 1.3 * trial.metrics["parameters"] <= 256 * 19 + 2]
    assert small
    assert found.after.metrics["accuracy"] == max(trial.metrics["accuracy"] for trial in small)
    assert [objective.metric for objective in found.study.settings.objectives] == ["accuracy", "bytes", "latency_ms"]
    sizes = [trial.metrics["bytes"] for trial in found.front]
    assert sizes == sorted(sizes)
    assert {found.before.number, *(trial.number for trial in (*small, *found.front))} == set(found.timings)
    assert found.latency_ms(found.after) == found.timings[found.after.number].median_ms
    told = next(line for line in found.lines() if line.startswith("latency_ms"))
    assert f"{found.latency_ms(found.before):12,.4g}" in told
    numbers = {trial.number for trial in (found.before, found.after, *found.front)}
    assert [trial.number for trial in found.shown] == sorted(
        numbers, key=lambda number: found.study.trials[number].metrics["bytes"]
    )
    rows = found.table(lambda model: 0.25)[2:]
    assert len(rows) == len(numbers)
    assert all("| 0.25 |" in row for row in rows)
    assert [row for row in rows if row.endswith(", as it was |")] == [rows[found.shown.index(found.before)]]
    assert f"| {found.after.metrics['accuracy']:.4g} |" in found.table()[2 + found.shown.index(found.after)]


def test_what_has_to_be_faster_is_judged_by_times_taken_in_turns(program, monkeypatch):
    ratios = {}

    def slower(models, *_, **__):
        ratios.update({at: 1.0 + 0.1 * at for at in range(len(models))})
        return tuple(Timing(1, ratio, 0.0, 1e3 / ratio) for ratio in ratios.values())

    monkeypatch.setattr(compressing, "latencies", slower)
    options = {"minimize": ["bytes", "latency"], "shrink": {"latency": 1.01}, "max_drop": 1.0, "budget": "3 trials"}
    found = compress(Subject.from_file(program), **options, **QUIET)
    assert len(ratios) > 1
    assert found.after is None


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        return x + self.layer(x)


def test_blocks_may_go_where_a_model_has_them():
    model = nn.Sequential(nn.Sequential(Block(), Block(), Block()), nn.Linear(8, 2))
    found = compress(Subject(model, torch.randn(2, 8), lambda candidate: 1.0), budget="5 trials", **QUIET)
    assert found.before.params == {"prune": 0.0, "depth": 1.0, "quantize": "none"}
    assert len({trial.params["depth"] for trial in found.study.trials}) > 1


def test_a_model_that_was_trained_again_is_not_taken_for_the_one_compressed_before(program, tmp_path):
    subject = Subject.from_file(program)
    options = {"budget": "2 trials", "storage": tmp_path / "kept.db", **QUIET}
    first = compress(subject, **options)
    assert compress(Subject.from_file(program), **options).before == first.before
    with torch.no_grad():
        subject.model[0].bias += 1e-3
    with pytest.raises(StudyError, match="other weights"):
        compress(subject, **options)
    assert compress(subject, **options, name="again").before != first.before


def test_wrong_arguments_are_told(program, tmp_path):
    subject = Subject.from_file(program)
    with pytest.raises(StudyError, match="cannot minimize 'colour'"):
        compress(subject, minimize="colour")
    with pytest.raises(StudyError, match="max_drop is a number or a percentage"):
        compress(subject, max_drop="little")
    with pytest.raises(StudyError, match="there is no folder"):
        compress(subject, output=tmp_path / "nowhere" / "small.pt2")
    with pytest.raises(StudyError, match="bytes=4; got bytes=nan"):
        compress(subject, shrink={"bytes": float("nan")})
    with pytest.raises(StudyError, match="threads must be at least 1"):
        compress(subject, threads=0)
    for shut_out in ({"prune": (0.1, 0.5)}, {"rank": (0.1, 0.5)}, {"quantize": ("bf16", "int8-weight-only")}):
        with pytest.raises(StudyError, match="the first trial is the model as it is"):
            compress(subject, compression=Compression(**shut_out))
    with pytest.raises(StudyError, match="there is nothing to try"):
        compress(subject, compression=Compression(prune=None, quantize=("none",)))
    with pytest.raises(StudyError, match="no stack of blocks"):
        compress(subject, compression=Compression(depth=(0.5, 1.0)))
    for given in (float("nan"), "good"):
        with pytest.raises(EvaluationError, match="has to give a finite number"):
            compress(replace(subject, accuracy=lambda model, given=given: given))
    (tmp_path / "empty_subject.py").write_text("x = 1\n")
    with pytest.raises(EvaluationError, match=r"no function model\(\)"):
        Subject.from_file(tmp_path / "empty_subject.py")


def test_the_command_writes_the_model_beside_the_script(program, tmp_path):
    options = ["--max-drop", "5%", "--budget", "3 trials", "--workers", "1", "--quiet"]
    options += ["--minimize", "bytes", "--minimize", "latency", "--quantize", "int8-weight-only"]
    result = CliRunner().invoke(app, ["compress", str(program), *options])
    assert result.exit_code == 0, result.output
    assert "before" in result.output
    assert "| kilobytes | latency, ms |" in result.output
    assert load(tmp_path / "subject_of_test-compressed.pt2")(torch.randn(3, 16)).shape == (3, 2)
    history = Study.load(tmp_path / "subject_of_test-compress.db").history
    assert history.trials[0].params == {"prune": 0.0, "quantize": "none"}


def test_ctrl_c_before_the_model_was_measured_is_let_through_and_the_same_call_goes_on(program, tmp_path):
    subject = Subject.from_file(program)
    calls = []

    def accuracy(model):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            raise RuntimeError("what it had started was interrupted too")
        return subject.accuracy(model)

    options = {"max_drop": 0.2, "budget": "3 trials", "storage": tmp_path / "study.db", **QUIET}
    with pytest.raises(KeyboardInterrupt):
        compress(replace(subject, accuracy=accuracy), **options)
    assert compress(subject, **options).before.number == 0


def test_ctrl_c_later_is_told_and_the_same_command_goes_on(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    interrupting = """
        import os, signal
        CALLS = []

        def accuracy(model, at_once=accuracy):
            CALLS.append(1)
            if len(CALLS) == 3 and not os.path.exists("interrupted"):
                open("interrupted", "w").close()
                os.kill(os.getpid(), signal.SIGINT)
            return at_once(model)
    """
    program.write_text(program.read_text() + textwrap.dedent(interrupting))
    command = ["compress", str(program), "--max-drop", "20%", "--budget", "3 trials", "--workers", "serial", "--quiet"]
    stopped = CliRunner().invoke(app, command)
    assert stopped.exit_code == 130, stopped.output
    assert "before" in stopped.output
    assert "interrupted; the same command goes on from here." in stopped.output
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "interrupted" not in done.output
    assert len(Study.load(tmp_path / "subject_of_test-compress.db").trials) == 3
