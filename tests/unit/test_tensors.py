import json
import struct

import numpy as np
import pytest
from getsei import tensors
from getsei.errors import UserError


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "deep/x.safetensors"
    tensors.save(path, {"b": np.arange(6.0).reshape(2, 3).T, "a": np.array(True)}, {"n": 1, "name": "Å"})
    return path


def test_arrays_and_facts_come_back(stored):
    arrays, facts = tensors.load(stored)
    np.testing.assert_array_equal(arrays["b"], [[0, 3], [1, 4], [2, 5]])
    assert arrays["a"].shape == ()
    assert arrays["a"].dtype == bool
    assert facts == {"n": 1, "name": "Å"}
    assert [path.name for path in stored.parent.iterdir()] == ["x.safetensors"]


def test_same_content_same_bytes(stored, tmp_path):
    arrays, facts = tensors.load(stored)
    tensors.save(tmp_path / "again", arrays, facts)
    assert (tmp_path / "again").read_bytes() == stored.read_bytes()


def header(text, length=None):
    body = text.encode()
    return struct.pack("<Q", len(body) if length is None else length) + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        header("{"),
        header("{}", length=1 << 60),
        header('{"__metadata__": {}}'),
        header('{"__metadata__": {"getsei": "[1]"}}'),
        header('{"__metadata__": {"getsei": 3}}'),
        header("[" * 100_000),
        header(
            '{"__metadata__": {"getsei": "{}"}, "x": {"dtype": "F64", "shape": [9], "data_offsets": [0, 72]}}'
        ),
    ],
)
def test_damage_is_one_message(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.safetensors: "):
        tensors.load(path)


@pytest.mark.parametrize("cut", [4, 60, -1])
def test_truncation_is_one_message(stored, cut):
    stored.write_bytes(stored.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"x\.safetensors: "):
        tensors.load(stored)


def test_facts_need_no_arrays(stored):
    assert json.dumps(tensors.facts(stored), sort_keys=True)
    with pytest.raises(UserError, match="absent"):
        tensors.facts(stored.with_name("absent"))
