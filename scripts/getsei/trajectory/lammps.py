"""LAMMPS text dumps and data files.

Written here because no parser at hand streams them, honours image flags in triclinic cells and stops at
a malformed frame; the tests compare it with ASE.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np

from getsei.errors import UserError
from getsei.trajectory.frames import (
    Frame,
    Source,
    Truncated,
    element,
    element_of_mass,
    name_types,
    text_lines,
)

CONVENTIONS = (("xu", False), ("xsu", True), ("x", False), ("xs", True))
"""First column of the positions, best first, and whether they are in units of the cell."""
LENGTHS_IN_ANGSTROM = {"metal": 1.0, "real": 1e-3}
"""Unit styles whose length is the Å, and their unit of time in ps."""
STYLES = {"atomic": 1, "charge": 1, "full": 2, "molecular": 2, "bond": 2, "angle": 2, "sphere": 1}
"""Column of the type in the section Atoms of a data file, by atom style."""


def read_dump(path: Path, names: Sequence[str], data_file: Path | None) -> Source:
    """Understand a text dump.

    Parameters
    ----------
    path : Path
        The dump, compressed or not.
    names : sequence of str
        Elements of types 1, 2, …; empty to take them from the dump or the data file.
    data_file : Path or None
        LAMMPS data file whose masses name the types.

    Raises
    ------
    UserError
        If the first frame is not that of a dump.
    """
    first = next(_blocks(path), None)
    if first is None:
        raise UserError(f"{path}: holds no frame; expected 'ITEM: TIMESTEP'")
    order = first.order()
    notes = () if "id" in first.columns else (f"{path.name}: no atom ids; the order is taken as fixed",)
    problems: tuple[str, ...] = ()
    if not names and data_file is None and "element" in first.columns:
        labels = first.text("element")[order]
        species = np.array([element(label) or f"type {label}" for label in labels])
        unknown = sorted({label for label in labels if element(label) is None})
        if unknown:
            problems = (f"{path}: {', '.join(unknown)} are no elements; give trajectory.types",)
    elif "type" in first.columns:
        masses = _masses(data_file) if data_file is not None and not names else {}
        listed = list(names) or [masses[number] for number in sorted(masses)]
        species, problems = name_types(first.numbers("type")[order].astype(int), listed, str(path))
    else:
        species = np.full(len(order), "type 1")
        problems = (f"{path}: has neither a column `type` nor `element`; dump one of them",)
    return Source(
        path=path,
        format="lammps-dump",
        species=species,
        frames=lambda: _frames(path, first),
        problems=problems,
        notes=notes,
    )


class _Block:
    """One snapshot of a dump as it stands in the file."""

    def __init__(
        self, where: str, header: dict[str, list[str]], columns: list[str], words: np.ndarray
    ) -> None:
        self.where, self.header, self.columns, self.words = where, header, columns, words

    def numbers(self, name: str) -> np.ndarray:
        try:
            return self.words[:, self.columns.index(name)].astype(float)
        except ValueError as error:
            raise UserError(f"{self.where}: column {name} holds what is no number ({error})") from error

    def text(self, name: str) -> np.ndarray:
        return self.words[:, self.columns.index(name)].astype(str)

    def order(self) -> np.ndarray:
        """Return the rows in the order of the atom ids."""
        if "id" not in self.columns:
            return np.arange(len(self.words))
        ids = self.numbers("id")
        order = np.argsort(ids, kind="stable")
        if (np.diff(ids[order]) == 0).any():
            raise UserError(f"{self.where} lists an atom id twice")
        return order


def _blocks(path: Path) -> Iterator[_Block]:
    """Yield the snapshots of a dump."""
    lines = text_lines(path)
    header: dict[str, list[str]] = {}
    place = "at the start"
    for line in lines:
        if not line.strip():
            continue
        if not line.startswith("ITEM:"):
            raise UserError(
                f"{path}: {place}: expected a line 'ITEM: …', found {line.strip()[:60]!r}; it is no LAMMPS "
                "dump, or a frame has more lines than its number of atoms"
            )
        words = line.split()[1:]
        key = " ".join(words[:3]) if words[:1] == ["NUMBER"] else " ".join(words[:1])
        if key != "ATOMS":
            wanted = 3 if key == "BOX" else 1
            header[key] = [*words[2:]] if key == "BOX" else []
            values = [value.strip() for value in islice(lines, wanted)]
            if len(values) < wanted:
                raise Truncated(f"{path}: ends inside a header, {place}")
            header[key] += values
            place = f"step {header['TIMESTEP'][0]}" if "TIMESTEP" in header else place
            continue
        for needed in ("TIMESTEP", "NUMBER OF ATOMS", "BOX"):
            if needed not in header:
                raise UserError(f"{path}: {place}: no 'ITEM: {needed}' before the atoms")
        table = _table(path, place, lines, header["NUMBER OF ATOMS"][0], words[1:])
        yield _Block(f"{path}: {place}", header, words[1:], table)
        header = {key: header[key] for key in ("UNITS",) if key in header}


def _table(path: Path, place: str, lines: Iterator[str], count: str, columns: list[str]) -> np.ndarray:
    """Read the lines of the atoms of one snapshot."""
    if not count.isdecimal() or not int(count):
        raise UserError(f"{path}: {place}: {count!r} is no number of atoms")
    n_atoms = int(count)
    rows = list(islice(lines, n_atoms))
    short = next((i for i, row in enumerate(rows) if row.startswith("ITEM:")), None)
    if short is not None:
        raise UserError(f"{path}: {place}: {short} lines of atoms, the header says {n_atoms}")
    if len(rows) < n_atoms:
        raise Truncated(f"{path}: {place}: ends after {len(rows)} of {n_atoms} atoms")
    words: list[str] = " ".join(rows).split()
    if len(words) != n_atoms * len(columns):
        wrong = next((i for i, row in enumerate(rows) if len(row.split()) != len(columns)), n_atoms - 1)
        kind = Truncated if wrong == n_atoms - 1 and next(lines, None) is None else UserError
        raise kind(
            f"{path}: {place}: line {wrong + 1} of the atoms has {len(rows[wrong].split())} values for "
            f"{len(columns)} columns"
        )
    numeric = [c not in ("element",) for c in columns]
    if all(numeric):
        try:
            return np.array(words, dtype=float).reshape(n_atoms, -1)
        except ValueError:
            pass
    return np.array(words, dtype=object).reshape(n_atoms, -1)


def _frames(path: Path, first: _Block) -> Iterator[Frame]:
    """Yield the frames of a dump, atoms in the order of their ids."""
    unit_ps = 0.0
    reference = {name: first.numbers(name)[first.order()] for name in ("id", "type") if name in first.columns}
    for block in _blocks(path):
        step, where = block.header["TIMESTEP"][0], block.where
        if "UNITS" in block.header:
            style = block.header["UNITS"][0]
            if style not in LENGTHS_IN_ANGSTROM:
                raise UserError(f"{path}: written in units {style}; expected metal or real (Å)")
            unit_ps = LENGTHS_IN_ANGSTROM[style]
        if len(block.words) != len(first.words):
            raise UserError(
                f"{where}: {len(block.words)} atoms, the first frame has {len(first.words)}; every frame "
                "must hold the same atoms (thermo_modify lost error)"
            )
        order = block.order()
        try:
            for name, known in reference.items():
                if name not in block.columns or not np.array_equal(block.numbers(name)[order], known):
                    raise UserError(f"{where}: the atom {name}s differ from those of the first frame")
            cell, origin = _cell(block.header["BOX"], where)
            positions, unwrapped = _positions(block, order, cell, origin, where)
            count = int(step)
        except ValueError as error:
            raise UserError(f"{where}: a value is no number ({error})") from error
        time = block.header.get("TIME")
        time_ps = float(time[0]) * unit_ps if time and unit_ps else None
        yield Frame(positions, cell, step=count, time_ps=time_ps, unwrapped=unwrapped)


def _cell(box: list[str], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return cell vectors and origin (Å) from 'BOX BOUNDS' and its three lines."""
    *flags, x, y, z = box
    rows = [[float(word) for word in line.split()] for line in (x, y, z)]
    periodic = [flag for flag in flags if len(flag) == 2 and set(flag) <= set("pfsm")]
    if any(flag != "pp" for flag in periodic):
        raise UserError(
            f"{where}: the box is not periodic ({' '.join(periodic)}); getsei needs a cell that is periodic "
            "along all three vectors"
        )
    if flags[:2] == ["abc", "origin"]:
        table = np.array(rows)
        return table[:, :3], table[:, 3]
    tilted = len(rows[0]) == 3
    xy, xz, yz = (row[2] for row in rows) if tilted else (0.0, 0.0, 0.0)
    low = np.array([row[0] for row in rows]) - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high = np.array([row[1] for row in rows]) - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    edge = high - low
    return np.array([[edge[0], 0.0, 0.0], [xy, edge[1], 0.0], [xz, yz, edge[2]]]), low


