"""Compression as hyperparameters: what each does to a model, and that what is saved opens without Greyhound."""

import subprocess
import sys

import pytest
import torch
import transformers
from torch import nn

import greyhound as gh
from greyhound.deploy import Compression, latencies, load, measure, save
from greyhound.deploy.compression import QUANTIZATIONS, factorise, prune, quantize
from greyhound.deploy.depth import shorten, stacks
from greyhound.deploy.footprint import call
from greyhound.deploy.lora import fine_tune_by_lora
from greyhound.errors import EvaluationError, SpaceError

torch.set_num_threads(1)


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    ).eval()  # fmt: skip


class Attention(nn.Module):
    def __init__(self, width=32, heads=4):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, -1))
        return self.head(x.mean(1))


class Block(nn.Module):
    """A residual block that adds so many times what its layers make."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale
        self.qkv = nn.Linear(8, 8)

    def forward(self, x):
        return x + self.scale * self.qkv(x)


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(128), nn.Linear(128, 256), nn.GELU(), nn.Linear(256, 128))

    def forward(self, x):
        return x + self.layers(x)


def deep(*scales):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Sequential(*map(Block, scales)), nn.Linear(8, 3)).eval()


ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
IMAGES = torch.randn(4, 1, 12, 12, generator=torch.Generator().manual_seed(1))


def test_the_knobs_go_into_a_space_whose_default_is_the_model_as_it_is():
    options = {"depth": (0.5, 1.0), "rank": (0.1, 1.0), "lora_rank": (0, 4), "quantize": QUANTIZATIONS}
    compression = Compression(**options, prefix="c_")
    space = gh.Space(**compression.parameters(), lr=gh.Float(1e-4, 1e-1, log=True, default=1e-3))
    off = {"c_prune": 0.0, "c_depth": 1.0, "c_rank": 1.0, "c_lora_rank": 0, "c_quantize": "none"}
    assert space.default() == {**off, "lr": 1e-3}
    model = convolutional()
    with torch.no_grad():
        assert torch.equal(compression.apply(model, space.default(), IMAGES)(IMAGES), model(IMAGES))
    assert Compression(prune=None, quantize=("bf16",)).parameters() == {}


def test_wrong_ranges_and_kinds_are_refused():
    with pytest.raises(SpaceError, match="prune is a range within"):
        Compression(prune=(0.5, 1.0))
    with pytest.raises(SpaceError, match="depth is a range within"):
        Compression(depth=(0.0, 1.0))
    with pytest.raises(SpaceError, match="lora_rank has ranks of at least 0"):
        Compression(lora_rank=(-1, 4))
    with pytest.raises(SpaceError, match="unknown quantisation 'int3'"):
        Compression(quantize=("int3",))


def test_pruning_removes_the_share_of_channels_and_keeps_inputs_and_outputs():
    model = convolutional()
    found = Compression().apply(model, {"prune": 0.5}, IMAGES)
    assert [layer.out_channels for layer in found if isinstance(layer, nn.Conv2d)] == [8, 16]
    assert [layer.out_features for layer in found if isinstance(layer, nn.Linear)] == [32, 10]
    assert found(IMAGES).shape == (4, 10)
    assert model[0].out_channels == 16, "the model itself stays"


@pytest.mark.parametrize(
    ("share", "widths"), [(0.5, [32, 4, 1, 1]), (0.8, [12, 1, 1, 1]), (0.95, [3, 1, 1, 1]), (0.99, [1, 1, 1, 1])]
)
def test_of_narrow_layers_one_channel_stays(share, widths):
    torch.manual_seed(0)
    layers = [nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 1)]
    model = nn.Sequential(*layers, nn.Linear(1, 5))
    prune(model, share, ROWS)
    assert [layer.out_features for layer in model if isinstance(layer, nn.Linear)] == [*widths, 5]


def test_of_narrow_heads_one_channel_stays():
    inputs = torch.randn(2, 7, 32)
    model = Attention()
    prune(model, 0.95, inputs, heads={"qkv": 4}, keep=["out"])
    assert (model.qkv.out_features, model(inputs).shape) == (3 * 4, (2, 5))


def test_frozen_layers_are_pruned_like_others_and_stay_frozen():
    model = convolutional()
    model[:6].requires_grad_(False)
    found = Compression().apply(model, {"prune": 0.5}, IMAGES)
    assert [layer.out_channels for layer in found if isinstance(layer, nn.Conv2d)] == [8, 16]
    assert [parameter.requires_grad for parameter in found.parameters()] == [False] * 6 + [True] * 4


class Heads(nn.Module):
    """Two outputs, the first of them squashed where that is asked for."""

    def __init__(self):
        super().__init__()
        self.body, self.kind, self.box = nn.Linear(4, 16), nn.Linear(16, 6), nn.Linear(16, 4)

    def forward(self, x, squashed=False):
        body = self.body(x).relu()
        box = self.box(body)
        return {"box": box.sigmoid() if squashed else box, "kind": self.kind(body)}


def test_every_output_keeps_its_width():
    found = Compression().apply(Heads(), {"prune": 0.5}, ROWS)
    assert [layer.out_features for layer in found.children()] == [8, 6, 4]
    with pytest.raises(EvaluationError, match=r"outputs would have the shapes .* in keep="):
        Compression().apply(Heads(), {"prune": 0.5}, {"x": ROWS, "squashed": True})
    found = Compression().apply(Heads(), {"prune": 0.5}, {"x": ROWS, "squashed": True}, keep=["box"])
    assert found.box.out_features == 4


def test_layers_may_keep_their_width():
    found = Compression().apply(convolutional(), {"prune": 0.5}, IMAGES, keep=["0"])
    assert [layer.out_channels for layer in found if isinstance(layer, nn.Conv2d)] == [16, 16]
    with pytest.raises(EvaluationError, match="no layer 'first'"):
        Compression().apply(convolutional(), {"prune": 0.5}, IMAGES, keep=["first"])


def test_heads_stay_alike_and_without_them_the_error_says_so():
    inputs = torch.randn(2, 7, 32)
    found = Compression().apply(Attention(), {"prune": 0.5}, inputs, heads={"qkv": 4}, keep=["out"])
    assert found.qkv.out_features == 3 * 16
    assert found(inputs).shape == (2, 5)
    with pytest.raises(EvaluationError, match="heads="):
        prune(Attention(heads=8), 0.3, inputs)


def test_the_blocks_that_change_their_input_least_go():
    model = deep(1.0, 0.01, 1.0, 0.02)
    names = shorten(model, 0.5, ROWS)
    assert [block.scale for block in model[1]] == [1.0, 1.0]
    assert (names["1.1.qkv"], names["1.2.qkv"], names["2"]) == (None, "1.1.qkv", "2")
    assert model(ROWS).shape == (6, 3)


def test_at_least_one_block_stays_and_blocks_that_change_the_shape_do():
    class Widen(nn.Module):
        def __init__(self, into, out):
            super().__init__()
            self.layer = nn.Linear(into, out)

        def forward(self, x):
            return self.layer(x)

    model = nn.Sequential(Widen(4, 8), Widen(8, 8), Widen(8, 8))
    shorten(model, 0.01, ROWS)
    assert [block.layer.out_features for block in model] == [8]
    other = deep(1.0, 1.0)
    shorten(other, 0.01, ROWS)
    assert len(other[1]) == 1


def test_names_of_heads_and_kept_layers_follow_their_layers_when_blocks_go():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(Residual() for _ in range(3))
            self.head = nn.Linear(32, 5)

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean(1))

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = Attention()
            self.attention.head = nn.Identity()
            self.attention.forward = None
            self.norm = nn.LayerNorm(32)

        def forward(self, x):
            inner, batch, length = self.attention, *x.shape[:2]
            q, k, v = inner.qkv(self.norm(x)).reshape(batch, length, 3, 4, -1).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            return x + inner.out(mixed.transpose(1, 2).reshape(batch, length, -1))

    torch.manual_seed(0)
    heads = {f"blocks.{at}.attention.qkv": 4 for at in range(3)}
    params, inputs = {"depth": 0.34, "prune": 0.5}, torch.randn(2, 7, 32)
    found = Compression(depth=(0.1, 1.0)).apply(Model(), params, inputs, heads=heads)
    assert len(found.blocks) == 1
    assert found.blocks[0].attention.qkv.out_features == 3 * 16
    with pytest.raises(EvaluationError, match=r"no layer 'blocks\.9'"):
        Compression(depth=(0.1, 1.0)).apply(Model(), params, inputs, heads=heads, keep=["blocks.9"])


def test_stacks_are_found_in_models_of_libraries_and_a_model_without_one_says_so():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    assert list(stacks(model)) == ["layers"]
    shorten(model, 0.4, torch.randn(2, 5, 16))
    assert len(model.layers) == 1
    assert stacks(convolutional()) == {}
    with pytest.raises(EvaluationError, match="no stack of blocks"):
        shorten(convolutional(), 0.5, IMAGES)


def test_adapters_alone_are_trained_and_then_are_part_of_the_weights():
    model = convolutional()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    asked = []

    def fine_tune(trained):
        free = [parameter for parameter in trained.parameters() if parameter.requires_grad]
        asked.append(sum(parameter.numel() for parameter in free))
        optimizer = torch.optim.Adam(free, lr=0.05)
        for _ in range(3):  # the first step moves B alone, which begins at zero
            optimizer.zero_grad()
            trained(IMAGES).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            asked.append(trained.eval()(IMAGES))

    found = fine_tune_by_lora(model, 2, fine_tune)
    convolutions, linears = 2 * (9 + 16) + 2 * (16 * 9 + 32), 2 * (128 + 64) + 2 * (64 + 10)
    assert asked[0] == convolutions + linears
    assert found.state_dict().keys() == before.keys()
    changed = found[7].weight.detach() - before["7.weight"]
    assert changed.abs().max() > 0
    assert torch.linalg.matrix_rank(changed, rtol=1e-4) == 2
    assert torch.equal(found[7].bias, before["7.bias"])
    assert all(parameter.requires_grad for parameter in found.parameters())
    with torch.no_grad():
        assert torch.allclose(found(IMAGES), asked[1], atol=1e-5)


class Tied(nn.Module):
    """A language model whose last layer has the weights of its embedding, and a layer that stands in two places."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(40, 32), nn.Linear(32, 40, bias=False)
        self.head.weight = self.embedding.weight
        again = nn.Linear(32, 32)
        self.body = nn.Sequential(again, nn.ReLU(), again, nn.Linear(32, 32))

    def forward(self, ids):
        return self.head(self.body(self.embedding(ids)))


