from collections import Counter

import numpy as np
import pytest
from ase.build import bulk
from getsei.errors import UserError
from getsei.potentials import dataset, dilute, sampling
from getsei.potentials.teachers import Label
from small_crystals import argon, frame, salt


def label(atoms, force=0.1):
    return Label(-1.0, np.full((len(atoms), 3), force), np.zeros(6))


def test_meaningless_labels_are_dropped_and_counted():
    good, hot, bad = frame("a"), frame("b"), frame("c")
    close = frame("d")
    close.positions[1] = close.positions[0] + [0.4, 0, 0]
    nan = Label(np.nan, np.zeros((8, 3)), np.zeros(6))
    kept, dropped = dataset.usable([good, hot, bad, close], [label(good), label(hot, 1e3), nan, label(close)])
    assert [atoms.info["trajectory"] for atoms in kept] == ["a"]
    assert isinstance(dropped, Counter)
    assert sum(dropped.values()) == 3
    assert len(dropped) == 3


def test_no_trajectory_is_ever_in_two_parts():
    frames = [frame(f"t{number}", step) for number in range(300) for step in range(2)]
    parts = dataset.split(frames)
    names = {part: {atoms.info["trajectory"] for atoms in chosen} for part, chosen in parts.items()}
    assert not names["train"] & names["test"]
    assert not names["train"] & names["validation"]
    assert not names["test"] & names["validation"]
    assert sum(len(chosen) for chosen in parts.values()) == len(frames)
    assert 0.04 < len(names["test"]) / 300 < 0.2
    assert len(names["validation"]) > 0


def test_a_new_trajectory_moves_no_other():
    before = {name: dataset.part(frame(name)) for name in ("x", "y", "z")}
    dataset.split([frame("w")])
    assert {name: dataset.part(frame(name)) for name in ("x", "y", "z")} == before


def test_duplicates_are_dropped_however_they_are_written():
    turned, repeated, shaken = frame("turned"), frame("repeated"), frame("shaken")
    turned.rotate(30, (1, 2, 3), rotate_cell=True)
    repeated = sampling.tagged(repeated.repeat((2, 1, 1)), "crystal", "repeated", 0)
    shaken.positions += 0.001 * np.random.default_rng(1).standard_normal((8, 3))
    other, wider = frame("other"), frame("wider", edge=5.2)
    other.positions[3] += 0.1
    frames = [frame("first"), turned, repeated, shaken, other, wider]
    kept = dataset.unique(frames, ["Li", "Cl"])
    assert [x.info["trajectory"] for x in kept] == ["first", "other", "wider"]
    assert dataset.unique(frames, ["Li", "Cl"], known=[frame("of an earlier round"), other, wider]) == []


def test_isolated_atoms_are_kept_as_often_as_they_are_given():
    atoms = list(dilute.isolated_atoms(["Li"]))
    assert len(dataset.unique(atoms, ["Li"])) == len(atoms)


def test_one_moved_atom_among_many_is_no_duplicate():
    cell = sampling.tagged(salt().repeat(3), "crystal", "a", 0)
    moved = sampling.tagged(cell, "crystal", "b", 0)
    moved.positions[7] += [0.3, 0.0, 0.0]
    assert len(dataset.unique([cell, moved], ["Li", "Cl"])) == 2


def test_an_element_that_the_settings_lack_is_named():
    with pytest.raises(UserError, match="Cl"):
        dataset.unique([frame("a")], ["Li"])


def test_an_empty_file_adds_no_frame(tmp_path):
    dataset.save(tmp_path / "none", [])
    dataset.save(tmp_path / "one", [sampling.tagged(argon(), "gas", "g", 0)])
    assert len(dataset.load_all([tmp_path / "none", tmp_path / "one"])) == 1
    with pytest.raises(UserError, match="missing"):
        dataset.load_all([tmp_path / "missing"])


def test_files_keep_labels_and_tags(tmp_path):
    atoms = dataset.with_label(frame("a", 7), label(frame()))
    dataset.save(tmp_path / "sub" / "frames.extxyz", [atoms, atoms])
    (one, _) = dataset.load(tmp_path / "sub" / "frames.extxyz")
    assert one.info["trajectory"] == "a"
    assert one.info["step"] == 7
    assert one.info[dataset.ENERGY] == -1.0
    assert one.arrays[dataset.FORCES] == pytest.approx(0.1)
    assert np.size(one.info[dataset.STRESS]) in (6, 9)
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["frames.extxyz"]


@pytest.mark.parametrize("text", ["", "not a frame\n"])
def test_an_unreadable_file_is_named(tmp_path, text):
    path = tmp_path / "bad.extxyz"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.extxyz"):
        dataset.load(path)


def test_crystals_are_displaced_reproducibly():
    materials = dataset.Materials((), "Li_bcc", ("LiCl",), 1)
    first, again = (list(dataset.crystal_frames(materials, 1, 3)) for _ in range(2))
    assert len(first) == 2 * (len(dataset.AMPLITUDES_A) + 1)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(first, again, strict=True))
    assert {atoms.info["kind"] for atoms in first} == {"displaced crystal", "close contact"}
    other = next(dataset.crystal_frames(materials, 1, 4))
    assert not np.allclose(other.positions, first[0].positions)


def test_contacts_stay_with_their_trajectory():
    frames = [sampling.tagged(bulk("LiCl", "rocksalt", a=5.1, cubic=True), "k", f"t{n}", n) for n in range(6)]
    found = list(dataset.contacts_in(frames, 3, 1))
    close = [frame for frame in found if frame.info["kind"] == "close contact"]
    assert len(found) == 8
    assert [frame.info["trajectory"] for frame in close] == ["t2", "t5"]
    low, high = dataset.CONTACT_RATIOS
    assert all(low - 1e-6 <= sampling.contact_ratio(frame) <= high + 1e-6 for frame in close)
