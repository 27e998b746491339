"""Pruning around recurrent layers and attention: what is left computes what the removed channels left of the model."""

import copy

import pytest
import torch
import transformers
from torch import nn

from greyhound.deploy.compression import prune
from greyhound.deploy.following import taken_apart
from greyhound.errors import EvaluationError

ROWS = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))


class Recurrent(nn.Module):
    """A recurrent layer between linear ones, of which its outputs and its last state are used."""

    def __init__(self, kind, **options):
        super().__init__()
        self.first, self.layer = nn.Linear(8, 16), kind(16, 12, batch_first=True, **options)
        width = 24 if options.get("bidirectional") else 12
        self.second, self.last = nn.Linear(width, 10), nn.Linear(10, 3)

    def forward(self, x):
        outputs, state = self.layer(self.first(x).relu())
        state = state[0] if isinstance(state, tuple) else state
        return self.last(self.second(outputs[:, -1]).relu()) + state.mean()


class Unrolled(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.first, self.cell, self.last = nn.Linear(8, 16), kind(16, 12), nn.Linear(12, 3)

    def forward(self, x):
        state = None
        for step in x.unbind(1):
            state = self.cell(self.first(step).relu(), state)
        return self.last(state[0] if isinstance(state, tuple) else state)


def silenced(model, pruned):
    """The model with zeros for the numbers that its pruned copy lacks; no number stands in a model twice."""
    made = copy.deepcopy(model)
    for name, parameter in made.named_parameters():
        parameter.detach().mul_(torch.isin(parameter, pruned.get_parameter(name)))
    return made


@pytest.mark.parametrize(
    "make",
    [
        lambda: Recurrent(nn.LSTM),
        lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True),
        lambda: Recurrent(nn.GRU, num_layers=2),
        lambda: Recurrent(nn.RNN, bidirectional=True),
        lambda: Unrolled(nn.LSTMCell),
        lambda: Unrolled(nn.GRUCell),
    ],
)
@pytest.mark.parametrize("share", [0.5, 0.75])
def test_recurrent_layers_keep_their_width_and_take_fewer_inputs(make, share):
    torch.manual_seed(0)
    model = make().double().eval()
    rows = ROWS.double()
    pruned = copy.deepcopy(model)
    prune(pruned, share, rows)
    layer = pruned.layer if isinstance(pruned, Recurrent) else pruned.cell
    assert (layer.input_size, layer.hidden_size) == (pruned.first.out_features, 12)
    assert pruned.first.out_features == round(16 * (1 - share))
    with torch.no_grad():
        assert torch.allclose(pruned(rows), silenced(model, pruned)(rows))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 32), nn.Linear(32, 3)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x):
        x = self.first(x)
        return self.last((x + self.attention(x, x, x, need_weights=False)[0]).mean(1))


@pytest.mark.parametrize(("share", "width"), [(0.3, 20), (0.5, 16), (0.95, 4)])
def test_every_head_of_torchs_attention_loses_as_many_channels(share, width):
    torch.manual_seed(0)
    model = Attention().eval()
    pruned = copy.deepcopy(model)
    prune(pruned, share, ROWS)
    assert (pruned.attention.embed_dim, pruned.first.out_features) == (width, width)
    rows = silenced(model, pruned).attention.in_proj_weight.detach().abs().sum(1) > 0
    assert rows.reshape(3, 4, 8).sum(2).unique().tolist() == [width // 4]
    assert pruned(ROWS).shape == (3, 3)


def test_heads_that_share_keys_end_in_a_sentence_that_says_what_to_keep():
    options = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 50}
    options |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 16}
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**options, use_cache=False)).eval()
    inputs = {"input_ids": torch.arange(6).reshape(2, 3)}
    with pytest.raises(EvaluationError, match=r"in a circle at model\.layers\..*self_attn\.q_proj.* in keep="):
        prune(copy.deepcopy(model), 0.5, inputs)
    names = [f"model.layers.{at}.self_attn.{kind}_proj" for at in range(2) for kind in "qkv"]
    prune(model, 0.5, inputs, keep=names)
    assert model.model.layers[0].mlp.gate_proj.out_features == 32
    assert model(**inputs).logits.shape == (2, 3, 50)


