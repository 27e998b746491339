"""Spaces in files: every space comes back, every damage is one SpaceError that names the line."""

from __future__ import annotations

import contextlib
import json
import textwrap

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from greyhound.errors import SpaceError
from greyhound.space import Bool, Categorical, Float, Int, Ordinal, Space, read_yaml
from greyhound.spacefile import locator, write_yaml

from .strategies import scalars, spaces

SPACE_YAML = """\
lr: {type: float, low: 1e-5, high: 1e-1, log: true}
batch_size: {type: ordinal, values: [16, 32, 64]}
optimizer: {type: categorical, choices: [sgd, adamw]}
momentum: {type: float, low: 0.0, high: 0.99, when: {optimizer: sgd}}
constraints: {"slow when small": "batch_size > 16 or lr < 1e-2"}
"""

SPACE = Space(
    lr=Float(1e-5, 1e-1, log=True),
    batch_size=Ordinal([16, 32, 64]),
    optimizer=Categorical(["sgd", "adamw"]),
    momentum=Float(0.0, 0.99, when={"optimizer": "sgd"}),
    constraint={"slow when small": "batch_size > 16 or lr < 1e-2"},
)


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(spaces())
def test_every_space_comes_back_from_each_form(space):
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space
    assert Space.from_json(space.to_json()) == space
    assert Space.from_yaml(space.to_yaml()) == space


@given(st.dictionaries(st.text(), st.recursive(scalars | finite | st.text(), st.lists)))
def test_all_that_is_written_as_yaml_is_read_as_it_was(data):
    assert repr(read_yaml(write_yaml(data), "x")[0]) == repr(data)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), finite | st.booleans() | st.integers()))
def test_what_is_written_means_the_same_to_readers_of_yaml_1_1(data):
    assert repr(yaml.safe_load(write_yaml(data))) == repr(data)


def test_the_example_of_the_manual_is_read_and_written_line_by_line():
    assert Space.from_yaml(SPACE_YAML) == SPACE
    assert SPACE.to_yaml().splitlines() == [
        "lr: {type: float, low: 1.0e-05, high: 0.1, log: true}",
        "batch_size: {type: ordinal, values: [16, 32, 64]}",
        "optimizer: {type: categorical, choices: [sgd, adamw]}",
        "momentum: {type: float, low: 0.0, high: 0.99, when: {optimizer: sgd}}",
        "constraints:",
        '  slow when small: "batch_size > 16 or lr < 1e-2"',
    ]
    assert Space.from_yaml(SPACE.to_yaml()) == SPACE


def test_files_are_read_by_path(tmp_path):
    for name, text in (("space.yaml", SPACE.to_yaml()), ("space.json", SPACE.to_json())):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        read = Space.from_yaml if name.endswith("yaml") else Space.from_json
        assert read(path) == read(str(path)) == SPACE
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SPACE_YAML.encode())
    assert Space.from_yaml(path) == SPACE


def test_yaml_is_read_by_version_1_2():
    choices = '[on, off, yes, no, y, 12:30, 2020-01-01, "1e-3", 1e-3, 1_000, 007, 0x1F, ~, 1_, 1__0, 0o]'
    space = Space.from_yaml(f"a: {{type: categorical, choices: {choices}}}")
    assert repr(space["a"].choices) == (
        "('on', 'off', 'yes', 'no', 'y', '12:30', '2020-01-01', '1e-3', 0.001, 1000, 7, 31, None, '1_', '1__0', '0o')"
    )
    assert Space.from_yaml("n: {type: int, low: 1, high: 1e3, log: True}") == Space(n=Int(1, 1000, log=True))


