"""Balanced reactions and their energies."""

from fractions import Fraction

import pytest
from getsei.potentials.evaluation import reactions

FORMULAS = {
    "argyrodite": "Li6PS5Cl",
    "lgps": "Li10GeP2S12",
    "garnet": "Li7La3Zr2O12",
    "Li": "Li2",
    "Li2S": "Li8S4",
    "Li3P": "Li6P2",
    "LiCl": "Li4Cl4",
    "Li15Ge4": "Li60Ge16",
    "Li2O": "Li8O4",
    "Zr": "Zr2",
    "La2O3": "La2O3",
    "Li8ZrO6": "Li24Zr3O18",
}
PRODUCTS = ("Li2S", "Li3P", "LiCl", "Li15Ge4", "Li2O", "Zr", "La2O3", "Li8ZrO6")


@pytest.mark.parametrize(
    ("electrolyte", "expected"),
    [
        ("argyrodite", ["Li6PS5Cl + 8 Li → 5 Li2S + Li3P + LiCl"]),
        ("lgps", ["Li10GeP2S12 + 95/4 Li → 12 Li2S + 2 Li3P + 1/4 Li15Ge4"]),
        (
            "garnet",
            [
                "Li7La3Zr2O12 + 8 Li → 15/2 Li2O + 2 Zr + 3/2 La2O3",
                "Li7La3Zr2O12 + 3 Li → 3/4 Zr + 3/2 La2O3 + 5/4 Li8ZrO6",
            ],
        ),
    ],
)
def test_known_reactions_balance(electrolyte, expected):
    found = reactions.balanced(electrolyte, "Li", PRODUCTS, FORMULAS)
    assert [str(reaction) for reaction in found] == expected


def test_missing_products_give_no_reaction():
    assert reactions.balanced("argyrodite", "Li", ("Li2S", "Li3P"), FORMULAS) == []
    assert reactions.balanced("Li", "Li", PRODUCTS, FORMULAS) == []


def test_metal_that_is_set_free_stands_on_the_right():
    formulas = {"rich": "Li3Cl", "Li": "Li", "LiCl": "LiCl"}
    (found,) = reactions.balanced("rich", "Li", ("LiCl",), formulas)
    assert str(found) == "Li3Cl → LiCl + 2 Li"


def test_energy_is_that_of_products_less_reactants():
    (found,) = reactions.balanced("argyrodite", "Li", PRODUCTS, FORMULAS)
    per_atom = {"argyrodite": -1.0, "Li": -2.0, "Li2S": -3.0, "Li3P": -4.0, "LiCl": -5.0}
    by_hand = 5 * 3 * -3.0 + 4 * -4.0 + 2 * -5.0 - (13 * -1.0 + 8 * -2.0)
    assert found.energy(per_atom) == pytest.approx(by_hand)


def test_energies_per_atom_of_the_elements_cancel():
    # A reference energy for each element moves all crystals and no reaction.
    (found,) = reactions.balanced("lgps", "Li", PRODUCTS, FORMULAS)
    shift = {"Li": 1.7, "P": -3.0, "S": 0.4, "Ge": 11.0}
    atoms = {
        "lgps": {"Li": 10, "Ge": 1, "P": 2, "S": 12},
        "Li": {"Li": 1},
        "Li2S": {"Li": 2, "S": 1},
        "Li3P": {"Li": 3, "P": 1},
        "Li15Ge4": {"Li": 15, "Ge": 4},
    }
    per_atom = {
        name: sum(n * shift[e] for e, n in count.items()) / sum(count.values())
        for name, count in atoms.items()
    }
    assert found.energy(per_atom) == pytest.approx(0.0, abs=1e-9)


def test_a_singular_balance_has_no_solution():
    one, two = Fraction(1), Fraction(2)
    assert reactions.solve([[one, two], [two, 2 * two]], [one, two]) is None
    assert reactions.solve([[Fraction(0), one], [two, one]], [one, two]) == [Fraction(1, 2), one]
