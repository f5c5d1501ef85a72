"""Crystal facts as data, and the sites they generate."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from ase.formula import Formula
from ase.spacegroup import Spacegroup
from ase.spacegroup.spacegroup import SpacegroupError

from getsei import cells, strict_yaml
from getsei.errors import UserError
from getsei.resources import SHARED
from getsei.structures import names

LIBRARY = SHARED / "config" / "structures"
SITE_TOLERANCE = 5e-3
"""Fractional distance below which symmetry images of one site are the same site."""
FULL = 0.999
COINCIDENT_A = 0.5
"""No two atoms are closer than this; the shortest bond of all, H-H, is 0.74 Å."""
MIN_SKEW = 1e-6
"""Squared volume of a cell over that of a box with its edges; less is no cell."""
COMPOSITION_TOLERANCE = 0.005
REQUIRED = ("formula", "role", "space_group", "cell", "formula_units", "charges", "sites", "source")
OPTIONAL = ("origin_choice", "composition_tolerance", "min_distances_A", "coordinates")


@dataclass(frozen=True)
class Site:
    """One orbit of a crystal.

    Attributes
    ----------
    occupancy : dict
        Element to the share of the positions it occupies; the rest is vacant.
    wyckoff : str
        Multiplicity and letter.
    position : tuple of float
        Fractional coordinates of one member.
    """

    occupancy: dict[str, float]
    wyckoff: str
    position: tuple[float, float, float]


@dataclass(frozen=True)
class Positions:
    """All positions of a cell.

    Attributes
    ----------
    fractional : (n, 3) array
    orbit : (n,) array
        Index of each position's site in `Crystal.sites`.
    """

    fractional: np.ndarray
    orbit: np.ndarray


@dataclass(frozen=True)
class Crystal:
    """What is known of a crystal: see config/structures for the files.

    Attributes
    ----------
    name, formula, source : str
    role : {"electrolyte", "metal", "product"}
    space_group : int or None
        Number in the International Tables; None for a file that lists its positions or its symmetry itself.
    origin_choice, formula_units : int
    parameters : tuple of 6 float
        Of the conventional cell: Å, degrees.
    charges : dict
        Element to formal charge.
    sites : tuple of Site
    min_distances_A : dict
        Pair of elements to a lower bound of their distance.
    counts : dict
        Atoms of each element in the conventional cell; refined occupancies may make them fractional.
    positions : Positions
        Of the conventional cell.
    primitive : (3, 3) array
        Primitive lattice vectors as rows in units of the conventional cell.
    """

    name: str
    formula: str
    role: str
    space_group: int | None
    origin_choice: int
    parameters: tuple[float, ...]
    formula_units: int
    charges: dict[str, float]
    sites: tuple[Site, ...]
    min_distances_A: dict[str, float]
    source: str
    counts: dict[str, float]
    positions: Positions
    primitive: np.ndarray

    @property
    def cell(self) -> np.ndarray:
        """Conventional cell, (3, 3), rows in Å."""
        return cells.from_parameters(self.parameters)

    @property
    def ordered(self) -> bool:
        """Whether every position holds exactly one element."""
        return all(len(site.occupancy) == 1 and sum(site.occupancy.values()) > FULL for site in self.sites)


def load(name: str | Path, charges: Mapping[str, float] | None = None) -> Crystal:
    """Read a crystal and verify its facts.

    Parameters
    ----------
    name : str or Path
        A file of crystal facts (YAML), a CIF, a POSCAR, or the name of a file in config/structures without
        its ending.
    charges : mapping, optional
        Formal charges for a CIF or a POSCAR, where the usual ones are not meant.

    Raises
    ------
    UserError
        If there is no such file, or it contradicts itself: composition, multiplicities, charges,
        distances.
    """
    kind = names.kind_of(name)
    path = Path(name) if kind else LIBRARY / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in LIBRARY.glob("*.yaml")))
        raise UserError(
            f"no crystal {str(name)!r}; there are: {known}. Give one of these, a CIF (.cif), a POSCAR, or "
            "add a file to config/structures"
        )
    if kind in ("cif", "poscar"):
        from getsei.structures import files  # builds on this module

        return (files.read_cif if kind == "cif" else files.read_poscar)(path, charges or {})
    if charges:
        raise UserError(f"interface.charges: {path.name} states its charges itself; remove the key")
    return _parsed(path, strict_yaml.read(path))


def _parsed(path: Path, facts: Any) -> Crystal:
    if not isinstance(facts, dict):
        raise UserError(f"{path.name}: expected the keys {', '.join(REQUIRED)}")
    missing = [key for key in REQUIRED if key not in facts]
    unknown = [key for key in facts if key not in REQUIRED + OPTIONAL]
    if missing or unknown:
        raise UserError(
            f"{path.name}: {'missing' if missing else 'unknown key'} {', '.join(missing or unknown)}"
            f"; a crystal has {', '.join(REQUIRED)} and may have {', '.join(OPTIONAL)}"
        )
    try:
        sites = tuple(
            Site(
                {str(el): float(x) for el, x in site["occupancy"].items()},
                str(site["wyckoff"]),
                tuple(float(x) for x in site["position"]),  # type: ignore[arg-type]
            )
            for site in facts["sites"]
        )
        parameters = tuple(float(x) for x in facts["cell"])
        number, choice = int(facts["space_group"]), int(facts.get("origin_choice", 1))
        units = int(facts["formula_units"])
        counts = {el: float(n * units) for el, n in Formula(str(facts["formula"])).count().items()}
        charges = {str(el): float(q) for el, q in facts["charges"].items()}
        bounds = {str(k): float(v) for k, v in facts.get("min_distances_A", {}).items()}
        tolerance = float(facts.get("composition_tolerance", COMPOSITION_TOLERANCE))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path.name}: a value is missing or of the wrong kind ({error})") from error
    _check_elements(path.name, parameters, sites, counts, charges)
    try:
        group = Spacegroup(number, setting=choice)
    except SpacegroupError as error:
        raise UserError(
            f"{path.name}: there is no space group {number} with origin choice {choice}; expected 1 to 230"
        ) from error
    vectors = group.scaled_primitive_cell
    crystal = Crystal(
        name=path.stem,
        formula=str(facts["formula"]),
        role=str(facts["role"]),
        space_group=number,
        origin_choice=choice,
        parameters=parameters,
        formula_units=units,
        charges=charges,
        sites=sites,
        min_distances_A=bounds,
        source=str(facts["source"]),
        counts=counts,
        positions=_orbits(group, sites),
        primitive=vectors if np.linalg.det(vectors) > 0 else vectors[::-1],
    )
    _verify(crystal, path.name, tolerance)
    return crystal


def _orbits(group: Spacegroup, sites: Sequence[Site]) -> Positions:
    """Return every position of the conventional cell, orbit by orbit."""
    found, orbit = [], []
    for index, site in enumerate(sites):
        images, _ = group.equivalent_sites([site.position], onduplicates="keep", symprec=SITE_TOLERANCE)
        found.append(images)
        orbit.append(np.full(len(images), index))
    return Positions(np.vstack(found) % 1.0, np.concatenate(orbit))


def supercell(crystal: Crystal, transform: np.ndarray) -> tuple[Positions, np.ndarray]:
    """Return all positions in a supercell, and its cell.

    Parameters
    ----------
    crystal : Crystal
    transform : (3, 3) array
        Rows: supercell vectors in units of the conventional cell; any lattice vectors, those of a
        centred cell included.

    Returns
    -------
    Positions
        Fractional coordinates in the supercell, in [0, 1).
    (3, 3) array
        Cell vectors in Å as rows.

    Raises
    ------
    UserError
        If the rows are no lattice vectors of the crystal.
    """
    base = crystal.positions
    transform = np.asarray(transform, dtype=float)
    inverse = np.linalg.inv(transform)
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3) @ transform
    low, high = np.floor(corners.min(0)).astype(int) - 1, np.ceil(corners.max(0)).astype(int) + 1
    ranges = [np.arange(start, stop) for start, stop in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3)
    scaled = (base.fractional[:, None] + grid) @ inverse
    # Positions on a face must fall on one side whatever the rounding.
    scaled[np.abs(scaled - np.rint(scaled)) < 1e-7] = np.rint(scaled[np.abs(scaled - np.rint(scaled)) < 1e-7])
    site, shift = np.nonzero(np.all((scaled >= 0) & (scaled < 1), axis=-1))
    if len(site) != round(abs(np.linalg.det(transform)) * len(base.fractional)):
        raise UserError(f"{crystal.name}: {transform.tolist()} are not lattice vectors of the crystal")
    return Positions(scaled[site, shift], base.orbit[site]), transform @ crystal.cell


def _check_elements(
    where: str,
    parameters: Sequence[float],
    sites: Sequence[Site],
    counts: Mapping[str, float],
    charges: Mapping[str, float],
) -> None:
    if len(parameters) != 6 or min(parameters) <= 0:
        raise UserError(
            f"{where}: cell needs six positive numbers: a, b, c (Å), alpha, beta, gamma (degrees)"
        )
    cosines = np.cos(np.radians(parameters[3:]))
    if not np.isfinite(parameters).all() or 1 - cosines @ cosines + 2 * np.prod(cosines) <= MIN_SKEW:
        raise UserError(f"{where}: no cell has the angles {', '.join(f'{x:g}' for x in parameters[3:])}")
    for index, site in enumerate(sites):
        if len(site.position) != 3 or not np.isfinite(site.position).all() or not site.occupancy:
            raise UserError(
                f"{where}: site {index + 1} ({site.wyckoff}) needs three finite coordinates and an occupancy"
            )
    elements = {el for site in sites for el in site.occupancy}
    strangers = [el for el in elements if el not in atomic_numbers]
    if strangers:
        raise UserError(f"{where}: unknown element {', '.join(strangers)}")
    if elements != set(counts) or elements != set(charges):
        raise UserError(f"{where}: formula, sites and charges name different elements")


def _verify(crystal: Crystal, where: str, tolerance: float) -> None:
    sites, elements = crystal.positions, set(crystal.counts)
    sums = dict.fromkeys(elements, 0.0)
    for index, site in enumerate(crystal.sites):
        count = int((sites.orbit == index).sum())
        stated = re.match(r"\d+", site.wyckoff)
        if stated is None or int(stated.group()) != count:
            raise UserError(
                f"{where}: site {index + 1} ({site.wyckoff}) generates {count} positions; check its "
                "coordinates, the space group and the origin choice"
            )
        if sum(site.occupancy.values()) > 1 + 1e-6 or min(site.occupancy.values()) <= 0:
            raise UserError(f"{where}: site {index + 1} ({site.wyckoff}): occupancies must sum to at most 1")
        for element, share in site.occupancy.items():
            sums[element] += share * count
    for element, count in crystal.counts.items():
        if abs(sums[element] - count) > tolerance * count:
            raise UserError(
                f"{where}: the sites hold {sums[element]:.2f} {element} per cell, the formula {count:g}; "
                "check occupancies and formula_units"
            )
    charge = sum(crystal.charges[el] * n for el, n in crystal.counts.items())
    if abs(charge) > 1e-6:
        raise UserError(
            f"{where}: the charges of {crystal.formula} sum to {charge / crystal.formula_units:+g}"
        )
    full = np.array([sum(site.occupancy.values()) > FULL for site in crystal.sites])[sites.orbit]
    major = np.array([max(site.occupancy, key=site.occupancy.__getitem__) for site in crystal.sites])[
        sites.orbit
    ]
    short = cells.shortest_distances(sites.fractional[full] @ crystal.cell, crystal.cell, major[full])
    for pair, distance in short.items():
        if distance < COINCIDENT_A:
            raise UserError(f"{where}: {pair} {distance:.2f} Å apart: two atoms are on one place")
    for pair, low in crystal.min_distances_A.items():
        if short.get(pair, low) < low:
            raise UserError(f"{where}: {pair} {short[pair]:.2f} Å is shorter than its stated bound {low} Å")
