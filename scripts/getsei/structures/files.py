"""Crystals from CIF and POSCAR files, partial occupancies included.

ASE tokenises the CIF (Hall, Allen, Brown, Acta Cryst. A 47 (1991) 655); symmetry, occupancies, charges and
all checks are ours, so that a broken file is named with what is wrong in it.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from math import gcd
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.formula import Formula
from ase.io.cif import CIFBlock, parse_cif
from ase.spacegroup import Spacegroup
from ase.spacegroup.spacegroup import parse_sitesym

from getsei import cells
from getsei.errors import UserError
from getsei.structures import charges as formal
from getsei.structures.crystals import FULL, SITE_TOLERANCE, Crystal, Positions, Site

log = logging.getLogger("getsei")

SAME_PLACE_A = 0.05
"""Rows of a CIF closer than this share one position."""
OVERFULL = 1.02
"""Occupancies of one position may sum to this much; refined ones do not add up exactly."""
TOO_CLOSE = 0.5
"""Two always occupied positions are never closer than this fraction of their covalent radii."""
SYMOPS = (
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
)
NUMBERS = ("_space_group_it_number", "_space_group.it_number", "_symmetry_int_tables_number")
SYMBOLS = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m")


def read_cif(path: Path, given: Mapping[str, float]) -> Crystal:
    """Return the first structure of a CIF.

    Parameters
    ----------
    path : Path
    given : mapping
        Formal charges stated by the user.

    Raises
    ------
    UserError
        If the file has no usable cell, symmetry or sites, or contradicts itself.
    """
    block = _block(path)
    parameters = _numbers(block, [f"_cell_length_{x}" for x in "abc"], path) + _numbers(
        block, [f"_cell_angle_{x}" for x in ("alpha", "beta", "gamma")], path
    )
    cell = _cell(parameters, path)
    rows = np.array([_column(block, f"_atom_site_fract_{x}", path) for x in "xyz"]).T
    symbols = _symbols(block, len(rows), path)
    occupancies = (
        _column(block, "_atom_site_occupancy", path)
        if "_atom_site_occupancy" in block
        else np.ones(len(rows))
    )
    if (occupancies < 0).any() or (occupancies > OVERFULL).any():
        bad = int(np.argmax(np.abs(occupancies - 0.5)))
        raise UserError(f"{path}: occupancy {occupancies[bad]:g} of atom {bad + 1}; expected 0 to 1")
    operations = _operations(block, path)
    sites: list[tuple[dict[str, float], np.ndarray]] = []
    for symbol, row, share in zip(symbols, rows, occupancies, strict=True):
        if share <= 0:
            continue
        images = _images(row, operations)
        shared = next((site for site in sites if _same(site[1], images, cell)), None)
        if shared is None:
            sites.append(({symbol: float(share)}, images))
        else:
            shared[0][symbol] = shared[0].get(symbol, 0.0) + float(share)
    for occupancy, images in sites:
        total = sum(occupancy.values())
        if total > OVERFULL:
            what = ", ".join(f"{el} {share:g}" for el, share in occupancy.items())
            raise UserError(
                f"{path}: the position {np.round(images[0], 4).tolist()} holds {what}, {total:.3g} in all; "
                "expected at most 1"
            )
        if total > 1:
            occupancy.update({el: share / total for el, share in occupancy.items()})
    if not sites:
        raise UserError(f"{path}: no atom has an occupancy above 0")
    fractional = np.vstack([images for _, images in sites])
    orbit = np.repeat(np.arange(len(sites)), [len(images) for _, images in sites])
    return assemble(path, parameters, [occupancy for occupancy, _ in sites], fractional, orbit, given)


def read_poscar(path: Path, given: Mapping[str, float]) -> Crystal:
    """Return the structure of a POSCAR or CONTCAR with a line of species names.

    Parameters
    ----------
    path : Path
    given : mapping
        Formal charges stated by the user.

    Raises
    ------
    UserError
        If a line is missing or of the wrong kind; the message gives its number.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()

    def words(number: int, what: str) -> list[str]:
        if number > len(lines) or not lines[number - 1].strip():
            raise UserError(f"{path}: ends before line {number}; expected {what} there")
        return lines[number - 1].split()

    def numbers(number: int, count: int, what: str) -> list[float]:
        found = words(number, what)
        try:
            values = [float(word) for word in found[:count]]
        except ValueError:
            values = []
        if len(values) != count or not np.isfinite(values).all():
            raise UserError(f"{path}: line {number} is {' '.join(found)!r}; expected {what}")
        return values

    scale = numbers(2, 1, "the scaling factor")[0]
    cell = np.array([numbers(3 + k, 3, "a cell vector, three numbers") for k in range(3)])
    volume = abs(float(np.linalg.det(cell)))
    if volume < 1e-6 or scale == 0:
        raise UserError(f"{path}: the cell has no volume; give three independent vectors in lines 3 to 5")
    factor = scale if scale > 0 else (-scale / volume) ** (1 / 3)
    cell = cell * factor
    names = [word.split("_")[0].split("/")[0] for word in words(6, "the species, as in: Li P S")]
    if names[0].isdigit():
        raise UserError(f"{path}: line 6 holds numbers; put the species above them, as in: Li P S")
    strangers = [name for name in names if name not in atomic_numbers]
    if strangers:
        raise UserError(f"{path}: line 6: unknown element {', '.join(strangers)}")
    counts = [int(n) for n in numbers(7, len(names), f"{len(names)} numbers of atoms, one for each species")]
    if len(words(7, "")) != len(names) or min(counts) < 1:
        raise UserError(f"{path}: line 7 must hold one number of atoms, at least 1, for each of {names}")
    at = 8
    if words(at, "Direct or Cartesian")[0][0] in "sS":
        at += 1
    mode = words(at, "Direct or Cartesian")[0][0].lower()
    if mode not in "dckDCK":
        raise UserError(
            f"{path}: line {at} is {lines[at - 1].strip()!r}; expected Direct or Cartesian (is the number of "
            "atoms in line 7 right?)"
        )
    total = sum(counts)
    points = np.array(
        [
            numbers(at + 1 + k, 3, f"the position of atom {k + 1} of {total}, three numbers")
            for k in range(total)
        ]
    )
    following = lines[at + total] if len(lines) > at + total else ""
    if len(following.split()) >= 3 and all(_is_number(word) for word in following.split()[:3]):
        # Velocities come after an empty line or a header.
        raise UserError(
            f"{path}: line {at + total + 1} holds one more position than the {total} atoms of line 7"
        )
    fractional = points if mode == "d" else points * factor @ np.linalg.inv(cell)
    if np.linalg.det(cell) < 0:
        cell, fractional = cell[[1, 0, 2]], fractional[:, [1, 0, 2]]
    orbit = np.repeat(np.arange(len(names)), counts)
    parameters = cells.to_parameters(cell)
    return assemble(path, parameters, [{name: 1.0} for name in names], fractional, orbit, given)