def _positions(
    block: _Block, order: np.ndarray, cell: np.ndarray, origin: np.ndarray, where: str
) -> tuple[np.ndarray, bool]:
    """Return positions (n_atoms, 3) in Å, and whether they follow the atoms through the boundaries."""
    for column, scaled in CONVENTIONS:
        if column not in block.columns:
            continue
        names = [column, column.replace("x", "y"), column.replace("x", "z")]
        if not set(names) <= set(block.columns):
            raise UserError(f"{where}: has column {column} but not all of {', '.join(names)}")
        found = np.stack([block.numbers(name) for name in names], axis=1)[order]
        if scaled:
            found = found @ cell + origin
        images = {"ix", "iy", "iz"} <= set(block.columns)
        if "u" not in column and images:
            found = found + np.stack([block.numbers(i) for i in ("ix", "iy", "iz")], axis=1)[order] @ cell
        return found, "u" in column or images
    raise UserError(f"{where}: no positions; dump x y z, xs ys zs, xu yu zu or xsu ysu zsu")


def is_data_file(path: Path) -> bool:
    """Tell whether a file looks like a LAMMPS data file."""
    head = [line.split("#")[0].split() for line in islice(text_lines(path), 40)]
    return any(words[1:] == ["atoms"] for words in head) and any(
        words[1:] == ["atom", "types"] for words in head
    )


