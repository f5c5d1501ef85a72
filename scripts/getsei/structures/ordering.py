"""From partial occupancies to one ordered cell: seeded draws, annealed by their Coulomb energy."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from scipy.special import erfc

from getsei import cells, units
from getsei.errors import UserError
from getsei.structures.crystals import FULL, Crystal, supercell

SCREENING_A = 3.0
"""Range of the error function that screens the Coulomb interaction; beyond four ranges nothing is left."""
TOO_CLOSE = 0.75
"""A position closer than this fraction of the covalent radii to an always occupied one can not be filled."""
CLASH_eV = (2.0, 100.0)
"""Penalty on a pair that is too close, at the hot and at the cold end: early clashes let ions pass."""
OCCUPANCY_eV = 5.0
"""Penalty on each ion by which an orbit misses its occupancy after rounding; weaker than that on clashes."""
ROUNDING = 0.999
"""Ions by which an orbit may miss its occupancy for free: less than one."""
COMPENSATION = 0.05
"""Share of an element that may be added or left out to make a cell neutral."""
HOT_eV, COLD_eV = 1.0, 0.01
SWEEPS = 1000


@dataclass(frozen=True)
class Ordering:
    """An ordered cell and what it cost.

    Attributes
    ----------
    atoms : ase.Atoms
        Periodic, sorted by element.
    energy_eV : float
        Screened Coulomb energy of the cell with formal charges, relative to nothing: compare only
        orderings of one crystal and one supercell.
    seed : int
        Of the draw that won.
    occupancies : list of dict
        Share of each element on each site of the crystal, in its order.
    """

    atoms: Atoms
    energy_eV: float
    seed: int
    occupancies: list[dict[str, float]]


def order(
    crystal: Crystal,
    transform: np.ndarray | None = None,
    *,
    seed: int = 1,
    draws: int = 8,
    min_mobile_distance_A: float = 2.2,
) -> Ordering:
    """Return the ordered cell of lowest Coulomb energy among several annealed draws.

    Elements that share a position (S/Cl, Ge/P) are distributed within their orbit, so that its occupancy
    is kept to rounding. Ions on partly vacant positions keep the occupancies of their orbits to rounding
    as well, unless distances forbid it: two orbits may be too close to be filled as refined, and then the
    distance decides. The result says what became of the occupancies.

    Parameters
    ----------
    crystal : Crystal
    transform : (3, 3) array, optional
        Rows: supercell vectors in units of the conventional cell, the default.
    seed : int
        Seed of the first draw; each further draw adds one.
    draws : int
        Number of annealed draws; one for an ordered crystal.
    min_mobile_distance_A : float
        No two ions on partly vacant positions are closer than this.

    Raises
    ------
    UserError
        If no draw respects the distance.
    """
    transform = np.eye(3) if transform is None else np.asarray(transform, dtype=float)
    sites, cell = supercell(crystal, transform)
    fractional, orbit = sites.fractional, sites.orbit
    copies = abs(np.linalg.det(transform))
    target = neutral_counts(crystal, copies)
    problem = _Problem(crystal, fractional @ cell, cell, orbit, target, min_mobile_distance_A)
    tries = 1 if crystal.ordered else draws
    best: tuple[float, np.ndarray, int] | None = None
    for number in range(seed, seed + tries):
        content, energy, clashes = problem.anneal(np.random.default_rng(number))
        if clashes == 0 and (best is None or energy < best[0]):
            best = (energy, content, number)
    if best is None:
        raise UserError(
            f"{crystal.name}: no ordering of {tries} draws keeps the mobile ions "
            f"{min_mobile_distance_A} Å apart; lower min_mobile_distance_A or raise ordering_draws"
        )
    energy, content, number = best
    filled = content >= 0
    symbols = np.array(problem.elements)[content[filled]]
    sequence = np.argsort(symbols, kind="stable")
    atoms = Atoms(symbols[sequence], scaled_positions=fractional[filled][sequence], cell=cell, pbc=True)
    return Ordering(atoms, energy, number, _occupancies(crystal, problem.elements, orbit, content))


def neutral_counts(crystal: Crystal, copies: float) -> dict[str, int]:
    """Return whole numbers of atoms of a neutral cell, next to what the occupancies give.

    Refined occupancies seldom add up to a neutral cell. One element on partly vacant positions makes up for
    it: the one whose number changes least in proportion.

    Parameters
    ----------
    crystal : Crystal
    copies : float
        Conventional cells.

    Raises
    ------
    UserError
        If no such element can, within `COMPENSATION` of its number.
    """
    target = {element: round(count * copies) for element, count in crystal.counts.items()}
    excess = round(sum(crystal.charges[element] * count for element, count in target.items()), 6)
    if excess == 0:
        return target
    vacant = {el for site in crystal.sites if sum(site.occupancy.values()) < FULL for el in site.occupancy}
    options = []
    for element in sorted(vacant):
        change = -excess / crystal.charges[element] if crystal.charges[element] else np.inf
        limit = max(1.0, COMPENSATION * target[element])
        if float(change).is_integer() and abs(change) <= limit and target[element] + change >= 0:
            options.append((abs(change) / max(target[element], 1), element, int(change)))
    if not options:
        raise UserError(
            f"{crystal.name}: this supercell would hold {target}, a charge of {excess:+g}, and no ion on "
            "partly vacant positions can make up for it; check occupancies and charges, or take a larger "
            "cell (min_width_A, electrolyte_thickness_A)"
        )
    _, element, change = min(options)
    return {**target, element: target[element] + change}


def _occupancies(
    crystal: Crystal, elements: list[str], orbit: np.ndarray, content: np.ndarray
) -> list[dict[str, float]]:
    return [
        {
            element: round(float(np.mean(content[orbit == index] == elements.index(element))), 4)
            for element in site.occupancy
        }
        for index, site in enumerate(crystal.sites)
    ]


class _Problem:
    """Which element sits where, as an annealing problem over a fixed set of positions."""

    def __init__(
        self,
        crystal: Crystal,
        points: np.ndarray,
        cell: np.ndarray,
        orbit: np.ndarray,
        target: dict[str, int],
        min_distance: float,
    ) -> None:
        self.crystal, self.orbit, self.target = crystal, orbit, target
        self.elements = sorted(target)
        self.charges = np.array([crystal.charges[element] for element in self.elements])
        occupied = np.array([sum(site.occupancy.values()) for site in crystal.sites])[orbit]
        kinds = np.array([len(site.occupancy) for site in crystal.sites])[orbit]
        self.vacant = occupied < FULL
        self.wanted = np.zeros((len(crystal.sites), len(self.elements)))
        self.allowed = np.zeros((len(crystal.sites), len(self.elements) + 1), dtype=bool)
        for index, site in enumerate(crystal.sites):
            for element, share in site.occupancy.items():
                column = self.elements.index(element)
                self.wanted[index, column] = share * np.count_nonzero(orbit == index)
                self.allowed[index, column] = True
            self.allowed[index, -1] = sum(site.occupancy.values()) < FULL
        self.mixed = (kinds > 1) & ~self.vacant
        n = len(points)
        i, j, _, distance = cells.pairs(points, cell, 4 * SCREENING_A, full=True)
        self.coulomb = np.zeros((n, n))
        np.add.at(
            self.coulomb,
            (i, j),
            units.COULOMB_eV_A * erfc(distance / SCREENING_A) / np.maximum(distance, 0.5),
        )
        close = (distance < min_distance) & self.vacant[i] & self.vacant[j]
        self.clash = np.zeros((n, n))
        self.clash[i[close], j[close]] = 1.0
        radii = np.array(
            [min(covalent_radii[atomic_numbers[e]] for e in site.occupancy) for site in crystal.sites]
        )[orbit]
        buried = (distance < TOO_CLOSE * (radii[i] + radii[j])) & self.vacant[i] & ~self.vacant[j]
        self.clash[i[buried], i[buried]] = 2.0

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """Fill every orbit to its occupancy, then repair the totals on partly vacant positions."""
        content = np.full(len(self.orbit), -1)
        for index, site in enumerate(self.crystal.sites):
            members = rng.permutation(np.flatnonzero(self.orbit == index))
            begin = 0
            for element, count in _shared_out(site.occupancy, len(members)).items():
                content[members[begin : begin + count]] = self.elements.index(element)
                begin += count
        self._exchange(content, rng)
        for number, element in enumerate(self.elements):
            excess = int((content == number).sum()) - self.target[element]
            usable = np.flatnonzero(self.vacant)
            if excess > 0:
                taken = rng.permutation(usable[content[usable] == number])[:excess]
                content[taken] = -1
            elif excess < 0:
                may_hold = np.array([element in site.occupancy for site in self.crystal.sites])[self.orbit]
                free = rng.permutation(usable[(content[usable] == -1) & may_hold[usable]])[:-excess]
                content[free] = number
            if int((content == number).sum()) != self.target[element]:
                raise UserError(
                    f"{self.crystal.name}: {element} can not be brought to {self.target[element]} atoms in "
                    "this cell; a larger min_width_A gives occupancies more room"
                )
        return content

    def _exchange(self, content: np.ndarray, rng: np.random.Generator) -> None:
        """Repair totals of elements that share always occupied positions, one position at a time."""
        for short, element in enumerate(self.elements):
            lack = self.target[element] - int((content == short).sum())
            for over, other in enumerate(self.elements):
                spare = int((content == over).sum()) - self.target[other]
                number = min(lack, spare)
                if number > 0:
                    usable = np.flatnonzero(self.mixed & (content == over) & self.allowed[self.orbit, short])
                    taken = rng.permutation(usable)[:number]
                    content[taken] = short
                    lack -= len(taken)

    def anneal(self, rng: np.random.Generator) -> tuple[np.ndarray, float, int]:
        """Anneal one draw by swaps; return contents, Coulomb energy (eV) and remaining clashes.

        Metropolis sampling of pair swaps with a geometric cooling schedule (Kirkpatrick, Gelatt and
        Vecchi, Science 220 (1983) 671, 10.1126/science.220.4598.671).
        """
        content = self.start(rng)
        groups = [
            np.flatnonzero(self.mixed & (self.orbit == index)) for index in np.unique(self.orbit[self.mixed])
        ]
        holders = sorted({el for o in self.orbit[self.vacant] for el in self.crystal.sites[o].occupancy})
        for element in holders:
            may_hold = np.array([element in site.occupancy for site in self.crystal.sites])[self.orbit]
            groups.append(np.flatnonzero(self.vacant & may_hold))
        groups = [group for group in groups if len(np.unique(content[group])) > 1]
        charge = np.where(content >= 0, self.charges[content], 0.0)
        present = ((content >= 0) & self.vacant).astype(float)
        potential, contacts = self.coulomb @ charge, self.clash @ present
        filled = np.zeros_like(self.wanted)
        here = np.flatnonzero(self.vacant & (content >= 0))
        np.add.at(filled, (self.orbit[here], content[here]), 1.0)
        if groups:
            steps = SWEEPS * sum(len(group) for group in groups)
            which = rng.choice(
                len(groups), steps, p=np.array([len(g) for g in groups]) / sum(map(len, groups))
            )
            first, second = rng.random(steps), rng.random(steps)
            threshold = -np.log(np.maximum(rng.random(steps), 1e-300))
            progress = np.arange(steps) / steps
            temperatures = HOT_eV * (COLD_eV / HOT_eV) ** progress
            penalties = CLASH_eV[0] * (CLASH_eV[1] / CLASH_eV[0]) ** progress
            for step in range(steps):
                group = groups[which[step]]
                a, b = group[int(first[step] * len(group))], group[int(second[step] * len(group))]
                if content[a] == content[b] or not self._legal(content, a, b):
                    continue
                dq, dn = charge[b] - charge[a], present[b] - present[a]
                change = dq * (potential[a] - potential[b]) + dq * dq * (
                    0.5 * (self.coulomb[a, a] + self.coulomb[b, b]) - self.coulomb[a, b]
                )
                change += penalties[step] * (
                    dn * (contacts[a] - contacts[b])
                    + dn * dn * (0.5 * (self.clash[a, a] + self.clash[b, b]) - self.clash[a, b])
                )
                moved = self.vacant[a] and self.orbit[a] != self.orbit[b]
                if moved:
                    change += self._misfits(filled, content, a, b)
                if change < threshold[step] * temperatures[step]:
                    potential += dq * (self.coulomb[:, a] - self.coulomb[:, b])
                    contacts += dn * (self.clash[:, a] - self.clash[:, b])
                    if moved:
                        for one, other in ((a, b), (b, a)):
                            if content[one] >= 0:
                                filled[self.orbit[one], content[one]] -= 1
                                filled[self.orbit[other], content[one]] += 1
                    for values in (charge, present, content):
                        values[a], values[b] = values[b], values[a]
        energy = 0.5 * float(charge @ self.coulomb @ charge)
        return content, energy, round(0.5 * float(present @ self.clash @ present))

    def _legal(self, content: np.ndarray, a: int, b: int) -> bool:
        """Tell whether two positions may swap what they hold; a vacancy is the last column."""
        return bool(self.allowed[self.orbit[b], content[a]] and self.allowed[self.orbit[a], content[b]])

    def _misfits(self, filled: np.ndarray, content: np.ndarray, a: int, b: int) -> float:
        """Return the change (eV) of the penalties on the occupancies of two orbits when a swap is made."""
        change = 0.0
        for source, target, element in (
            (self.orbit[a], self.orbit[b], content[a]),
            (self.orbit[b], self.orbit[a], content[b]),
        ):
            if element >= 0:
                change += self._misfit(filled, source, element, -1.0)
                change += self._misfit(filled, target, element, 1.0)
        return change

    def _misfit(self, filled: np.ndarray, orbit: int, element: int, change: float) -> float:
        before = abs(filled[orbit, element] - self.wanted[orbit, element])
        after = abs(filled[orbit, element] + change - self.wanted[orbit, element])
        return OCCUPANCY_eV * (max(after - ROUNDING, 0.0) - max(before - ROUNDING, 0.0))


def _shared_out(occupancy: dict[str, float], places: int) -> dict[str, int]:
    """Return how many of some places each element takes; full sites leave none empty."""
    shares = dict(sorted(occupancy.items()))
    taken = {element: round(share * places) for element, share in shares.items()}
    full = sum(shares.values()) > FULL
    while sum(taken.values()) > places or (full and sum(taken.values()) < places):
        sign = 1 if sum(taken.values()) < places else -1
        needy = max(shares, key=lambda el: sign * (shares[el] * places - taken[el]))
        taken[needy] += sign
    return taken
