"""What surrounds an ion, in the terms of a chemist: coordination numbers, density, names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from getsei.records import Environments

ANION_FORMERS = ("O", "S", "Se", "Te", "F", "Cl", "Br", "I", "N", "P", "As")
"""Elements that are negative next to an alkali metal; P and N are so in Li3P and Li3N."""

BOND_CUTOFFS_A = {
    ("Li", "O"): 2.6,
    ("Li", "S"): 3.25,
    ("Li", "Cl"): 3.3,
    ("Li", "P"): 3.2,
    ("Li", "Ge"): 3.2,
    ("Li", "Li"): 3.6,
    ("Na", "P"): 3.3,
    ("Na", "Na"): 4.4,
}
"""First shells where a run shows no clear minimum: from radial distribution functions of Li6PS5Cl at 500 K
(trajectory of 10.1021/acs.chemmater.0c03738) and bond lengths in Li2O, Li3P and Li15Ge4. Li-P at 3.2 Å tells
the phosphide (2.5 Å) from phosphorus behind the sulfur of a thiophosphate (3.1-3.6 Å), and so does Na-P
at 3.3 Å (2.9 Å in Na3P, 3.5 Å and more in Na3PS4). Na-Na is Li-Li scaled by the lattice constants."""

BOND_STRETCH = 1.3
"""Cutoff over sum of covalent radii (B. Cordero et al., Dalton Trans. 2008, 2832) for all other pairs."""

WINDOW_A = (-0.5, 0.7)
"""Where, around the fallback, a minimum of the run's own distribution is looked for."""

BIN_A = 0.05
DEPTH = 0.75
"""A minimum counts if it is this much lower than the maxima on both sides."""

METAL_MAX_ANIONS = 0.5
METAL_MIN_NEIGHBOURS = 4.0
"""An atom on the open face of a bcc metal keeps four nearest neighbours."""
RICH = 1.1
"""A state with this many times the mean number of mobile neighbours is rich in them."""

A_PER_NM = 10.0
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Surroundings:
    """Counts around every ion at every frame.

    Attributes
    ----------
    coordination : (n_frames, n_ions, n_elements) uint8 array
        Neighbours in the first shell by element.
    density : (n_frames, n_ions) float32 array
        Mobile ions per nm³ within the cutoff of the environments, the ion itself included.
    """

    coordination: np.ndarray
    density: np.ndarray


def fallback_cutoff(mobile: str, element: str) -> float:
    """Return a bond length limit in Å that does not look at the run."""
    known = BOND_CUTOFFS_A.get((mobile, element))
    if known is not None:
        return known
    radii = covalent_radii[atomic_numbers[mobile]] + covalent_radii[atomic_numbers[element]]
    return float(BOND_STRETCH * radii)


def centres(replica: Environments, mobile: Sequence[str]) -> np.ndarray:
    """Return the (n_ions,) index among the mobile elements of each ion."""
    return np.array([list(mobile).index(ion) for ion in replica.ions or [mobile[0]] * replica.n_ions])


