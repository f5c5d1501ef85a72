"""A user's own labelled frames: which keys hold the labels, and where their energies have their zero.

Two codes, or a code and a model, count energies from different zeros: isolated atoms, pseudopotentials,
nothing at all. Such a difference is a constant for each element. It is fitted by least squares and taken out
before energies are compared, and what was done is told.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io import read

from getsei.errors import UserError
from getsei.potentials import dataset

CALCULATOR = "calculator"
"""Stands for what ASE itself recognises as results (the keys energy, forces and stress of extxyz)."""
ENERGY_KEYS = (
    "REF_energy",
    "dft_energy",
    "DFT_energy",
    "ref_energy",
    "energy_dft",
    "energy_ref",
    CALCULATOR,
    "energy",
    "Energy",
    "total_energy",
    "free_energy",
)
FORCES_KEYS = (
    "REF_forces",
    "dft_forces",
    "DFT_forces",
    "ref_forces",
    "forces_dft",
    "forces_ref",
    CALCULATOR,
    "forces",
    "force",
    "Forces",
    "dft_force",
)
STRESS_KEYS = (
    "REF_stress",
    "dft_stress",
    "DFT_stress",
    "ref_stress",
    CALCULATOR,
    "stress",
    "REF_virial",
    "dft_virial",
    "virial",
    "virials",
)
KIND_KEYS = ("kind", "config_type", "label", "category")
TRAJECTORY_KEYS = ("trajectory", "trajectory_id", "traj", "run")
VACUUM_A = 15.0
"""Put around a molecule that has no cell."""
DIFFERENT_meV_PER_ATOM = 20.0
"""Energies whose mean distance per element is beyond this are taken to have another zero."""
RANK_TOLERANCE = 1e-6
SPARE_FRAMES = 3
"""Fewest frames beyond the fitted numbers for an energy error to be worth telling."""


@dataclass(frozen=True)
class Labels:
    """Labelled frames in the form of `getsei.potentials.dataset`, and how they were read.

    Attributes
    ----------
    frames : list of ase.Atoms
        Periodic, labels under the names of `dataset`.
    keys : dict
        What of ``energy``, ``forces``, ``stress`` to the key that held it; a missing stress is absent.
    dropped : Counter
        Reason to number of frames left out.
    notes : tuple of str
        What a reader of the results must know.
    """

    frames: list[Atoms]
    keys: dict[str, str]
    dropped: Counter[str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Offsets:
    """Energies of the elements by which a potential and the labels differ.

    Attributes
    ----------
    per_element_eV : dict
        Symbol to what is added to the potential's energy for every atom of it; zeros where nothing was
        fitted.
    applied : bool
    rank : int
        Independent compositions among the frames.
    undetermined : tuple of str
        Elements whose own offset the compositions do not determine; only sums of theirs are.
    said : str
    tell : bool
        Whether enough frames are left beyond the fitted numbers for energy errors to mean anything.
    """

    per_element_eV: dict[str, float]
    applied: bool
    rank: int
    undetermined: tuple[str, ...]
    said: str
    tell: bool = True

    def of(self, frame: Atoms) -> float:
        """Return the sum of the offsets of the atoms of a frame, in eV."""
        return float(sum(self.per_element_eV.get(symbol, 0.0) for symbol in frame.get_chemical_symbols()))


def load(
    paths: Sequence[str | Path],
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
) -> Labels:
    """Read labelled frames of extxyz files, or of any format that ASE reads with energies and forces.

    Parameters
    ----------
    paths : sequence of path
    energy_key, forces_key, stress_key : str, optional
        Keys that hold the labels; common names are found by themselves.

    Raises
    ------
    UserError
        If a file is missing, unreadable or empty, or no frame carries energy and forces.
    """
    raw = [(Path(path).stem, frame) for path in paths for frame in _read(Path(path))]
    keys = {
        "energy": _choose("energy", raw, (energy_key,) if energy_key else ENERGY_KEYS),
        "forces": _choose("forces", raw, (forces_key,) if forces_key else FORCES_KEYS),
    }
    if None in keys.values():
        missing = " and ".join(what for what, key in keys.items() if key is None)
        raise UserError(
            f"{', '.join(map(str, paths))}: no frame carries {missing}. Its frames hold {_held(raw)}; "
            "name the "
            "keys with OPTIONS='--energy-key NAME --forces-key NAME'"
        )
    found = {what: str(key) for what, key in keys.items()}
    stress = _choose("stress", raw, (stress_key,) if stress_key else STRESS_KEYS)
    if stress is not None:
        found["stress"] = stress
    elif stress_key:
        raise UserError(f"{', '.join(map(str, paths))}: no frame carries {stress_key}; it holds {_held(raw)}")
    frames, dropped, boxed = [], Counter[str](), 0
    for number, (stem, frame) in enumerate(raw):
        labels = {what: _value(frame, what, key) for what, key in found.items()}
        reason = _fault(frame, labels)
        if reason:
            dropped[reason] += 1
            continue
        boxed += frame.cell.rank != 3
        frames.append(_labelled(frame, labels, stem, number))
    if not frames:
        told = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise UserError(f"{', '.join(map(str, paths))}: no usable frame ({told})")
    notes = []
    if boxed:
        notes.append(
            f"{boxed} frames without a cell were put into boxes with {VACUUM_A:g} Å of vacuum; their "
            "stress is not used."
        )
    if "stress" in found and not any(dataset.STRESS in frame.info for frame in frames):
        del found["stress"]
    return Labels(frames, found, dropped, tuple(notes))


def _read(path: Path) -> list[Atoms]:
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; give the path of an extxyz file with energies and forces in DATA"
        )
    try:
        form = "extxyz" if path.suffix.lower() in (".xyz", ".extxyz") else None
        frames = read(path, ":", format=form)
    except Exception as error:  # whatever a reader of ASE raises at a file that is none of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: not readable as labelled frames ({reason}); expected extxyz, or another format of "
            "ASE with "
            "energies and forces"
        ) from error
    if not frames:
        raise UserError(f"{path}: holds no frame")
    return list(frames)


def _value(frame: Atoms, what: str, key: str) -> np.ndarray | None:
    """Return the label of a frame under a key as an array of numbers, or None."""
    if key == CALCULATOR:
        results = frame.calc.results if frame.calc is not None else {}
        value = results.get(what)
        if what == "energy" and value is None:
            value = results.get("free_energy")
    else:
        value = frame.arrays.get(key) if what == "forces" else frame.info.get(key)
    if value is None:
        return None
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return None
    if what == "stress" and "virial" in key and numbers.size in (6, 9) and frame.cell.rank == 3:
        numbers = -numbers / frame.get_volume()
    return numbers


def _choose(what: str, raw: Sequence[tuple[str, Atoms]], keys: Sequence[str]) -> str | None:
    """Return the first key that most of the frames with any of them have."""
    counts = {key: sum(_value(frame, what, key) is not None for _, frame in raw) for key in keys}
    most = max(counts.values())
    return next((key for key, count in counts.items() if count == most and most > 0), None)


def _fault(frame: Atoms, labels: dict[str, np.ndarray | None]) -> str:
    """Return why a frame is not used; empty where it is."""
    energy, forces = labels["energy"], labels["forces"]
    if energy is None or forces is None:
        return "without energy or forces"
    if energy.size != 1 or forces.shape != (len(frame), 3):
        return "with labels of the wrong shape"
    if not (np.isfinite(energy).all() and np.isfinite(forces).all() and np.isfinite(frame.positions).all()):
        return "with numbers that are not finite"
    return ""


def _labelled(frame: Atoms, labels: dict[str, np.ndarray | None], stem: str, number: int) -> Atoms:
    periodic = frame.cell.rank == 3
    copy = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=True)
    if not periodic:
        copy.cell[:] = np.diag(np.ptp(frame.positions, axis=0) + VACUUM_A)
    copy.info[dataset.ENERGY] = float(np.ravel(labels["energy"])[0])
    copy.arrays[dataset.FORCES] = labels["forces"]
    stress = labels.get("stress")
    if stress is not None and stress.size in (6, 9) and np.isfinite(stress).all() and frame.pbc.all():
        copy.info[dataset.STRESS] = stress.ravel()
    copy.info["kind"] = str(next((frame.info[key] for key in KIND_KEYS if key in frame.info), stem))
    named = next((frame.info[key] for key in TRAJECTORY_KEYS if key in frame.info), None)
    # Without a name of its trajectory every frame counts as one of its own: the intervals are then too narrow
    # where frames come from one run.
    copy.info["trajectory"] = str(named) if named is not None else f"{stem}-{number}"
    copy.info["named"] = named is not None
    return copy


def _held(raw: Sequence[tuple[str, Atoms]]) -> str:
    """Return the keys of the first frame, for a message."""
    _, frame = raw[0]
    results = sorted(frame.calc.results) if frame.calc is not None else []
    names = [*frame.info, *(key for key in frame.arrays if key not in ("numbers", "positions")), *results]
    return ", ".join(names) or "no properties at all"


def fit_offsets(frames: Sequence[Atoms], errors_eV: np.ndarray, fit: str = "auto") -> Offsets:
    """Fit what a potential's energies lack against labels as a constant for each element.

    Least squares of the error per atom; where compositions do not determine every element the solution of
    least norm is taken, whose sums over the frames are right all the same.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    errors_eV : (n_frames,) array
        Energy of the potential less that of the label.
    fit : {"auto", "always", "never"}
        ``auto`` fits where the energies differ by more than `DIFFERENT_meV_PER_ATOM` per atom on average over
        all frames, and there are enough of them.
    """
    elements = sorted({symbol for frame in frames for symbol in frame.get_chemical_symbols()})
    counts = np.array(
        [[frame.get_chemical_symbols().count(element) for element in elements] for frame in frames]
    )
    sizes = counts.sum(axis=1, keepdims=True)
    shares, errors = counts / sizes, errors_eV / sizes[:, 0]
    solution, _, rank, _ = np.linalg.lstsq(shares, -errors, rcond=RANK_TOLERANCE)
    none = dict.fromkeys(elements, 0.0)
    shift = 1000.0 * float(np.sqrt(np.mean((shares @ solution) ** 2)))
    spare = len(frames) - int(rank)
    if fit == "never":
        return Offsets(none, False, int(rank), (), "Energies were compared as they are, as asked.")
    if fit == "auto" and shift <= DIFFERENT_meV_PER_ATOM:
        said = (
            f"Energies have the same zero (a fit for each element would move them by {shift:.3g} meV/atom)."
        )
        return Offsets(none, False, int(rank), (), said)
    _, singular, vectors = np.linalg.svd(shares, full_matrices=True)
    null = vectors[np.count_nonzero(singular > RANK_TOLERANCE * singular[0]) :]
    loose = tuple(
        element
        for element, weight in zip(elements, np.abs(null).max(axis=0, initial=0.0), strict=True)
        if weight > 1e-6
    )
    said = (
        "Energies have another zero: a constant for each element, fitted by least squares to "
        f"{len(frames)} frames, "
        f"was added to the potential ({shift / 1000.0:.3g} eV/atom on average)."
    )
    if loose:
        said += (
            f" The compositions do not determine the constants of {', '.join(loose)} one by one, only "
            "their sums "
            f"in these frames ({rank} independent compositions, {len(elements)} elements); other "
            "compositions "
            "cannot be compared with them."
        )
    if spare < SPARE_FRAMES:
        said += f" Only {spare} frames are left beyond the {rank} fitted numbers: energy errors are not told."
    values = {element: float(value) for element, value in zip(elements, solution, strict=True)}
    return Offsets(values, True, int(rank), loose, said, spare >= SPARE_FRAMES)


def elements_of(frames: Sequence[Atoms]) -> list[str]:
    """Return the symbols that occur, by atomic number."""
    return [
        chemical_symbols[number] for number in sorted({int(z) for frame in frames for z in frame.numbers})
    ]