def _section(path: Path, title: str) -> tuple[str, list[str]]:
    """Return the comment behind the title of a section of a data file, and its lines."""
    lines = text_lines(path)
    for line in lines:
        name, _, comment = line.partition("#")
        if name.strip() == title:
            body = []
            for entry in chain(islice(lines, 1, None)):
                if not entry.strip():
                    break
                body.append(entry.strip())
            return comment.strip(), body
    raise UserError(f"{path}: the data file has no section {title!r}")


def _masses(path: Path) -> dict[int, str]:
    """Return the element of each type from the masses of a data file."""
    found = {}
    for line in _section(path, "Masses")[1]:
        values, _, comment = line.partition("#")
        number, mass = values.split()[:2]
        named = element(comment) if comment.strip() else None
        symbol = element_of_mass(float(mass)) or named
        if symbol is None:
            raise UserError(
                f"{path}: the mass {mass} of type {number} is that of no element; give trajectory.types"
            )
        found[int(number)] = symbol
    return found


def data_species(path: Path, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the species of the atoms of a data file by rising id, and what is missing to name them."""
    style, lines = _section(path, "Atoms")
    if style not in STYLES:
        raise UserError(
            f"{path}: which column of Atoms holds the type is not known; write the style behind the title, "
            f"as in 'Atoms # atomic' (known: {', '.join(STYLES)})"
        )
    rows = [line.split() for line in lines]
    ids = np.array([int(row[0]) for row in rows])
    types = np.array([int(row[STYLES[style]]) for row in rows])[np.argsort(ids)]
    masses = {} if names else _masses(path)
    return name_types(types, list(names) or [masses[number] for number in sorted(masses)], str(path))