def distance_histograms(
    replicas: Sequence[Environments], elements: Sequence[str], centre: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Count neighbours by element and distance.

    Parameters
    ----------
    replicas : sequence of Environments
    elements : sequence of str
        Symbols of the neighbours.
    centre : str, optional
        Only around ions of this element.

    Returns
    -------
    edges : (n_bins + 1,) array
        Å.
    counts : (n_elements, n_bins) array
        Neighbours of all ions at all frames.
    """
    edges = np.arange(0.0, replicas[0].cutoff_A + 1e-9, BIN_A)
    counts = np.zeros((len(elements), len(edges) - 1))
    for replica in replicas:
        wanted = np.array([ion == centre for ion in replica.ions]) if centre and replica.ions else None
        for rows in _blocks(len(replica.species)):
            distances = np.linalg.norm(replica.vectors[rows].astype(np.float32), axis=1)
            kinds = replica.species[rows]
            if wanted is not None:
                of = np.searchsorted(replica.offsets, np.arange(rows.start, rows.stop), side="right") - 1
                around = wanted[of % replica.n_ions]
                distances, kinds = distances[around], kinds[around]
            for index, element in enumerate(elements):
                counts[index] += np.histogram(distances[kinds == atomic_numbers[element]], edges)[0]
    return edges, counts


def shell_cutoffs(
    replicas: Sequence[Environments], mobile: Sequence[str], elements: Sequence[str]
) -> dict[str, float]:
    """Return the radius (Å) of the first shell of each element around the mobile ions.

    The first minimum of the run's own radial distribution, where there is a clear one near the expected
    bond length; the expected one otherwise.

    Parameters
    ----------
    replicas : sequence of Environments
        The environments.
    mobile : sequence of str
        Symbols of the mobile ions; each has its own shells.
    elements : sequence of str
        Symbols of the neighbours.

    Returns
    -------
    dict
        ``Li-S`` and the like to Å, ion by ion.
    """
    found = {}
    for ion in mobile:
        edges, counts = distance_histograms(replicas, elements, ion)
        middles = 0.5 * (edges[1:] + edges[:-1])
        for element, histogram in zip(elements, counts, strict=True):
            expected = min(fallback_cutoff(ion, element), replicas[0].cutoff_A)
            radial = np.convolve(histogram / middles**2, [0.25, 0.5, 0.25], mode="same")
            minimum = first_minimum(middles, radial, expected + WINDOW_A[0], expected + WINDOW_A[1])
            found[f"{ion}-{element}"] = round(expected if minimum is None else minimum, 3)
    return found


def first_minimum(distances: np.ndarray, radial: np.ndarray, low: float, high: float) -> float | None:
    """Return the place of the first clear minimum of a curve between two distances, None without one.

    Clear: at most `DEPTH` of the highest value before it and of the highest one after it.
    """
    inside = np.flatnonzero((distances >= low) & (distances <= min(high, distances[-2])))
    for index in inside:
        if index == 0 or radial[index] > min(radial[index - 1], radial[index + 1]):
            continue
        before, after = radial[:index].max(), radial[index + 1 :].max()
        # An empty gap has no single lowest bin; its middle is meant.
        flat = np.flatnonzero(radial[index:] > radial[index])
        last = index + (int(flat[0]) - 1 if len(flat) else 0)
        if before > 0.0 and radial[index] <= DEPTH * min(before, after):
            return float(min(0.5 * (distances[index] + distances[last]), high))
    return None


def surroundings(
    replica: Environments, elements: Sequence[str], cutoffs: Sequence[float], mobile: Sequence[str]
) -> Surroundings:
    """Count the neighbours of every ion at every frame of a replica.

    Parameters
    ----------
    replica : Environments
        The environments.
    elements : sequence of str
        Symbols to count.
    cutoffs : sequence of float
        Radius of the first shell of each in Å, first around the first mobile element, then around the next.
    mobile : sequence of str
        Symbols of the ions that make the density.
    """
    centre = centres(replica, mobile)
    n_environments = len(replica.offsets) - 1
    column = np.full(256, len(elements), dtype=np.int64)
    column[[atomic_numbers[element] for element in elements]] = np.arange(len(elements))
    limit = np.zeros((len(mobile), len(elements) + 1), dtype=np.float32)
    limit[:, :-1] = np.reshape(cutoffs, (len(mobile), len(elements)))
    is_mobile = np.zeros(256, dtype=bool)
    is_mobile[[atomic_numbers[symbol] for symbol in mobile]] = True
    coordination = np.empty((n_environments, len(elements)), dtype=np.uint8)
    around = np.empty(n_environments, dtype=np.float32)
    for rows in _blocks(n_environments):
        first, last = replica.offsets[rows.start], replica.offsets[rows.stop]
        kinds = replica.species[first:last]
        distances = np.linalg.norm(replica.vectors[first:last].astype(np.float32), axis=1)
        size = rows.stop - rows.start
        owner = np.repeat(np.arange(size), np.diff(replica.offsets[rows.start : rows.stop + 1]))
        kept = distances < limit[centre[(rows.start + owner) % replica.n_ions], column[kinds]]
        flat = owner[kept] * len(elements) + column[kinds[kept]]
        counts = np.bincount(flat, minlength=size * len(elements))
        coordination[rows] = counts.reshape(size, len(elements))
        around[rows] = np.bincount(owner[is_mobile[kinds]], minlength=size)
    volume_nm3 = 4.0 / 3.0 * np.pi * (replica.cutoff_A / A_PER_NM) ** 3
    shape = (replica.n_frames, replica.n_ions)
    return Surroundings(
        coordination.reshape(*shape, len(elements)), ((around + 1.0) / volume_nm3).reshape(shape)
    )


def _blocks(total: int) -> list[slice]:
    return [slice(start, min(start + _BLOCK, total)) for start in range(0, total, _BLOCK)]


def anions_among(elements: Sequence[str]) -> list[str]:
    """Return the elements that can be anions, in the order given."""
    return [element for element in elements if element in ANION_FORMERS]


def name_states(
    coordination: np.ndarray, elements: Sequence[str], mobile: Sequence[str], mean_mobile: float
) -> list[str]:
    """Name states by their mean coordination.

    ``metal-like``: fewer than half an anion in the first shell; ``isolated`` if it also holds fewer mobile
    neighbours than a metal atom has anywhere but in its vapour. Otherwise the anions and their rounded
    numbers, ``S3Cl1``, with ``Li-rich`` where the mobile neighbours exceed the mean by a tenth. States that
    would share a name show their mobile neighbours, ``S3Cl1 Li3.9``, then also their anions to one
    decimal, and at last their rank.

    Parameters
    ----------
    coordination : (n_states, n_elements) array
        Mean number of neighbours in the first shell.
    elements, mobile : sequence of str
        Symbols of the columns, and which of them are mobile.
    mean_mobile : float
        Mean number of mobile neighbours of all environments.

    Returns
    -------
    list of str
        Unique names.
    """
    anions = anions_among(elements)
    columns = [elements.index(anion) for anion in anions]
    n_mobile = coordination[:, [elements.index(symbol) for symbol in mobile]].sum(1)
    names = [
        _name(dict(zip(anions, row[columns], strict=True)), number, 0)
        + _rich(number, mean_mobile, row[columns].sum(), mobile)
        for row, number in zip(coordination, n_mobile, strict=True)
    ]
    for decimals in (0, 1):
        for state in [state for state, name in enumerate(names) if names.count(name) > 1]:
            anion_name = _name(
                dict(zip(anions, coordination[state, columns], strict=True)), n_mobile[state], decimals
            )
            names[state] = f"{anion_name} {'/'.join(mobile)}{n_mobile[state]:.1f}"
    return [
        f"{name} #{names[:state].count(name) + 1}" if names.count(name) > 1 else name
        for state, name in enumerate(names)
    ]


def _name(anions: dict[str, float], n_mobile: float, decimals: int) -> str:
    if sum(anions.values()) < METAL_MAX_ANIONS:
        return "metal-like" if n_mobile >= METAL_MIN_NEIGHBOURS else "isolated"
    ordered = sorted(anions, key=lambda element: (-anions[element], element))
    smallest = 0.5 if decimals == 0 else 0.15
    shown = [element for element in ordered if anions[element] >= smallest] or ordered[:1]
    if decimals == 0:
        return "".join(f"{element}{max(1, round(anions[element]))}" for element in shown)
    return "".join(f"{element}{anions[element]:.1f}" for element in shown)


def _rich(number: float, mean: float, n_anions: float, mobile: Sequence[str]) -> str:
    rich = n_anions >= METAL_MAX_ANIONS and number > RICH * mean
    return f" {'/'.join(mobile)}-rich" if rich else ""


def z_profile(labels: np.ndarray, heights: np.ndarray, edges: np.ndarray, n_states: int) -> np.ndarray:
    """Return the (n_states, n_bins) share of all assigned environments by state and height (Å)."""
    counts = np.stack([np.histogram(heights[labels == state], edges)[0] for state in range(n_states)]).astype(
        float
    )
    return counts / max(1.0, counts.sum())
