"""What a model costs, counted and measured."""

import pytest
import torch
from torch import nn

from greyhound.deploy import Compression, latencies, load, measure, save
from greyhound.errors import StudyError

torch.set_num_threads(1)


def network(width=64):
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 4))


def quick(model, inputs, **options):
    return measure(model, inputs, threads=1, min_run_time_s=0.001, **options)


def test_sizes_and_operations_are_exact():
    found = quick(network(), torch.zeros(3, 8))
    assert found.parameters == 8 * 64 + 64 + 64 * 4 + 4
    assert found.flops == 2 * (8 * 64 + 64 * 4)
    assert 4 * found.parameters < found.bytes < 4 * found.parameters + 4000


@pytest.mark.parametrize("exported", [False, True])
def test_operations_of_8_bit_layers_count_like_others(exported, tmp_path):
    rows = torch.zeros(2, 8)
    for kind in ("int8-weight-only", "int8-dynamic"):
        model = Compression(quantize=[kind]).apply(network(), {}, rows)
        model = load(save(model, rows, tmp_path / f"{kind}.pt2")) if exported else model
        assert quick(model, rows).flops == quick(network(), rows).flops


def test_a_weight_that_layers_share_counts_once_in_a_saved_model_too(tmp_path):
    embedding, head = nn.Embedding(10, 8), nn.Linear(8, 10)
    head.weight = embedding.weight
    model, rows = nn.Sequential(embedding, nn.Linear(8, 8), head), torch.zeros(2, 3, dtype=torch.long)
    loaded = load(save(model, rows, tmp_path / "tied.pt2"))
    assert quick(model, rows).parameters == quick(loaded, rows).parameters == 10 * 8 + 10 + 8 * 8 + 8
    quantised = Compression(quantize=["int8-weight-only"]).apply(network(), {}, torch.zeros(2, 8))
    assert quick(quantised, torch.zeros(2, 8)).parameters == quick(network(), torch.zeros(2, 8)).parameters


@pytest.mark.parametrize("exported", [False, True])
def test_operations_inside_of_attention_and_recurrent_layers_count(exported, tmp_path):
    length, width, hidden = 6, 8, 16
    projections, products = 4 * length * width**2, 2 * length**2 * width
    encoder = nn.TransformerEncoderLayer(width, 2, hidden, batch_first=True).eval()
    recurrent = nn.LSTM(width, hidden, batch_first=True).eval()
    rows = torch.zeros(2, length, width)
    if exported:
        encoder, recurrent = (
            load(save(model, rows, tmp_path / f"{at}.pt2")) for at, model in enumerate((encoder, recurrent))
        )
    assert quick(encoder, rows).flops == 2 * (projections + products + 2 * length * width * hidden)
    assert quick(recurrent, rows).flops == 2 * length * 4 * hidden * (width + hidden)
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_peak_of_memory_is_weights_inputs_and_the_largest_pair_of_activations():
    found = quick(network(), torch.zeros(1, 8), batch_sizes=[1000])
    weights, inputs, hidden = 4 * found.parameters, 4 * 1000 * 8, 4 * 1000 * 64
    assert found.peak_memory_bytes == weights + inputs + 2 * hidden  # before and after the ReLU


def test_the_same_model_has_the_same_peak_whatever_was_measured_before():
    model, inputs = network(), torch.zeros(5, 8)
    assert quick(model, inputs).peak_memory_bytes == quick(model, inputs).peak_memory_bytes


def test_every_batch_size_is_timed():
    found = quick(network(), torch.zeros(1, 8), batch_sizes=[64, 1])
    assert [each.batch_size for each in found.latency] == [1, 64]
    assert found.latency_ms == found.latency[0].median_ms > 0
    assert found.throughput == pytest.approx(64_000 / found.latency[-1].median_ms)
    assert found.metrics()["latency_ms"] == found.latency_ms
    assert (found.device, found.threads) == ("cpu", 1)
    assert "batch of 64" in str(found)


def test_latencies_are_taken_in_turns():
    order = []

    class Named(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, x):
            assert x.shape == (4, 8)
            assert not torch.is_grad_enabled()
            order.append(self.name)
            for _ in range(2000 if self.name == "slow" else 20):
                x = x + 1
            return x

    found = latencies([Named("slow"), Named("quick")], torch.zeros(1, 8), batch_size=4, threads=1, turns=5)
    turns = [name for name, before in zip(order, [None, *order], strict=False) if name != before]
    assert turns == ["slow", "quick"] * (len(turns) // 2)
    assert len(turns) // 2 >= 5
    assert found[0].median_ms > found[1].median_ms > 0
    assert found[0].throughput == pytest.approx(4000 / found[0].median_ms)


def test_a_training_step_leaves_no_gradients_and_the_mode_as_it_was():
    model = network().train()
    found = quick(model, torch.zeros(2, 8), loss=lambda output: output.square().mean())
    assert found.train_step.batch_size == 32
    assert "training step" in str(found)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_is_measured_stays_as_it_was(tmp_path):
    model, inputs = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Dropout()).train(), torch.randn(5, 8)
    model[1].eval()  # frozen, as in transfer learning
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quick(model, inputs, loss=lambda output: output.square().mean())
    latencies([model, model], inputs, threads=1, turns=2)
    save(model, inputs, tmp_path / "model.pt2")
    assert [layer.training for layer in model] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_tuples_and_dicts_of_inputs_are_arguments():
    class Sum(nn.Module):
        def forward(self, a, b):
            assert len(a) == len(b)
            return a + b

    inputs = (torch.zeros(2, 3), torch.zeros(2, 3))
    assert quick(Sum(), inputs).parameters == 0
    assert quick(Sum(), {"a": inputs[0], "b": inputs[1]}).flops == 0


@pytest.mark.parametrize("wrong", [{"batch_sizes": 4}, {"batch_sizes": [1.5]}, {"batch_sizes": [True]}, {"threads": 0}])
def test_sizes_and_threads_are_whole_numbers(wrong):
    with pytest.raises(StudyError, match=f"measure: {next(iter(wrong))} must be .*whole number"):
        measure(network(), torch.zeros(2, 8), **wrong)
    with pytest.raises(StudyError, match="latencies: batch_size must be a whole number"):
        latencies([network()], torch.zeros(2, 8), batch_size=0)
    with pytest.raises(StudyError, match="one model or more"):
        latencies([], torch.zeros(2, 8))


def test_what_cannot_be_measured_is_told():
    with pytest.raises(StudyError, match="batch_sizes"):
        measure(network(), torch.zeros(1, 8), batch_sizes=[0])
    with pytest.raises(StudyError, match="first dimension"):
        measure(network(), torch.tensor(1.0))


@pytest.mark.gpu
def test_on_a_gpu_time_and_memory_are_the_devices():
    found = measure(network(4096).cuda(), torch.zeros(1, 8), batch_sizes=[1, 1024], loss=lambda out: out.mean())
    assert found.device == torch.cuda.get_device_name()
    assert found.peak_memory_bytes >= 4 * found.parameters + 2 * 4 * 1024 * 4096
    assert found.latency_ms > 0
    assert found.train_step.median_ms > found.latency[-1].median_ms