def test_an_alias_may_be_used_and_the_example_block_style_too():
    text = """
    a: &range
      type: float
      low: 0
      high: 1
    b: *range
    """
    assert Space.from_yaml(textwrap.dedent(text)) == Space(a=Float(0, 1), b=Float(0, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "momentum: {type: float, low: 0.0, hihg: 0.99}",
            "line 4: momentum: unknown key 'hihg'; did you mean 'high'?",
        ),
        ("momentum:\n  type: float\n  low: 0\n  hihg: 1", "line 7: momentum: unknown key 'hihg'"),
        ("momentum: {type: float, low: 0.0}", "line 4: momentum: needs 'high'."),
        (
            "momentum: {low: 0.0, high: 1}",
            "line 4: momentum: needs a type: float, int, categorical, ordinal or bool.",
        ),
        ("momentum: {type: flaot, low: 0, high: 1}", "line 4: momentum: unknown type 'flaot'; it may be"),
        ("momentum: {type: [1], low: 0, high: 1}", "line 4: momentum: unknown type [1]"),
        (
            "momentum: {type: float, low: 2, high: 1}",
            "line 4: momentum: low must be below high; got low=2.0, high=1.0.",
        ),
        ("momentum: {type: float, low: x, high: 1}", "line 4: momentum: low must be a number; got 'x'."),
        (
            "momentum: {type: bool, high: 1}",
            "line 4: momentum: unknown key 'high'; bool takes default, when, prior.",
        ),
        ("momentum: 3", "line 4: momentum: must be a mapping such as"),
        (
            "momentum: {type: bool, when: {optimizer: sdg}}",
            "line 4: momentum: its condition asks of optimizer",
        ),
        (
            "momentum: {type: bool, when: {optimiser: sgd}}",
            "line 4: momentum: its condition names the unknown parameter",
        ),
        (
            "momentum: {type: bool, when: {momentum: true}}",
            "line 4: momentum: its condition leads back to itself.",
        ),
        ("3: {type: bool}", "line 4: a parameter's name must be text; got 3: quote it."),
        ("lr: {type: bool}", "lines 1 and 4: 'lr' is there twice."),
        ("momentum: {type: bool, type: int}", "lines 4 and 4: 'type' is there twice."),
        ("momentum: {type: bool", "is not valid YAML"),
        (
            "momentum: !!python/object:os.system {}",
            "line 4: the tag 'tag:yaml.org,2002:python/object:os.system'",
        ),
        ("momentum: !!binary aGk=", "line 4: the tag"),
        ("momentum: *nothing", "line 4: is not valid YAML: found undefined alias 'nothing'."),
        ("momentum: &loop [*loop]", "line 4: an alias contains itself."),
        ("<<: {lr: 3}", "line 4: merge keys (<<) are not read; write the keys out."),
        ("[a, b]: 3", "line 4: a key must be one word"),
        ("\tmomentum: 3", "line 4: is not valid YAML"),
        ("momentum: \x01", "line 4: is not valid YAML: special characters are not allowed."),
        ("--- {}", "line 4: is not valid YAML: but found another document."),
        ("constraints: {bad: a <}", "line 4: constraint 'bad': 'a <' is not an expression"),
        (
            "constraints:\n  ok: lr < 1\n  bad: llr < 1",
            "line 6: constraint 'bad': unknown name 'llr'; did you mean 'lr'?",
        ),
        (
            "constraints: {never: lr > 1}",
            "line 4: no configuration satisfies the constraint 'never' ('lr > 1')",
        ),
        (
            "constraints: {f: null}",
            "line 4: constraint 'f': is a function, which a file cannot hold; give it again.",
        ),
        (
            "constraints: {type: float, low: 0, high: 1}",
            "A parameter in a file may not be named 'constraints'",
        ),
        ("constraints: [lr < 1]", "line 4: constraints must be a mapping"),
    ],
)
def test_damage_is_told_with_its_line(tmp_path, change, message):
    lines = SPACE_YAML.splitlines()[:3]
    path = tmp_path / "space.yaml"
    path.write_text("\n".join([*lines, change]), encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        Space.from_yaml(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not str(caught.value).endswith("?.")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a space maps names to parameters"),
        (b"- a\n- b\n", "line 1: a space maps names to parameters"),
        (b"just text", "a space maps names to parameters"),
        (b"\xff\xfe\x00\x01", "is not text in UTF-8 (byte 0)"),
        (b"a: " + b"[" * 5000, "is not valid YAML"),
        (b"x" * 1_000_001, "holds over 1,000,000 characters"),
        (b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
            b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in range(98, 110)
        ), "holds over 100,000 values once its aliases are written out"),
        (b"a: \"\\U99999999\"", "is not valid YAML"),
    ],
)  # fmt: skip
def test_files_that_are_no_space_are_refused_in_a_sentence(tmp_path, data, message):
    path = tmp_path / "space.yaml"
    path.write_bytes(data)
    with pytest.raises(SpaceError) as caught:
        Space.from_yaml(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_opened_are_named(tmp_path):
    with pytest.raises(SpaceError, match=r"nowhere.yaml: there is no such file\."):
        Space.from_yaml("nowhere.yaml")
    with pytest.raises(SpaceError, match="cannot be read"):
        Space.from_yaml(tmp_path)
    with pytest.raises(SpaceError, match="cannot be read"):
        Space.from_yaml("a\0b.yaml")
    with pytest.raises(SpaceError, match="read from a text or a path; got 3"):
        Space.from_yaml(3)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random.yaml"
    path.write_bytes(data)
    for read in (Space.from_yaml, Space.from_json):
        with contextlib.suppress(SpaceError):
            assert isinstance(read(path), Space)


@given(st.data())
def test_no_damaged_file_raises_anything_else(data):
    text = SPACE_YAML
    for _ in range(data.draw(st.integers(1, 3))):
        at, until = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        filler = data.draw(
            st.sampled_from(["", "\n", "{", "]", "&a ", "*a", "!!map ", "1e999", "- ", ": ", "null", "\\"])
        )
        text = text[:at] + filler + text[min(until, at + 12) :]
    for read in (Space.from_yaml, Space.from_json):
        with contextlib.suppress(SpaceError):
            assert isinstance(read(text + "\n"), Space)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["float", "bool", "a", "sgd"])
