"""Knobs of training speed, and effective batches that do not fit the device."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import greyhound as gh
from greyhound.deploy import Accumulation, TrainingSpeed, find_micro_batch
from greyhound.errors import SpaceError, StudyError

torch.set_num_threads(1)


def network(*middle):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), *middle, nn.ReLU(), nn.Linear(16, 3))


def gradients(model):
    return [parameter.grad.clone() for parameter in model.parameters()]


class Device:
    """A loss on a device that holds so many rows; it counts how often it was tried."""

    def __init__(self, rows):
        self.rows = rows
        self.tried = []

    def __call__(self, output):
        self.tried.append(len(output))
        if len(output) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return output.square().mean()


@pytest.mark.parametrize("micro", [1, 3, 5, 10])
def test_accumulated_gradients_are_those_of_the_whole_batch(micro):
    inputs, targets = torch.randn(10, 8), torch.randint(3, (10,))
    whole, parts = network(), network()
    nn.functional.cross_entropy(whole(inputs), targets).backward()
    plan = Accumulation(10, micro)
    count = 0
    for share, (some, wanted) in plan.split(inputs, targets):
        (share * nn.functional.cross_entropy(parts(some), wanted)).backward()
        count += 1
    assert count == plan.steps
    for mine, theirs in zip(gradients(parts), gradients(whole), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_the_largest_half_that_fits_is_found_once_and_kept(tmp_path):
    device, options = Device(20), {"cache": tmp_path / "deeper" / "found.json"}
    model, inputs = network(), torch.randn(2, 8)
    assert find_micro_batch(model, inputs, device, 100, **options) == Accumulation(100, 13)
    assert device.tried == [100, 50, 25, 13]
    assert find_micro_batch(model, inputs, device, 100, **options) == Accumulation(100, 13)
    assert find_micro_batch(model, inputs, device, 13, **options).steps == 1
    assert len(device.tried) == 4
    assert (
        find_micro_batch(model, inputs, device, 16, **options).micro_batch == 16
    )  # between what fits and what does not
    assert device.tried[4:] == [16]
    assert all(parameter.grad is None for parameter in model.parameters())
    other = nn.Sequential(nn.Linear(8, 17), nn.Linear(17, 3))
    find_micro_batch(other, inputs, device, 8, **options)
    assert device.tried[5:] == [8], "another model is another question"


def test_batch_norm_is_accumulated_only_when_asked_for(tmp_path):
    options = {"cache": tmp_path / "found.json"}
    model, inputs = network(nn.BatchNorm1d(16)), torch.randn(2, 8)
    assert find_micro_batch(model, inputs, Device(64), 64, **options).steps == 1
    with pytest.raises(StudyError, match="BatchNorm in micro-batches of 4"):
        find_micro_batch(model, inputs, Device(4), 16, cache=tmp_path / "other.json")
    found = find_micro_batch(model, inputs, Device(4), 16, cache=tmp_path / "third.json", allow_batch_norm=True)
    assert found == Accumulation(16, 4)


def test_looking_for_a_batch_leaves_the_statistics_of_batch_norm_as_they_were(tmp_path):
    model = network(nn.BatchNorm1d(16))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    find_micro_batch(model, torch.randn(2, 8), Device(64), 64, cache=tmp_path / "found.json")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_other_errors_and_a_row_that_does_not_fit_are_raised(tmp_path):
    def wrong(output):
        raise RuntimeError("shapes cannot be multiplied")

    options = {"cache": tmp_path / "found.json"}
    with pytest.raises(RuntimeError, match="shapes"):
        find_micro_batch(network(), torch.randn(2, 8), wrong, 4, **options)
    with pytest.raises(torch.OutOfMemoryError):
        find_micro_batch(network(), torch.randn(2, 8), Device(0), 4, **options)
    with pytest.raises(StudyError, match="batch_size"):
        find_micro_batch(network(), torch.randn(2, 8), Device(9), 0, **options)


def test_a_real_want_of_memory_is_a_limit_too(tmp_path):
    program = """
import pathlib, resource, torch
from torch import nn
from greyhound.deploy import find_micro_batch
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(16, 4096), nn.ReLU(), nn.Linear(4096, 1))
model(torch.randn(4, 16)).mean().backward()
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20,) * 2)
found = find_micro_batch(model, torch.randn(2, 16), lambda out: out.mean(), 2**16, cache=pathlib.Path("found.json"))
assert 2**8 <= found.micro_batch <= 2**14, found
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


def test_the_knobs_go_into_a_space_with_defaults():
    speed = TrainingSpeed(compile=True, loader_workers=(0, 2))
    space = gh.Space(**speed.parameters())
    assert space.default() == {"batch_size": 64, "precision": "fp32", "compile": False, "loader_workers": 0}
    assert TrainingSpeed(batch_size=(32,), precision=("bf16",)).parameters() == {}
    with pytest.raises(SpaceError, match="unknown precision 'fp8'"):
        TrainingSpeed(precision=("fp8",))


def test_a_configuration_sets_precision_loader_and_compilation():
    speed = TrainingSpeed(batch_size=(4, 8), loader_workers=(0, 1))
    model, inputs = network(), torch.randn(4, 8)
    with speed.autocast({"precision": "bf16"}, "cpu"):
        assert model(inputs).dtype is torch.bfloat16
    with speed.autocast({"precision": "fp32"}, "cpu"):
        assert model(inputs).dtype is torch.float32
    assert not speed.scaler({"precision": "bf16"}, "cpu").is_enabled()
    assert speed.scaler({"precision": "fp16"}, "cpu").is_enabled()
    loader = speed.loader(torch.utils.data.TensorDataset(inputs), {"batch_size": 4, "loader_workers": 0}, shuffle=False)
    assert torch.equal(next(iter(loader))[0], inputs)
    assert speed.prepare(model, {}) is model
    compiled = speed.prepare(model, {"compile": True})
    assert {id(each) for each in compiled.parameters()} == {id(each) for each in model.parameters()}


@pytest.mark.gpu
def test_a_real_want_of_gpu_memory_is_a_limit(tmp_path):
    model = nn.Sequential(nn.Linear(64, 16384), nn.ReLU(), nn.Linear(16384, 1)).cuda()
    free, _ = torch.cuda.mem_get_info()
    rows = 2 ** (free // (4 * 16384) - 1).bit_length()  # one activation alone is larger than what is free
    found = find_micro_batch(model, torch.randn(2, 64), lambda out: out.mean(), rows, cache=tmp_path / "found.json")
    assert 1 < found.steps <= 16
    for share, (inputs,) in found.split(torch.randn(found.micro_batch, 64, device="cuda")):
        (share * model(inputs).mean()).backward()


@pytest.mark.gpu
def test_bf16_and_compilation_are_knobs_on_a_gpu():
    speed = TrainingSpeed(compile=True)
    model, inputs = network().cuda(), torch.randn(64, 8, device="cuda")
    compiled = speed.prepare(model, {"compile": True})
    with speed.autocast({"precision": "bf16"}, "cuda:0"):
        assert compiled(inputs).dtype is torch.bfloat16
    assert torch.allclose(compiled(inputs), model(inputs), atol=1e-4)