def assemble(
    path: Path,
    parameters: Sequence[float],
    occupancies: Sequence[dict[str, float]],
    fractional: np.ndarray,
    orbit: np.ndarray,
    given: Mapping[str, float],
) -> Crystal:
    """Return a crystal from all positions of its cell.

    Parameters
    ----------
    path : Path
        For its name and for messages.
    parameters : sequence of 6 float
        Å and degrees.
    occupancies : sequence of dict
        Element to share, by orbit.
    fractional : (n, 3) array
    orbit : (n,) array
    given : mapping
        Formal charges stated by the user.

    Raises
    ------
    UserError
        If positions that are always occupied overlap, or no charges are neutral.
    """
    sizes = np.bincount(orbit)
    counts: dict[str, float] = {}
    for occupancy, size in zip(occupancies, sizes, strict=True):
        for element, share in occupancy.items():
            counts[element] = counts.get(element, 0.0) + share * int(size)
    counts = {el: float(round(n)) if abs(n - round(n)) < 1e-3 else n for el, n in counts.items()}
    positions, primitive = translated(Positions(fractional % 1.0, orbit), occupancies)
    cell = cells.from_parameters(parameters)
    _check_overlap(path, cell, positions, occupancies)
    charges = formal.guess(counts, given, str(path))
    metal = not any(charges.values())
    first = [fractional[np.argmax(orbit == index)] for index in range(len(sizes))]
    formula, units = _formula(counts)
    log.info(
        "%s: %s, %d atoms per cell%s; charges %s",
        path,
        formula,
        round(sum(counts.values())),
        "" if all(sum(o.values()) > FULL and len(o) == 1 for o in occupancies) else ", disordered",
        ", ".join(f"{el} {q:+g}" for el, q in charges.items()),
    )
    return Crystal(
        name=path.name,
        formula=formula,
        role="metal" if metal else "electrolyte",
        space_group=None,
        origin_choice=1,
        parameters=tuple(float(x) for x in parameters),
        formula_units=units,
        charges=charges,
        sites=tuple(
            Site(dict(occupancy), str(int(size)), tuple(float(x) for x in point))  # type: ignore[arg-type]
            for occupancy, size, point in zip(occupancies, sizes, first, strict=True)
        ),
        min_distances_A={},
        source=str(path),
        counts=counts,
        positions=positions,
        primitive=primitive,
    )