class Grouped(nn.Module):
    """Layers in stacks whose names end alike, one of grouped channels, and attention of torch's own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(4, 8, 1), nn.Conv1d(8, 8, 3, padding=1, groups=8))
        self.rest = nn.Sequential(nn.BatchNorm1d(8), nn.TransformerEncoderLayer(6, 2, 64, batch_first=True))

    def forward(self, x):
        return self.rest(self.first(x[:, :, None].repeat(1, 1, 6)))


IDS = torch.arange(12).reshape(3, 4)


@pytest.mark.parametrize(("kind", "inputs"), [(Tied, IDS), (Grouped, ROWS)], ids=["tied", "grouped"])
def test_adapters_leave_the_outputs_that_fine_tuning_reached(kind, inputs):
    torch.manual_seed(0)
    reached = []

    def fine_tune(trained):
        optimizer = torch.optim.SGD([each for each in trained.parameters() if each.requires_grad], lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            trained.train()(inputs).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            reached.append(trained.eval()(inputs))

    model = kind().eval()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    found = fine_tune_by_lora(model, 3, fine_tune)
    with torch.no_grad():
        assert (found(inputs) - reached[0]).abs().max() < 1e-5 * reached[0].abs().max()
    assert any(not torch.equal(mine, theirs) for mine, theirs in zip(found.parameters(), before, strict=True))


def test_the_rank_of_adapters_is_a_knob_of_fine_tuning():
    counts = []

    def fine_tune(model):
        counts.append(sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad))

    compression = Compression(lora_rank=(0, 1, 4))
    for rank in (0, 1, 4):
        found = compression.apply(convolutional(), {"prune": 0.5, "lora_rank": rank}, IMAGES, fine_tune=fine_tune)
        assert type(found[7]) is nn.Linear
    assert counts[0] == sum(parameter.numel() for parameter in found.parameters())
    assert counts[2] == 4 * counts[1]
    Compression(lora_rank=(1,)).apply(convolutional(), {"prune": 0.5}, IMAGES, fine_tune=fine_tune)
    assert counts[3] == counts[1]


def test_low_rank_factors_are_the_best_of_their_rank():
    model = nn.Sequential(nn.Linear(40, 30))
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(30, 6) @ torch.randn(6, 40))
    x = torch.randn(8, 40)
    expected = model(x)
    factorise(model, 0.2)  # of rank 6, as the weight is
    assert [tuple(layer.weight.shape) for layer in model[0]] == [(6, 40), (30, 6)]
    assert torch.allclose(model(x), expected, atol=1e-4)


def test_factors_that_would_not_save_anything_are_left_whole():
    model = nn.Sequential(nn.Linear(40, 30))
    factorise(model, 0.9)
    assert type(model[0]) is nn.Linear


def test_factors_save_numbers_where_weights_are_tied_and_run_in_torchs_own_encoder():
    model = Tied()
    with torch.no_grad():
        expected = model(IDS)
        factorise(model, 0.1)
        assert type(model.body[3]) is nn.Sequential
        assert all(type(layer) is nn.Linear for layer in (model.head, model.body[0]))
        assert model(IDS).shape == expected.shape
    encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).requires_grad_(False).eval()
    inputs = torch.randn(2, 5, 32)
    factorise(encoder, 0.25)
    assert encoder(inputs).shape == inputs.shape
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_fine_tuning_comes_after_pruning_and_before_quantisation_and_only_then():
    seen = []

    def fine_tune(model):
        assert model.training
        seen.append(model[0].out_channels)
        assert all(parameter.dtype is torch.float32 for parameter in model.parameters())

    options = {"fine_tune": fine_tune}
    compression = Compression(quantize=QUANTIZATIONS)
    compression.apply(convolutional(), {"prune": 0.25, "quantize": "int8-weight-only"}, IMAGES, **options)
    compression.apply(convolutional(), {"prune": 0.0, "quantize": "bf16"}, IMAGES, **options)
    assert seen == [12]


@pytest.mark.parametrize(("kind", "smaller"), [("bf16", 0.6), ("int8-weight-only", 0.4), ("int8-dynamic", 0.4)])
def test_quantised_models_are_smaller_and_nearly_the_same(kind, smaller):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 8)).eval(), torch.randn(4, 256)
    before = measure(model, x, min_run_time_s=0.001)
    with torch.no_grad():
        expected = model(x)
        found = quantize(model, kind)
        assert found(x).dtype is torch.float32
        assert (found(x) - expected).abs().max() < 0.05 * expected.abs().max()
    assert measure(found, x, min_run_time_s=0.001).bytes < smaller * before.bytes


@pytest.mark.parametrize("kind", ["int8-weight-only", "int8-dynamic"])
def test_a_tied_weight_is_held_once_in_a_quantised_model_too(kind):
    made = quantize(Tied(), kind)
    assert made.head.weight is made.embedding.weight
    assert type(made.body[0].weight.data) is not torch.Tensor, "a layer in two places is one layer"
    assert made(IDS).shape == (3, 4, 40)


@pytest.mark.parametrize(
    "params", [{"prune": 0.5, "quantize": "int8-weight-only"}, {"rank": 0.25, "quantize": "bf16"}], ids=str
)
def test_a_saved_model_opens_without_greyhound_and_gives_the_same(tmp_path, params):
    made = Compression(rank=(0.1, 1.0), quantize=QUANTIZATIONS).apply(convolutional(), params, IMAGES)
    path = save(made, IMAGES, tmp_path / "model.pt2")
    with torch.no_grad():
        torch.save((IMAGES, made(IMAGES)), tmp_path / "pair.pt")
    program = """
