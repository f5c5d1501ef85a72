"""Formal charges of a crystal that does not state them."""

from collections.abc import Mapping
from itertools import product

from getsei.errors import UserError

STATES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Li", "Na", "K", "Rb", "Cs", "Ag"), (1,)),
    **dict.fromkeys(("Be", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd"), (2,)),
    **dict.fromkeys(
        ("B", "Al", "Ga", "In", "Sc", "Y", "La", "Nd", "Sm", "Gd", "Dy", "Ho", "Er", "Tm", "Yb", "Lu"), (3,)
    ),
    **dict.fromkeys(("F", "Cl", "Br", "I"), (-1,)),
    "H": (1, -1),
    "O": (-2,),
    "S": (-2, 6),
    "Se": (-2, 4),
    "Te": (-2, 4, 6),
    "N": (-3, 5),
    "P": (5, -3),
    "As": (5, 3, -3),
    "Sb": (5, 3, -3),
    "Bi": (3, 5, -3),
    "C": (4, -4),
    "Si": (4, -4),
    "Ge": (4, -4),
    "Sn": (4, 2, -4),
    "Pb": (2, 4),
    "Ti": (4, 3),
    "Zr": (4,),
    "Hf": (4,),
    "Ce": (3, 4),
    "V": (5, 4, 3),
    "Nb": (5,),
    "Ta": (5,),
    "Cr": (3, 6),
    "Mo": (6, 4),
    "W": (6,),
    "Mn": (2, 3, 4),
    "Fe": (3, 2),
    "Co": (2, 3),
    "Ni": (2, 3),
    "Cu": (1, 2),
}
"""Usual oxidation states, the commonest in solid electrolytes first (N. N. Greenwood, A. Earnshaw,
Chemistry of the Elements, 2nd ed., 1997)."""
NONMETALS = frozenset(("H", "C", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"))
"""A crystal with none of these is a metal or an alloy: all its charges are zero."""
TOLERANCE = 0.03
"""Net charge over the positive charge up to which refined occupancies count as neutral."""


def imbalance(counts: Mapping[str, float], charges: Mapping[str, float]) -> float:
    """Return the net charge of a composition over its positive charge."""
    positive = sum(n * charges[el] for el, n in counts.items() if charges[el] > 0)
    net = sum(n * charges[el] for el, n in counts.items())
    return abs(net) / positive if positive else abs(net)


def guess(counts: Mapping[str, float], given: Mapping[str, float], where: str) -> dict[str, float]:
    """Return a formal charge for every element, so that the crystal is neutral.

    Of all neutral combinations of usual oxidation states the one of the commonest states is taken.

    Parameters
    ----------
    counts : mapping
        Atoms per cell of each element; occupancies may make them fractional.
    given : mapping
        Charges that the user states; they are not changed.
    where : str
        File, for messages.

    Raises
    ------
    UserError
        If no combination is neutral, or an element has no usual state on record.
    """
    strangers = sorted(set(given) - set(counts))
    if strangers:
        raise UserError(
            f"interface.charges: {where} holds no {', '.join(strangers)}, only {', '.join(counts)}"
        )
    if not NONMETALS & set(counts):
        return {el: float(given.get(el, 0.0)) for el in counts}
    unknown = [el for el in counts if el not in given and el not in STATES]
    if unknown:
        raise UserError(
            f"{where}: no usual charge is on record for {', '.join(unknown)}; state it, as in "
            f"interface.charges: {{{unknown[0]}: 3}}"
        )
    options = [[float(given[el])] if el in given else [float(q) for q in STATES[el]] for el in counts]
    found = []
    for states in product(*options):
        charges = dict(zip(counts, states, strict=True))
        off = imbalance(counts, charges)
        if off <= TOLERANCE and (min(states) < 0 < max(states)):
            rank = sum(choice.index(q) for choice, q in zip(options, states, strict=True))
            found.append((rank, round(off, 6), tuple(states), charges))
    if not found:
        formula = " ".join(f"{el}{n:.4g}" for el, n in counts.items())
        raise UserError(
            f"{where}: no usual charges make {formula} neutral; check its occupancies, or state the charges, "
            "as in interface.charges: {P: 5, S: -2}"
        )
    return min(found, key=lambda item: item[:3])[3]