def translated(positions: Positions, occupancies: Sequence[dict[str, float]]) -> tuple[Positions, np.ndarray]:
    """Find the translations inside the cell that map the crystal on itself.

    Parameters
    ----------
    positions : Positions
    occupancies : sequence of dict
        Element to share, by orbit; orbits of equal content count as one kind.

    Returns
    -------
    Positions
        The same, made exactly periodic under these translations.
    (3, 3) array
        Primitive lattice vectors as rows in units of the cell.
    """
    contents = [str(sorted((el, round(share, 3)) for el, share in o.items())) for o in occupancies]
    kind = np.unique(contents, return_inverse=True)[1][positions.orbit]
    fractional = positions.fractional
    members = fractional[kind == np.argmin(np.bincount(kind))]
    kinds = [fractional[kind == k] for k in range(kind.max() + 1)]
    shifts = [np.zeros(3)]
    shifts += [d for d in (members - members[0])[1:] if all(_covers(of + d, of) for of in kinds)]
    # The order of a translation divides their number, so that its components are whole multiples of 1/n.
    found = np.rint(np.array(shifts) * len(shifts)) / len(shifts)
    exact, done = fractional.copy(), np.zeros(len(fractional), dtype=bool)
    for atom in range(len(fractional)):
        if not done[atom]:
            images = fractional[atom] + found
            away = images[:, None] - fractional[None]
            distance = np.abs(away - np.rint(away)).max(axis=2) + 1e3 * (kind != kind[atom])
            copies = distance.argmin(axis=1)
            exact[copies], done[copies] = images % 1.0, True
    return Positions(exact, positions.orbit), _shortest_basis(found)


