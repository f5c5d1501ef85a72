"""VASP: XDATCAR and vasprun.xml.

Written here because the parsers at hand load whole files, and forget the time step.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from getsei.errors import UserError
from getsei.trajectory.frames import Frame, Source, Truncated, element, open_text, text_lines

FS_PER_PS = 1000.0


def read_xdatcar(path: Path, names: Sequence[str]) -> Source:
    """Understand an XDATCAR.

    Parameters
    ----------
    path : Path
        The file, compressed or not.
    names : sequence of str
        Elements in the order of the counts; needed where the file (VASP 4) does not name them.

    Raises
    ------
    UserError
        If the header is not that of an XDATCAR.
    """
    lines = text_lines(path)
    _, labels, counts = _header(path, next(lines, ""), lines)
    problems: tuple[str, ...] = ()
    chosen = list(names) or labels
    if not chosen:
        problems = (
            f"{path}: line 6 gives counts ({' '.join(map(str, counts))}) but no elements; give "
            "trajectory.types, one element for each count",
        )
        chosen = [f"type {number}" for number in range(1, len(counts) + 1)]
    elif len(chosen) != len(counts):
        problems = (f"{path}: {len(counts)} counts of atoms for the elements {' '.join(chosen)}",)
        chosen = [f"type {number}" for number in range(1, len(counts) + 1)]
    species = np.repeat(chosen, counts)
    if names == () or not names:
        species = np.array([element(str(s)) or str(s) for s in species])
    return Source(
        path=path,
        format="xdatcar",
        species=species,
        frames=lambda: _xdatcar_frames(path),
        counts="frames",
        problems=problems,
    )


def _header(path: Path, comment: str, lines: Iterator[str]) -> tuple[np.ndarray, list[str], list[int]]:
    """Read the lines behind the comment: scale, cell, elements (may be missing), counts."""
    head = [line.split() for line in islice(lines, 5)]
    if len(head) < 5:
        raise Truncated(f"{path}: ends inside a header")
    try:
        scale = float(head[0][0])
        cell = np.array([[float(word) for word in words[:3]] for words in head[1:4]]).reshape(3, 3)
    except (ValueError, IndexError):
        raise UserError(
            f"{path}: expected a scale and three cell vectors below the comment {comment.strip()[:40]!r}; "
            "it is no XDATCAR, or its cell is missing"
        ) from None
    if scale < 0:
        scale = (-scale / abs(np.linalg.det(cell))) ** (1 / 3)
    if head[4] and all(word.isdecimal() for word in head[4]):
        return scale * cell, [], [int(word) for word in head[4]]
    counts = next(lines, "").split()
    if not head[4] or not counts or not all(word.isdecimal() for word in counts):
        raise UserError(f"{path}: expected a line of elements and a line of counts below the cell")
    return scale * cell, head[4], [int(word) for word in counts]


def _xdatcar_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames; a header between frames (variable cell) replaces the cell."""
    lines = text_lines(path)
    cell, labels, counts = _header(path, next(lines, ""), lines)
    n_atoms, frame = sum(counts), 0
    for line in lines:
        words = line.replace("=", " ").split()
        if not words:
            continue
        if words[:2] != ["Direct", "configuration"]:
            cell, again, new = _header(path, line, lines)
            if new != counts or again != labels:
                raise UserError(
                    f"{path}: the header before frame {frame + 1} lists other atoms "
                    f"({' '.join([*again, *map(str, new)])}) than the first; read the runs as "
                    "separate systems"
                )
            continue
        frame += 1
        place = f"{path}: frame {frame} ({' '.join(words)})"
        rows = list(islice(lines, n_atoms))
        values = " ".join(rows).split()
        if len(rows) < n_atoms:
            raise Truncated(f"{place}: ends after {len(rows)} of {n_atoms} atoms")
        try:
            fractional = np.array(values, dtype=float)
            if fractional.size != 3 * n_atoms:
                raise ValueError(f"{fractional.size} numbers for {n_atoms} atoms")
        except ValueError as error:
            kind = UserError if next(lines, None) is not None else Truncated
            raise kind(f"{place}: not {n_atoms} lines of three coordinates ({error})") from None
        step = int(words[2]) if len(words) > 2 and words[2].isdecimal() else frame
        yield Frame(fractional.reshape(-1, 3) @ cell, cell, step=step)


def read_vasprun(path: Path) -> Source:
    """Understand a vasprun.xml of a molecular dynamics run.

    Raises
    ------
    UserError
        If it names no atoms.
    """
    species, incar = None, {}
    for tag, node in _nodes(path, ("atominfo", "incar", "parameters", "calculation")):
        if tag == "calculation":
            break
        if tag == "atominfo":
            rows = node.findall("array[@name='atoms']/set/rc")
            species = np.array([element(row[0].text or "") or "X" for row in rows])
        else:
            incar |= {i.get("name"): (i.text or "").strip() for i in node.iter("i")}
    if species is None or not len(species) or "X" in species:
        raise UserError(f"{path}: names no atoms; expected the vasprun.xml of a VASP run")
    timestep_fs = float(incar.get("POTIM", "nan")) if incar.get("IBRION") == "0" else np.nan
    notes = () if np.isfinite(timestep_fs) else (f"{path.name}: IBRION is not 0; its frames have no time",)
    return Source(
        path=path,
        format="vasprun",
        species=species,
        frames=lambda: _vasprun_frames(path, len(species), timestep_fs),
        notes=notes,
    )


def _nodes(path: Path, wanted: Sequence[str]) -> Iterator[tuple[str, ElementTree.Element]]:
    """Yield elements of an XML file as they close, forgetting each behind itself."""
    with open_text(path) as handle:
        depth: list[ElementTree.Element] = []
        try:
            for event, node in ElementTree.iterparse(handle, events=("start", "end")):
                if event == "start":
                    depth.append(node)
                    continue
                depth.pop()
                if node.tag in wanted:
                    yield node.tag, node
                    node.clear()
                    if depth:
                        depth[-1].remove(node)
        except ElementTree.ParseError as error:
            kind = Truncated if depth else UserError
            raise kind(f"{path}: the XML breaks off or is malformed ({error})") from error
        except EOFError as error:
            raise Truncated(f"{path}: the compressed file ends too early; copy it again") from error


def _vasprun_frames(path: Path, n_atoms: int, timestep_fs: float) -> Iterator[Frame]:
    for number, (_, node) in enumerate(_nodes(path, ("calculation",)), start=1):
        structure = node.find("structure")
        if structure is None:
            raise UserError(f"{path}: step {number} has no structure")
        try:
            cell = _vectors(structure, "crystal/varray[@name='basis']/v", 3)
            fractional = _vectors(structure, "varray[@name='positions']/v", n_atoms)
        except ValueError as error:
            raise UserError(f"{path}: step {number}: {error}") from None
        energy = node.find("energy/i[@name='e_fr_energy']")
        yield Frame(
            fractional @ cell,
            cell,
            step=number,
            time_ps=number * timestep_fs / FS_PER_PS if np.isfinite(timestep_fs) else None,
            energy=float(energy.text or "nan") if energy is not None else np.nan,
        )


def _vectors(node: ElementTree.Element, where: str, n: int) -> np.ndarray:
    rows = [[float(word) for word in (v.text or "").split()] for v in node.findall(where)]
    if len(rows) != n or any(len(row) != 3 for row in rows):
        raise ValueError(f"{len(rows)} vectors in {where.split('/')[-2]}, expected {n} of three numbers")
    return np.array(rows)
