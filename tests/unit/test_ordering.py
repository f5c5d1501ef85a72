"""Ordering of partial occupancies."""

import numpy as np
import pytest
from getsei import cells
from getsei.errors import UserError
from getsei.structures import crystals, ordering
from scipy.special import erfc

DISORDERED = [
    ("Li6PS5Cl_disordered", np.eye(3)),
    ("Li10GeP2S12_disordered", np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 1]])),
    ("Li7La3Zr2O12_cubic", np.eye(3)),
    ("Li3YCl6", np.eye(3)),
    ("Li3PS4_beta", np.eye(3)),
]


def ordered(name, transform, **options):
    return ordering.order(crystals.load(name), transform, **{"seed": 3, "draws": 4, **options})


@pytest.fixture(scope="module", params=DISORDERED, ids=[name for name, _ in DISORDERED])
def case(request):
    name, transform = request.param
    return crystals.load(name), transform, ordered(name, transform)


def test_composition_is_exact_and_neutral(case):
    crystal, transform, result = case
    copies = round(np.linalg.det(transform))
    counts = result.atoms.symbols.formula.count()
    assert counts == {element: n * copies for element, n in crystal.counts.items()}
    assert sum(crystal.charges[element] * n for element, n in counts.items()) == pytest.approx(0)


def test_mobile_ions_keep_their_distance(case):
    _, _, result = case
    shortest = cells.shortest_distances(
        result.atoms.positions, result.atoms.cell[:], result.atoms.get_chemical_symbols()
    )
    assert shortest.get("Li-Li", 9.9) >= 2.2
    assert min(shortest.values()) > 1.75


@pytest.mark.parametrize("number", [0, 1, 3])
def test_occupancies_are_kept_to_rounding(number):
    name, transform = DISORDERED[number]
    crystal = crystals.load(name)
    sites = crystals.supercell(crystal, transform)[0]
    for index, found in enumerate(ordered(name, transform, draws=1).occupancies):
        size = np.count_nonzero(sites.orbit == index)
        for element, share in crystal.sites[index].occupancy.items():
            assert abs(found[element] - share) * size < 1.01


def test_distance_wins_over_an_occupancy_that_can_not_be():
    # 94 % of 24d and 35 % of 96h, 1.6 Å apart, can not both be filled: Li moves from 24d to 96h.
    occupancies = ordered(*DISORDERED[2]).occupancies
    assert occupancies[0]["Li"] < 0.9
    assert 24 * occupancies[0]["Li"] + 96 * occupancies[1]["Li"] == pytest.approx(56, abs=0.01)


def test_a_position_inside_the_framework_stays_empty():
    # 4c lies 1.4 Å from a sulphur as tabulated.
    assert ordered(*DISORDERED[4]).occupancies[2] == {"Li": 0.0}


def test_the_same_seed_gives_the_same_cell():
    first, second, other = (ordered(*DISORDERED[0], seed=seed, draws=1) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.atoms.positions, second.atoms.positions)
    assert first.energy_eV == second.energy_eV
    assert not np.array_equal(first.atoms.positions, other.atoms.positions)


def test_the_best_of_several_draws_wins():
    alone = [ordered(*DISORDERED[0], seed=seed, draws=1).energy_eV for seed in (3, 4)]
    best = ordered(*DISORDERED[0], draws=2)
    assert best.energy_eV == pytest.approx(min(alone))
    assert best.seed == 3 + int(np.argmin(alone))


def test_annealing_beats_chance():
    name, transform = DISORDERED[0]
    crystal = crystals.load(name)
    sites, cell = crystals.supercell(crystal, transform)
    target = crystal.counts
    problem = ordering._Problem(crystal, sites.fractional @ cell, cell, sites.orbit, target, 0.1)
    chance = []
    for seed in range(20):
        content = problem.start(np.random.default_rng(seed))
        charge = np.where(content >= 0, problem.charges[content], 0.0)
        chance.append(0.5 * charge @ problem.coulomb @ charge)
    assert ordered(name, transform, draws=1).energy_eV < min(chance)


def test_annealed_energy_is_that_of_the_atoms():
    result = ordered(*DISORDERED[1])
    crystal = crystals.load(DISORDERED[1][0])
    charges = np.array([crystal.charges[s] for s in result.atoms.get_chemical_symbols()])
    i, j, _, r = cells.pairs(result.atoms.positions, result.atoms.cell[:], 4 * ordering.SCREENING_A)
    energy = np.sum(14.399645478 * charges[i] * charges[j] * erfc(r / ordering.SCREENING_A) / r)
    assert result.energy_eV == pytest.approx(energy, rel=1e-6)


def test_ordered_crystals_come_as_they_are():
    result = ordering.order(crystals.load("Li7La3Zr2O12_tetragonal"))
    assert len(result.atoms) == 192


def test_an_impossible_distance_is_refused():
    with pytest.raises(UserError, match="min_mobile_distance_A"):
        ordered(*DISORDERED[0], draws=1, min_mobile_distance_A=4.5)