def _shortest_basis(translations: np.ndarray) -> np.ndarray:
    """Return a right-handed basis of the lattice of the unit vectors and these translations."""
    corners = np.array(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1])).reshape(3, -1).T
    vectors = (translations[:, None] + corners).reshape(-1, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.lexsort((*(-np.round(vectors, 6)).T, np.round(lengths, 6)))
    vectors = vectors[order][lengths[order] > 1e-6]
    volume = 1.0 / len(translations)
    for b in range(1, len(vectors)):
        for c in range(b + 1, len(vectors)):
            trial = vectors[[0, b, c]]
            if abs(abs(np.linalg.det(trial)) - volume) < 1e-6:
                return trial if np.linalg.det(trial) > 0 else trial[[1, 0, 2]]
    return np.eye(3)


def _covers(first: np.ndarray, second: np.ndarray) -> bool:
    """Tell whether two sets of fractional positions are the same modulo the lattice."""
    away = first[:, None] - second[None]
    return bool((np.abs(away - np.rint(away)).max(axis=2).min(axis=1) < SITE_TOLERANCE).all())


def _block(path: Path) -> CIFBlock:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            blocks = list(parse_cif(str(path)))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not readable as CIF ({reason}); the file may be cut short") from error
    usable = [block for block in blocks if "_atom_site_fract_x" in block]
    if not usable:
        raise UserError(f"{path}: no structure in this CIF; expected a cell and _atom_site_fract_x, _y, _z")
    if len(usable) > 1:
        log.warning("%s holds %d structures; the first, %s, is taken", path, len(usable), usable[0].name)
    return usable[0]


def _is_number(word: object) -> bool:
    try:
        return bool(np.isfinite(float(word)))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _numbers(block: CIFBlock, keys: Sequence[str], path: Path) -> list[float]:
    for key in keys:
        if not _is_number(block.get(key)):
            raise UserError(f"{path}: {key} is {block.get(key, 'missing')}; expected a number")
    return [float(block[key]) for key in keys]  # type: ignore[arg-type]


def _column(block: CIFBlock, key: str, path: Path) -> np.ndarray:
    values = block.get(key)
    if values is None:
        raise UserError(f"{path}: {key} is missing")
    values = values if isinstance(values, list) else [values]
    for row, value in enumerate(values):
        if not _is_number(value):
            raise UserError(f"{path}: {key} of atom {row + 1} is {value!r}; expected a number")
    return np.array([float(value) for value in values])


def _cell(parameters: Sequence[float], path: Path) -> np.ndarray:
    try:
        return cells.check(cells.from_parameters(parameters))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _symbols(block: CIFBlock, count: int, path: Path) -> list[str]:
    try:
        symbols = [str(symbol) for symbol in block.get_symbols()]
    except Exception as error:
        raise UserError(f"{path}: no element symbols; expected _atom_site_type_symbol or labels") from error
    strangers = sorted({symbol for symbol in symbols if symbol not in atomic_numbers or symbol == "X"})
    if strangers or len(symbols) != count:
        raise UserError(
            f"{path}: unknown element {', '.join(strangers)}" if strangers else f"{path}: torn loop"
        )
    return symbols


def _operations(block: CIFBlock, path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return rotations and translations of the space group: those listed, else those of its name."""
    listed = next((block[key] for key in SYMOPS if key in block), None)
    if listed:
        listed = [listed] if isinstance(listed, str) else listed
        try:
            rotations, translations = parse_sitesym([str(text) for text in listed])
        except Exception as error:
            raise UserError(f"{path}: a symmetry operation is not readable ({error})") from error
        for text, rotation in zip(listed, rotations, strict=True):
            if round(abs(np.linalg.det(rotation))) != 1:
                raise UserError(f"{path}: {text!r} is no symmetry operation; expected one as in 'x,-y,z+1/2'")
        return list(zip(rotations, translations, strict=True))
    number = next((block[key] for key in NUMBERS if key in block), None)
    symbol = next((block[key] for key in SYMBOLS if key in block), None)
    if number is None and symbol is None:
        log.warning("%s states no symmetry: its positions are taken as all there are (P1)", path)
        return [(np.eye(3), np.zeros(3))]
    try:
        group = Spacegroup(int(number)) if number is not None else Spacegroup(str(symbol))  # type: ignore[arg-type]
    except Exception as error:
        raise UserError(
            f"{path}: unknown space group {symbol or number}; add the list {SYMOPS[0]} to the file"
        ) from error
    log.warning(
        "%s lists no symmetry operations: those of the standard setting of %s are used; check the number of "
        "atoms below",
        path,
        group.symbol,
    )
    return list(group.get_symop())


def _images(row: np.ndarray, operations: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    found: list[np.ndarray] = []
    for rotation, translation in operations:
        image = (rotation @ row + translation) % 1.0
        if not found or not _covers(image[None], np.array(found)):
            found.append(image)
    return np.array(found)


def _same(first: np.ndarray, second: np.ndarray, cell: np.ndarray) -> bool:
    if len(first) != len(second):
        return False
    away = first[0] - second
    return bool(np.linalg.norm((away - np.rint(away)) @ cell, axis=1).min() < SAME_PLACE_A)


def _check_overlap(
    path: Path, cell: np.ndarray, positions: Positions, occupancies: Sequence[dict[str, float]]
) -> None:
    full = np.array([sum(occupancy.values()) > FULL for occupancy in occupancies])[positions.orbit]
    chosen = np.flatnonzero(full)
    major = [max(o, key=o.__getitem__) for o in occupancies]
    radius = np.array([covalent_radii[atomic_numbers[el]] for el in major])[positions.orbit]
    i, j, _, distances = cells.pairs(positions.fractional[chosen] @ cell, cell, 2.5, full=False)
    near = distances < TOO_CLOSE * (radius[chosen[i]] + radius[chosen[j]])
    if near.any():
        k = int(np.flatnonzero(near)[np.argmin(distances[near])])
        first, second = (major[positions.orbit[chosen[index[k]]]] for index in (i, j))
        raise UserError(
            f"{path}: two always occupied positions, {first} and {second}, are {distances[k]:.2f} Å apart; "
            "check the symmetry operations and the occupancies"
        )


def _formula(counts: Mapping[str, float]) -> tuple[str, int]:
    """Return a formula, reduced where the counts are whole, and how many of it the cell holds."""
    if all(float(n).is_integer() for n in counts.values()):
        whole = {el: int(n) for el, n in counts.items()}
        units = gcd(*whole.values())
        return Formula.from_dict({el: n // units for el, n in whole.items()}).format("metal"), units
    return "".join(f"{el}{n:.4g}" for el, n in counts.items()), 1
