"""What becomes of the bonds: coordination numbers along a trajectory, and which starting bonds survive."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import data

from getsei import cells, statistics
from getsei.records import Estimate, Trajectory

FRAMEWORK_STRETCH = 1.2
"""Longest bond of two framework atoms over the sum of their covalent radii (P-S 2.5, Zr-O 2.9 Å)."""
MOBILE_STRETCH = 1.35
"""The same for a bond to a mobile ion, whose first shells are wider (Li-S 3.1, Li-O 2.6 Å)."""
MIN_BONDS = 0.5
"""Fewest bonds per atom at the start for a pair of framework elements to be followed."""
ANIONS = frozenset({"N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I"})
"""Elements that may end a framework bond; pairs of metals are not bonds of the electrolyte."""
END_SHARE = 0.1
"""Last part of the trajectory over which the surviving bonds are averaged."""


@dataclass(frozen=True)
class Course:
    """Number of neighbours of one element around another over time.

    Attributes
    ----------
    centre, neighbour : str
        Element symbols.
    cutoff_A : float
        Longest bond in Å.
    times_ps : (n_samples,) array
        Time since the start of the trajectory in ps.
    mean, sd : (n_samples,) arrays
        Mean and standard deviation over the centre atoms.
    n_atoms : int
        Number of centre atoms.
    survival : Estimate or None
        Share of the bonds of the first frame that are there at the end; None for mobile neighbours.
    """

    centre: str
    neighbour: str
    cutoff_A: float
    times_ps: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    n_atoms: int
    survival: Estimate | None

    @property
    def name(self) -> str:
        """Return the pair as ``centre-neighbour``."""
        return f"{self.centre}-{self.neighbour}"

    def as_dict(self) -> dict[str, Any]:
        """Return the course in plain lists, for a record."""
        plain = dataclasses.asdict(self)
        plain |= {key: getattr(self, key).tolist() for key in ("times_ps", "mean", "sd")}
        return {**plain, "name": self.name, "survival": self.survival and self.survival.as_dict()}


def bond_cutoff(first: str, second: str, stretch: float) -> float:
    """Return the longest bond in Å, from scaled covalent radii.

    The radii are those of B. Cordero et al., Dalton Trans. (2008) 2832, 10.1039/b801115j.
    """
    radii = data.covalent_radii
    return stretch * float(radii[data.atomic_numbers[first]] + radii[data.atomic_numbers[second]])


def courses(
    trajectory: Trajectory, mobile: Sequence[str], n_samples: int = 40, draws: int = 500, seed: int = 0
) -> list[Course]:
    """Follow framework bonds, and mobile ions around framework atoms, along a trajectory.

    Parameters
    ----------
    trajectory : Trajectory
        All stages.
    mobile : sequence of str
        Mobile elements.
    n_samples : int
        Frames looked at, evenly spaced, first and last included.
    draws, seed : int
        Resamplings of the centre atoms for the interval of the survival, and their seed.

    Returns
    -------
    list of Course
        Anions around other framework elements where they are bonded in the first frame, then mobile
        ions around each framework element and each framework element around mobile ions.
    """
    species = np.asarray(trajectory.species)
    elements, totals = np.unique(species, return_counts=True)
    number = dict(zip(elements.tolist(), totals.tolist(), strict=True))
    framework = [str(e) for e in elements if e not in mobile]
    wanted = [
        (a, b, bond_cutoff(a, b, FRAMEWORK_STRETCH))
        for a in framework
        for b in framework
        if a not in ANIONS and b in ANIONS
    ]
    first_mobile = len(wanted)
    shells = [(a, m) for a in framework for m in mobile if m in number]
    shells += [(m, a) for a, m in shells]
    wanted += [(a, b, bond_cutoff(a, b, MOBILE_STRETCH)) for a, b in shells]
    if not wanted:
        return []
    n_frames = len(trajectory.positions)
    frames = np.unique(np.linspace(0, n_frames - 1, min(n_samples, n_frames)).round().astype(int))
    longest = max(cutoff for *_, cutoff in wanted)
    counts: list[list[np.ndarray]] = [[] for _ in wanted]
    bonds: list[list[np.ndarray]] = [[] for _ in wanted]
    for frame in frames:
        i, j, _, distance = cells.pairs(trajectory.in_cell(frame), trajectory.cell(frame), longest, full=True)
        for row, (a, b, cutoff) in enumerate(wanted):
            near = (species[i] == a) & (species[j] == b) & (distance < cutoff)
            counts[row].append(np.bincount(i[near], minlength=len(species))[species == a])
            if row < first_mobile:
                bonds[row].append(np.unique(i[near] * len(species) + j[near]))
    found = []
    for row, (a, b, cutoff) in enumerate(wanted):
        number_of = np.array(counts[row], dtype=float)
        if row < first_mobile and number_of[0].mean() < MIN_BONDS:
            continue
        found.append(
            Course(
                centre=a,
                neighbour=b,
                cutoff_A=cutoff,
                times_ps=frames * trajectory.frame_interval_ps,
                mean=number_of.mean(1),
                sd=number_of.std(1),
                n_atoms=number[a],
                survival=_survival(bonds[row], len(species), draws, seed) if row < first_mobile else None,
            )
        )
    return found


def _survival(bonds: Sequence[np.ndarray], n_atoms: int, draws: int, seed: int) -> Estimate:
    """Return the share of the first frame's bonds present at the end, centre atoms resampled."""
    first = bonds[0]
    last = bonds[-max(1, round(END_SHARE * len(bonds))) :]
    kept = np.mean([np.isin(first, later) for later in last], axis=0)
    _, centre = np.unique(first // n_atoms, return_inverse=True)
    sums = np.stack([np.bincount(centre, kept), np.bincount(centre)])
    weights = statistics.resampling_weights(sums.shape[1], draws, seed)
    resampled = (weights @ sums[0]) / (weights @ sums[1])
    note = f"{len(first)} bonds of {sums.shape[1]} atoms"
    return Estimate(float(kept.mean()), *statistics.interval(resampled), "1", sums.shape[1], True, note)
