"""A slow potential is not asked twice: what it said before a kill is replayed, to the bit."""

import functools

import numpy as np
import pytest
from getsei.dynamics import tape
from morse import CELL, Morse, crystal
from test_runner import MD, Sabotaged, fail, run

WITHOUT_CHECKPOINT = MD | {"checkpoint_ps": 100.0}


@pytest.fixture
def eager(monkeypatch):
    """Every result goes to disk at once."""
    monkeypatch.setattr(tape, "Tape", functools.partial(tape.Tape, every_s=0.0))


def ask(path, n, potential=None, key="a", **options):
    """Ask for n configurations, the same ones every time; return the results and the potential."""
    species, positions = crystal()
    potential = potential or Morse(species)
    taped = tape.Tape(potential, path, key, len(species), **options)
    return [taped(positions + 0.01 * k * np.sin(positions), CELL) for k in range(n)], potential


def test_what_was_said_is_replayed_to_the_bit(tmp_path):
    first, _ = ask(tmp_path / "t", 5, every_s=0.0)
    second, potential = ask(tmp_path / "t", 8, every_s=0.0)
    assert potential.calls == 3
    for old, new in zip(first, second[:5], strict=True):
        assert (old.energy, old.forces.tobytes()) == (new.energy, new.forces.tobytes())
        assert np.array_equal(old.virial, new.virial)
    assert ask(tmp_path / "t", 8)[1].calls == 0


@pytest.mark.parametrize(
    ("damage", "calls"), [("cut", 1), ("flip", 3), ("key", 5), ("short", 5), ("none", 0)]
)
def test_a_damaged_tape_is_used_as_far_as_it_is_good(tmp_path, damage, calls):
    path = tmp_path / "t"
    first, _ = ask(path, 5, every_s=0.0)
    content = bytearray(path.read_bytes())
    entry = (len(content) - tape.KEY_BYTES) // 5
    if damage == "cut":
        del content[-3:]
    elif damage == "flip":
        content[tape.KEY_BYTES + 2 * entry + 400] ^= 1
    elif damage == "short":
        del content[10:]
    path.write_bytes(content)
    again, potential = ask(path, 5, key="b" if damage == "key" else "a", every_s=0.0)
    assert potential.calls == calls
    assert [r.forces.tobytes() for r in again] == [r.forces.tobytes() for r in first]
    assert ask(path, 5, key="b" if damage == "key" else "a")[1].calls == 0, "mended"


def test_other_configurations_end_the_replay(tmp_path):
    ask(tmp_path / "t", 5, every_s=0.0)
    species, positions = crystal()
    potential = Morse(species)
    taped = tape.Tape(potential, tmp_path / "t", "a", len(species), every_s=0.0)
    found = taped(positions + 0.05, CELL)
    assert potential.calls == 1
    assert np.array_equal(found.forces, Morse(species)(positions + 0.05, CELL).forces)


def test_nothing_is_written_before_its_time(tmp_path):
    seconds = iter(range(100))
    ask(tmp_path / "t", 9, every_s=10.0, clock=lambda: next(seconds))
    assert not (tmp_path / "t").exists()
    ask(tmp_path / "t", 11, every_s=10.0, clock=lambda: next(seconds))
    assert ask(tmp_path / "t", 11)[1].calls == 1


def test_a_killed_stretch_of_a_slow_potential_costs_nothing(tmp_path, eager):
    species = crystal()[0]
    for folder in ("through", "killed"):
        (tmp_path / folder).mkdir()
    whole = Morse(species)
    through = run(tmp_path / "through", "react", whole, md=WITHOUT_CHECKPOINT)
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "killed", "react", Sabotaged(species, 130, fail), md=WITHOUT_CHECKPOINT)
    assert not (tmp_path / "killed/react.checkpoint").exists()
    again = Morse(species)
    resumed = run(tmp_path / "killed", "react", again, md=WITHOUT_CHECKPOINT)
    assert again.calls == whole.calls - 129
    for name in ("frames", "restart", "thermo"):
        assert getattr(resumed, name).read_bytes() == getattr(through, name).read_bytes()
    assert not resumed.tape.exists()


def test_a_potential_with_a_neighbour_list_has_no_tape(tmp_path):
    potential = Morse(crystal()[0])
    potential.rebuilds = 0
    assert tape.around(potential, tmp_path / "t", "a", 64) is potential