import sys, torch
model = torch.export.load("model.pt2").module()
inputs, outputs = torch.load("pair.pt")
assert torch.allclose(model(inputs), outputs, atol=1e-2), (model(inputs) - outputs).abs().max()
assert model(inputs[:1].repeat(9, 1, 1, 1)).shape == (9, 10)
assert not any(name.startswith("greyhound") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=tmp_path)
    assert load(path).eval().train()(IMAGES).shape == (4, 10)


def test_the_file_holds_no_more_of_the_data_than_the_example(tmp_path):
    rows = torch.zeros(100_000, 16)
    path = save(nn.Sequential(nn.Linear(16, 2)), rows[:2], tmp_path / "model.pt2")
    assert path.stat().st_size < 100_000


def test_models_of_the_transformers_library_are_saved(tmp_path):
    options = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **options)).eval()
    ids = torch.randint(20, (4, 7))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    loaded = load(save(model, inputs, tmp_path / "model.pt2"))
    with torch.no_grad():
        few = {name: value[:3] for name, value in inputs.items()}
        assert torch.allclose(loaded(**few).logits, model(**few).logits, atol=1e-5)


class Masked(nn.Module):
    """Logits with a class that is ruled out, and what else a model may return."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x, shift=0):
        logits = self.layer(x + shift)
        logits = torch.cat([logits[:, :2], torch.full_like(logits[:, 2:], -torch.inf)], 1)
        return {"logits": logits, "class": logits.argmax(1), "nothing": None, "width": 3}


@pytest.mark.parametrize("kind", ["none", "bf16"])
@pytest.mark.parametrize("inputs", [(ROWS, ROWS), {"shift": ROWS, "x": ROWS}], ids=["positional", "named"])
def test_outputs_of_any_kind_and_infinite_ones_are_saved(tmp_path, inputs, kind):
    model = quantize(Masked(), kind)
    found = load(save(model, inputs, tmp_path / "model.pt2"))
    with torch.no_grad():
        made, expected = (call(each, inputs) for each in (found, model))
    assert torch.equal(made["class"], expected["class"])
    assert torch.allclose(made["logits"], expected["logits"])
    assert made["width"] == 3


def test_what_cannot_be_exported_is_told(tmp_path):
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(EvaluationError, match="cannot be exported"):
        save(Branch(), torch.randn(2, 3), tmp_path / "model.pt2")

    class Fixed(nn.Module):
        def forward(self, x):
            return x + x.new_ones(len(x), 1)

    with pytest.raises(EvaluationError, match=r"takes the 2 rows .* x\.shape\[0\]"):
        save(Fixed(), torch.randn(2, 3), tmp_path / "model.pt2")

    class Broken(nn.Module):
        def forward(self, x):
            raise NotImplementedError

    with pytest.raises(EvaluationError, match="cannot be exported: NotImplementedError"):
        save(Broken(), torch.randn(2, 3), tmp_path / "model.pt2")
    with pytest.raises(EvaluationError, match="two rows or more"):
        save(nn.Linear(4, 2), ROWS[:1], tmp_path / "model.pt2")


@pytest.mark.gpu
@pytest.mark.parametrize(
    "params",
    [{"quantize": "bf16"}, {"quantize": "int8-weight-only"}, {"depth": 0.5, "prune": 0.5, "rank": 0.3, "lora_rank": 2}],
    ids=str,
)
def test_every_knob_works_on_a_gpu_and_the_saved_model_stays_there(tmp_path, params):
    ranges = {"depth": (0.1, 1.0), "rank": (0.1, 1.0), "lora_rank": (0, 2)}
    model = (
        nn.Sequential(nn.Linear(64, 128), nn.Sequential(*(Wide() for _ in range(4))), nn.Linear(128, 8)).cuda().eval()
    )
    inputs = torch.randn(4, 64, device="cuda")

    def fine_tune(trained):
        trained(inputs).square().mean().backward()

    made = Compression(**ranges, quantize=QUANTIZATIONS).apply(model, params, inputs, fine_tune=fine_tune)
    loaded = load(save(made, inputs, tmp_path / "model.pt2"))
    with torch.no_grad():
        output = loaded(inputs)
        assert output.is_cuda
        assert torch.allclose(output, made(inputs), atol=1e-2)
    before, after = latencies([model, loaded], inputs, turns=3)
    assert before.median_ms > 0
    assert after.median_ms > 0


@pytest.mark.parametrize("params", [{"prune": 0.3}, {"quantize": "int8-weight-only"}])
def test_a_parametrised_layer_is_refused_in_a_sentence(params):
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 16)), nn.ReLU(), nn.Linear(16, 4))
    knobs = Compression(prune=(0.0, 0.5), quantize=("none", "int8-weight-only"))
    with pytest.raises(EvaluationError, match="compressed so: 0 has a parametrization, such as weight_norm; make"):
        knobs.apply(model, params, torch.zeros(2, 8))