keys = st.sampled_from(
    ["type", "low", "high", "log", "step", "choices", "values", "default", "when", "a", "constraints"]
)


@given(st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5)))
def test_no_data_raises_anything_else(data):
    with contextlib.suppress(SpaceError):
        assert isinstance(Space.from_dict(data), Space)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "JSON, line 1: is not valid JSON"),
        ('{"a": 1, "a": 2}', "JSON: 'a' is there twice."),
        ('{"a": ' * 100_000, "JSON: is not valid JSON"),
        ('{"a": {"type": "float", "low": NaN, "high": 1}}', "JSON: a: low must be a finite number; got nan."),
        ('{"a": ' + "9" * 5000 + "}", "JSON: is not valid JSON"),
        ("[]", "JSON: a space maps names to parameters"),
    ],
)
def test_damaged_json_is_told_in_a_sentence(text, message):
    with pytest.raises(SpaceError) as caught:
        Space.from_json(text)
    assert str(caught.value).startswith(message)


def test_a_function_is_written_by_name_and_given_again_when_read():
    def below(params):
        return params["a"] < params["b"]

    space = Space(a=Int(0, 3), b=Int(0, 3), constraint={"below": below, "odd": "a != 2"})
    data = space.to_dict()
    assert data["constraints"] == {"below": None, "odd": "a != 2"}
    with pytest.raises(SpaceError, match="constraint 'below': is a function"):
        Space.from_dict(data)
    assert Space.from_dict(data, functions={"below": below}) == space
    assert Space.from_yaml(space.to_yaml(), functions={"below": below}) == space
    assert Space.from_json(space.to_json(), functions={"below": below}) == space


def test_a_parameter_named_constraints_stays_out_of_files():
    space = Space(constraints=Bool())
    assert space.decode([1.0]) == {"constraints": True}
    with pytest.raises(SpaceError, match="'constraints' cannot be written to a file; rename it"):
        space.to_dict()


def test_lines_are_known_by_key_path():
    text = "name: digits\nspace:\n  lr: {type: float,\n    low: 0}\nworkers:\n  - gpu\n  - cpu\n"
    data, lines = read_yaml(text, "study.yaml")
    assert data == {"name": "digits", "space": {"lr": {"type": "float", "low": 0}}, "workers": ["gpu", "cpu"]}
    assert lines == {
        (): 1, ("name",): 1, ("space",): 2,
        ("space", "lr"): 3, ("space", "lr", "type"): 3, ("space", "lr", "low"): 4,
        ("workers",): 5, ("workers", 0): 6, ("workers", 1): 7,
    }  # fmt: skip
    where = locator(lines, "study.yaml", ("space",))
    assert where(("lr", "low")) == "study.yaml, line 4: "
    assert where(("lr", "high")) == "study.yaml, line 3: "
    with pytest.raises(SpaceError, match=r"^study.yaml, line 3: lr: needs 'high'\.$"):
        Space.from_dict(data["space"], where=where)
