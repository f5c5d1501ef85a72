"""Which reader serves which file."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from getsei.errors import UserError
from getsei.trajectory import ase_files, binary, lammps, vasp
from getsei.trajectory.frames import Source, element, malformed, text_lines

COMPRESSED = (".gz", ".bz2", ".xz")
ENDINGS = {
    ".lammpstrj": "lammps-dump",
    ".lammpsdump": "lammps-dump",
    ".dump": "lammps-dump",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".traj": "ase",
    ".dcd": "dcd",
    ".xtc": "xtc",
    ".h5md": "h5md",
}


def detect(path: Path) -> str:
    """Return the format of a file, from its name and its first bytes.

    Raises
    ------
    UserError
        If none fits.
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(16)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if not start:
        raise UserError(f"{path}: is empty")
    if start.startswith(b"\x89HDF"):
        with binary._open_hdf5(path) as handle:
            return "getsei" if "record" in handle.attrs else "h5md"
    if start.startswith(b"- of Ulm"):
        return "ase"
    if start[4:8] == b"CORD":
        return "dcd"
    name = path.name.lower()
    stem = Path(name.removesuffix(Path(name).suffix) if Path(name).suffix in COMPRESSED else name)
    if stem.suffix in ENDINGS:
        return ENDINGS[stem.suffix]
    if "xdatcar" in name:
        return "xdatcar"
    lines = [line.strip() for line in islice(text_lines(path), 6)]
    if lines and lines[0].startswith("ITEM:"):
        return "lammps-dump"
    if lines and lines[0].startswith("<?xml"):
        return "vasprun"
    if len(lines) > 1 and lines[0].isdecimal() and "=" in lines[1]:
        return "extxyz"
    raise UserError(f"{path}: the format is not recognised; give trajectory.format")


def open_source(
    path: Path, format: str = "auto", types: Sequence[str] = (), topology: Path | None = None
) -> Source:
    """Understand a trajectory file without reading it whole.

    Parameters
    ----------
    path : Path
        The file.
    format : str
        One of `FORMATS`, or ``auto``.
    types : sequence of str
        Elements of the numeric types 1, 2, …
    topology : Path or None
        File that names the atoms.

    Returns
    -------
    Source

    Raises
    ------
    UserError
        If the file is not what it should be.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    wrong = [name for name in types if element(name) != name]
    if wrong:
        raise UserError(f"trajectory.types: {', '.join(map(repr, wrong))} is no element")
    if topology is not None and not topology.is_file():
        raise UserError(f"trajectory.topology: no file {topology}")
    chosen = detect(path) if format == "auto" else format
    with malformed(path):
        return READERS[chosen](path, types, topology)


Reader = Callable[[Path, Sequence[str], Path | None], Source]
READERS: Mapping[str, Reader] = {
    "lammps-dump": lammps.read_dump,
    "extxyz": lambda path, types, topology: ase_files.read_extxyz(path),
    "ase": lambda path, types, topology: ase_files.read_ase(path),
    "xdatcar": lambda path, types, topology: vasp.read_xdatcar(path, types),
    "vasprun": lambda path, types, topology: vasp.read_vasprun(path),
    "dcd": binary.read_dcd,
    "xtc": binary.read_xtc,
    "h5md": lambda path, types, topology: binary.read_h5md(path, types),
    "getsei": lambda path, types, topology: binary.read_store(path),
}
FORMATS = ("auto", *READERS)
