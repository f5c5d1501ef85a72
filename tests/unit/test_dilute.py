import numpy as np
import pytest
from ase.build import bulk
from ase.neighborlist import neighbor_list
from getsei.potentials import dilute, sampling

CUTOFF_A = 5.0


@pytest.fixture
def salt():
    return bulk("LiCl", "rocksalt", a=5.13, cubic=True) * (1, 1, 2)


@pytest.fixture
def metal():
    return bulk("Li", "bcc", a=3.45, cubic=True)


def test_isolated_atoms_meet_nobody():
    frames = list(dilute.isolated_atoms(["Li", "Zr"]))
    assert {frame.info["kind"] for frame in frames} == {dilute.ISOLATED}
    assert {frame.get_chemical_formula() for frame in frames} == {"Li", "Zr"}
    assert all(len(neighbor_list("i", frame, CUTOFF_A)) == 0 for frame in frames)


def test_stretched_crystals_reach_low_density(salt):
    density = len(salt) / salt.get_volume()
    found = [
        len(frame) / frame.get_volume() for frame in dilute.stretched("x", salt, np.random.default_rng(1))
    ]
    nearest = 5.13 / 2
    farthest = max(scale for scale in dilute.STRETCHES if scale * nearest < dilute.REACH_A)
    assert farthest < max(dilute.STRETCHES)
    assert min(found) == pytest.approx(density / farthest**3)
    assert max(found) < density


def test_gases_get_thinner_and_keep_their_distance(salt, metal):
    frames = list(dilute.gas("x", salt, metal, np.random.default_rng(1)))
    volumes = [frame.get_volume() for frame in frames]
    assert volumes == pytest.approx(sorted(volumes, reverse=True))
    assert all(sampling.contact_ratio(frame) > 0.95 * dilute.GAS_CONTACT for frame in frames)


def test_an_atom_leaves_the_surface_step_by_step(salt):
    frames = list(dilute.leaving("x", salt, np.random.default_rng(1)))
    assert len({frame.info["trajectory"] for frame in frames}) == 1
    gaps = []
    for frame in frames:
        height = np.sort(frame.positions[:, 2])
        gaps.append(height[-1] - height[-2])
    assert gaps == sorted(gaps)
    assert gaps[-1] > dilute.LEAPS_A[-1]


def test_the_same_seed_gives_the_same_frames(salt, metal):
    one, two = (list(dilute.frames([("x", salt)], metal, 2, 3)) for _ in range(2))
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(one, two, strict=True))