class OwnHeads(nn.Module):
    """Attention whose heads stay eight wide, so that narrower layers leave fewer of them, of mixed channels."""

    def __init__(self):
        super().__init__()
        self.first, self.q, self.k, self.v, self.out = (nn.Linear(32, 32) for _ in range(5))
        self.last = nn.Linear(32, 3)

    def forward(self, x):
        x = self.first(x)
        q, k, v = (each(x).view(len(x), x.shape[1], -1, 8).transpose(1, 2) for each in (self.q, self.k, self.v))
        made = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.last(x + self.out(made)).mean(1)


class Shuffled(nn.Module):
    """Convolutions whose channels are interleaved, as in ShuffleNet."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU())
        self.last = nn.Conv2d(16, 4, 1)

    def forward(self, x):
        made = torch.cat([self.first(x), self.second(x)], 1)
        mixed = made.reshape(len(x), 2, -1, *made.shape[2:]).transpose(1, 2).flatten(1, 2)
        return self.last(mixed).mean((2, 3))


class Unfolded(nn.Module):
    """A linear layer whose outputs become an image, as in a decoder; torch-pruning leaves it whole."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(5, 16), nn.Linear(16, 8 * 4 * 4)
        self.third, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, x):
        made = self.second(torch.relu(self.first(x))).view(-1, 8, 4, 4)
        return self.last(torch.relu(self.third(made)))


def test_channels_that_a_reshape_takes_apart_are_pruned_only_as_heads():
    rows = torch.randn(2, 5, 32)
    assert taken_apart(OwnHeads(), rows) == {"q": 32, "k": 32, "v": 32}
    told = r"mix channels up .*in keep=.* in heads=\. A reshape takes apart the channels of q, k, v\.$"
    with pytest.raises(EvaluationError, match=told):
        prune(OwnHeads(), 0.5, rows)
    pruned = OwnHeads()
    prune(pruned, 0.5, rows, keep=["q", "k", "v"])
    assert (pruned.first.out_features, pruned.q.in_features, pruned.q.out_features) == (16, 16, 32)
    assert pruned(rows).shape == (2, 3)


def test_shuffled_channels_are_seen_through_what_changes_none():
    images = torch.randn(2, 3, 6, 6)
    apart = taken_apart(Shuffled().eval(), images)
    assert apart == {"first.0": 8, "second.0": 8}
    with pytest.raises(EvaluationError, match=r"A reshape takes apart the channels of first\.0, second\.0\."):
        prune(Shuffled().eval(), 0.5, images)


def test_what_torch_pruning_leaves_whole_before_a_reshape_may_stay():
    pruned = Unfolded()
    prune(pruned, 0.5, torch.randn(2, 5))
    assert (pruned.first.out_features, pruned.second.out_features, pruned.third.out_channels) == (8, 128, 4)
    assert taken_apart(pruned, torch.randn(2, 5)) == {"second": 128}


class Padded(nn.Module):
    """Rows of several lengths, which torch's encoder takes nested, and neighbours in a sparse matrix."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 32), nn.Linear(32, 3)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 1)
        self.register_buffer("near", torch.eye(6).to_sparse())

    def forward(self, x, padding):
        made = torch.stack([torch.sparse.mm(self.near, row) for row in self.first(x)])
        return self.last(self.encoder(made, src_key_padding_mask=padding).mean(1))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_and_sparse_tensors_are_passed_over():
    padding = torch.zeros(2, 6, dtype=torch.bool)
    padding[0, 4:] = True
    assert taken_apart(Padded().eval(), (torch.randn(2, 6, 8), padding)) == {}
