"""What every reader of a trajectory file hands on: frames, one at a time, and who the atoms are."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from getsei.errors import UserError

MASS_TOLERANCE = 0.1
"""How far (atomic mass units) a mass may lie from that of its element."""
OPENERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))


class Truncated(UserError):
    """The file ends inside a frame; the frames before it are whole."""


@dataclass(frozen=True)
class Frame:
    """The atoms at one time, as a file tells it.

    Attributes
    ----------
    positions : (n_atoms, 3) array
        Å, in the order of the atoms of the file's `Source`.
    cell : (3, 3) array
        Cell vectors in Å as rows.
    step : int or None
        The file's own count; `Source.counts` says of what.
    time_ps : float or None
        Time in ps, where the file knows it.
    unwrapped : bool
        The file follows atoms through the periodic boundaries.
    new_run : bool
        The file says that this frame does not continue the one before.
    temperature, energy : float
        K and eV; NaN where the file has none.
    """

    positions: np.ndarray
    cell: np.ndarray
    step: int | None = None
    time_ps: float | None = None
    unwrapped: bool = False
    new_run: bool = False
    temperature: float = np.nan
    energy: float = np.nan


@dataclass(frozen=True)
class Source:
    """One trajectory file, understood but not read yet.

    Attributes
    ----------
    path : Path
        The file.
    format : str
        Name of its format, as in `trajectory.format`.
    species : (n_atoms,) array of str
        Element symbols; ``type 1`` and so on where the file does not name the elements.
    frames : callable
        Returns a fresh iterator over the frames.
    counts : str
        What `Frame.step` counts: ``time steps`` or ``frames``.
    problems : tuple of str
        What is missing before the file can be used, each with its remedy.
    notes : tuple of str
        What was taken for granted.
    """

    path: Path
    format: str
    species: np.ndarray
    frames: Callable[[], Iterator[Frame]]
    counts: str = "time steps"
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@contextmanager
def malformed(path: Path) -> Iterator[None]:
    """Turn what a reader runs into, in a file that is not what it claims to be, into one message.

    Raises
    ------
    UserError
        Naming the file. What the machine lacks (disk, permission, memory) is passed on as it is.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise UserError(f"{path}: malformed or damaged ({_first_line(error)})") from error
    except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, EOFError) as error:
        raise UserError(f"{path}: malformed or damaged ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def open_text(path: Path) -> IO[str]:
    """Open a text file, compressed (gzip, bzip2, xz) or not."""
    with path.open("rb") as handle:
        start = handle.read(8)
    for magic, opener in OPENERS:
        if start.startswith(magic):
            return io.TextIOWrapper(opener(path, "rb"), encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


def text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, compressed or not.

    Raises
    ------
    Truncated
        If the compressed data end too early, or the last line has no end.
    UserError
        If they cannot be decompressed.
    """
    with open_text(path) as handle:
        try:
            for line in handle:
                if not line.endswith("\n"):
                    raise Truncated(f"{path}: ends inside its last line ({line[:40]!r})")
                yield line
        except EOFError as error:
            raise Truncated(f"{path}: the compressed file ends too early; copy it again") from error
        except (OSError, lzma.LZMAError) as error:
            raise UserError(f"{path}: cannot be decompressed ({error}); copy it again") from error


def element(symbol: str) -> str | None:
    """Return the element a label begins with ("Li_sv", "li", "S2-"), or None where it is none."""
    letters = symbol.strip().partition("_")[0].partition("/")[0].rstrip("0123456789+-").capitalize()
    return letters if letters in atomic_numbers and letters != "X" else None


def element_of_mass(mass: float) -> str | None:
    """Return the element whose standard mass is nearest, or None where none is near enough."""
    nearest = int(np.argmin(np.abs(atomic_masses[1:] - mass))) + 1
    return chemical_symbols[nearest] if abs(atomic_masses[nearest] - mass) <= MASS_TOLERANCE else None


def name_types(types: np.ndarray, names: Sequence[str], what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the species of numeric types 1, 2, …, and what is missing to name them.

    Parameters
    ----------
    types : (n_atoms,) int array
        Numeric types.
    names : sequence of str
        Element of type 1, 2, …; may be empty.
    what : str
        Where the types come from, for the message.
    """
    known = dict(enumerate(names, start=1))
    species = np.array([known.get(int(t), f"type {int(t)}") for t in types])
    unknown = sorted({int(t) for t in types} - set(known))
    if not unknown:
        return species, ()
    counts = ", ".join(f"type {t}: {int((types == t).sum())} atoms" for t in unknown)
    return species, (
        f"{what} has numeric types without elements ({counts}); give trajectory.types, the elements of "
        "types 1, 2, … in order, or a LAMMPS data file with masses as trajectory.topology",
    )
