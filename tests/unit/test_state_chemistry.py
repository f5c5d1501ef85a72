"""What surrounds an ion: first shells, counts, density, and the names made of them."""

import numpy as np
import pytest
from getsei import synthetic
from getsei.records import UNASSIGNED
from getsei.states import chemistry

ELEMENTS = ["Li", "Cl", "P", "S"]


def test_shell_cutoffs_come_from_the_run_where_it_shows_a_minimum():
    record = synthetic.environments(20, 40, seed=1).environments
    cutoffs = chemistry.shell_cutoffs([record], ["Li"], ELEMENTS)
    assert list(cutoffs) == ["Li-Li", "Li-Cl", "Li-P", "Li-S"]
    assert 2.9 < cutoffs["Li-S"] < 3.6  # between the shells at 2.5 and 4.2 Å
    assert 2.8 < cutoffs["Li-P"] < 3.3  # between 2.5 and 3.6 Å


def test_first_minimum_must_be_clear_and_in_reach():
    r = np.linspace(0.05, 5.0, 100)
    two = np.exp(-(((r - 2.5) / 0.2) ** 2)) + 0.8 * np.exp(-(((r - 4.0) / 0.3) ** 2))
    found = chemistry.first_minimum(r, two, 2.8, 3.9)
    assert found == pytest.approx(3.15, abs=0.25)
    assert chemistry.first_minimum(r, np.exp(-(((r - 4.0) / 0.3) ** 2)), 2.8, 3.9) is None
    assert chemistry.first_minimum(r, 1.0 + 0.01 * np.sin(20 * r), 2.8, 3.9) is None


def test_fallback_cutoffs():
    assert chemistry.fallback_cutoff("Li", "O") == 2.6
    assert 3.2 < chemistry.fallback_cutoff("Na", "S") < 3.8  # Na-S bonds are 2.8-2.9 Å


def test_surroundings_count_shells_and_density():
    truth = synthetic.environments(10, 8, seed=4, noise_A=0.02)
    found = chemistry.surroundings(truth.environments, ELEMENTS, [3.4, 3.2, 3.0, 3.2], ["Li"])
    kind = truth.labels.T
    chlorine = np.array([0, 0, 1, 0, 4, 0])
    assert np.mean(found.coordination[..., 1] == chlorine[kind]) > 0.95
    assert set(found.coordination[..., 2][kind == 5].tolist()) == {0}  # P of a thiophosphate is no neighbour
    volume = 4 / 3 * np.pi * 0.5**3
    lithium = np.array([14, 8, 6, 5, 4, 2])[kind]
    np.testing.assert_allclose(found.density * volume, lithium + 1, atol=1.01)


def test_names_say_what_surrounds_an_ion():
    #                 Li   Cl   P    S
    coordination = np.array(
        [[11.0, 0.1, 0.1, 0.2], [7.0, 0.0, 0.2, 4.1], [4.0, 1.0, 0.0, 2.6], [3.0, 0.4, 0.4, 0.4]]
    )
    assert chemistry.name_states(coordination, ELEMENTS, ["Li"], 6.0) == [
        "metal-like",
        "S4 Li-rich",
        "S3Cl1",
        "Cl1",
    ]


def test_an_atom_of_vapour_is_no_metal():
    alone = np.array([[11.0, 0.1, 0.1, 0.2], [0.3, 0.0, 0.0, 0.1]])
    assert chemistry.name_states(alone, ELEMENTS, ["Li"], 6.0) == ["metal-like", "isolated"]


def test_names_are_unique_and_true_without_any_metal():
    same = np.array([[4.0, 0.9, 0.0, 3.1], [3.5, 0.9, 0.0, 3.0], [3.5, 0.5, 0.0, 3.0], [3.5, 0.5, 0.0, 3.0]])
    names = chemistry.name_states(same, ELEMENTS, ["Li"], 3.9)
    assert len(set(names)) == 4
    assert names[0] == "S3Cl1 Li4.0"
    assert not any("metal" in name for name in names)
    oxide = chemistry.name_states(np.array([[2.0, 4.2, 1.0]]), ["Na", "O", "Zr"], ["Na"], 2.0)
    assert oxide == ["O4"]


def test_z_profile_sums_to_one_over_assigned_environments():
    labels = np.array([0, 0, 1, UNASSIGNED])
    profile = chemistry.z_profile(labels, np.array([0.5, 1.5, 1.5, 0.5]), np.array([0.0, 1.0, 2.0]), 2)
    np.testing.assert_allclose(profile, [[1 / 3, 1 / 3], [0.0, 1 / 3]])
