"""What an electrolyte and metal become: balanced reactions, and their energies.

Products are chosen by the elements alone: each takes part if its elements occur in the electrolyte or the
metal. Coefficients solve the balance of elements; where products compete for one element (Zr metal beside
Li8ZrO6) each choice is a reaction of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from ase.formula import Formula


@dataclass(frozen=True)
class Reaction:
    """One formula unit of an electrolyte with metal, and what they become.

    Attributes
    ----------
    electrolyte, metal : str
        Names of crystals.
    metal_atoms : Fraction
        Per formula unit of the electrolyte; negative where the reaction sets metal free.
    products : tuple of (name, Fraction)
        Formula units of each crystal.
    formulas : mapping
        Name of a crystal to the reduced formula.
    """

    electrolyte: str
    metal: str
    metal_atoms: Fraction
    products: tuple[tuple[str, Fraction], ...]
    formulas: Mapping[str, str]

    def __str__(self) -> str:
        left = self.formulas[self.electrolyte]
        right = [f"{_number(amount)}{self.formulas[name]}" for name, amount in self.products]
        metal = f"{_number(abs(self.metal_atoms))}{self.formulas[self.metal]}"
        if self.metal_atoms > 0:
            left += f" + {metal}"
        elif self.metal_atoms < 0:
            right.append(metal)
        return f"{left} → {' + '.join(right)}"

    @property
    def atoms(self) -> float:
        """Return the number of atoms that take part, per formula unit of the electrolyte."""
        own = sum(Formula(self.formulas[self.electrolyte]).count().values())
        return own + max(float(self.metal_atoms), 0.0)

    def energy(self, per_atom_eV: Mapping[str, float]) -> float:
        """Return products less reactants in eV per formula unit of the electrolyte.

        Parameters
        ----------
        per_atom_eV : mapping
            Energy of one atom of each relaxed crystal, by name.
        """

        def of(name: str) -> float:
            return per_atom_eV[name] * sum(Formula(self.formulas[name]).count().values())

        made = sum(float(amount) * of(name) for name, amount in self.products)
        return made - of(self.electrolyte) - float(self.metal_atoms) * of(self.metal)


def _number(amount: Fraction) -> str:
    return "" if amount == 1 else f"{amount} "


def reduced(formula: str) -> str:
    """Return the formula of the smallest whole unit, as in Li6PS5Cl for Li24P4S20Cl4."""
    return str(Formula(formula).reduce()[0])


def balanced(
    electrolyte: str, metal: str, products: Sequence[str], formulas: Mapping[str, str]
) -> list[Reaction]:
    """Return every reaction of one formula unit of an electrolyte whose balance is unique.

    Parameters
    ----------
    electrolyte, metal : str
    products : sequence of str
        Candidates.
    formulas : mapping
        Name of a crystal to its formula.

    Returns
    -------
    list of Reaction
        All products with positive amounts; empty where the candidates cannot take up the elements.
    """
    units = {name: reduced(formulas[name]) for name in (electrolyte, metal, *products)}
    start = Formula(units[electrolyte]).count()
    (mobile,) = Formula(units[metal]).count()
    # The metal takes whatever amount closes its own balance: the other elements decide the products.
    bound = sorted(set(start) - {mobile})
    if not bound:
        return []
    useful = [
        name
        for name in products
        if set(Formula(units[name]).count()) <= set(start) | {mobile}
        and set(Formula(units[name]).count()) & set(bound)
    ]
    found = []
    for chosen in combinations(useful, len(bound)):
        matrix = [[Fraction(Formula(units[name]).count().get(e, 0)) for name in chosen] for e in bound]
        amounts = solve(matrix, [Fraction(start[e]) for e in bound])
        if amounts is None or min(amounts) <= 0:
            continue
        taken = sum(
            amount * Formula(units[name]).count().get(mobile, 0)
            for name, amount in zip(chosen, amounts, strict=True)
        )
        found.append(
            Reaction(
                electrolyte,
                metal,
                taken - start.get(mobile, 0),
                tuple(zip(chosen, amounts, strict=True)),
                units,
            )
        )
    return found


def solve(matrix: Sequence[Sequence[Fraction]], right: Sequence[Fraction]) -> list[Fraction] | None:
    """Solve a square linear system exactly by elimination; None where it has no single solution."""
    n = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(n):
        pivot = next((r for r in range(column, n) if rows[r][column] != 0), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for other in range(n):
            if other != column and rows[other][column] != 0:
                factor = rows[other][column]
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[column], strict=True)]
    return [row[-1] for row in rows]
