"""The frames a potential is trained on: which crystals, which disturbances, and how they are split."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import read, write

from getsei.errors import UserError
from getsei.potentials import descriptors, dilute, pairs, sampling
from getsei.potentials.teachers import Label
from getsei.structures import crystals, ordering

log = logging.getLogger("getsei")

ENERGY, FORCES, STRESS = "REF_energy", "REF_forces", "REF_stress"
"""Names under which mace-torch looks for labels."""

MAX_FORCE_eV_per_A = 20.0
"""A teacher is not trained for, and not to be trusted on, forces beyond this."""
CONTACT_RATIOS = (pairs.CONTACT_RATIO, 1.3)
"""Range of the contacts that are made on purpose, so that the repulsion is learnt."""
DUPLICATE = 0.004
"""Frames whose descriptors are nearer than this are duplicates. Displacements of 0.013 Å make that much.

Of 1475 frames of three rounds 42 had a neighbour nearer than 0.003, and 44 one nearer than 0.005: there is a
gap between repetitions and the rest. (Displacements of 0.01 Å give 0.0029, of 0.02 Å 0.0061, medians.)
"""
VALIDATION_SHARE, TEST_SHARE = 0.06, 0.10
MIN_ATOMS = 24
LARGE_CELL = 100
"""Labelling costs more than it teaches in cells beyond this many atoms."""
AMPLITUDES_A = ((0.04, 0.08), (0.07, 0.15), (0.10, 0.22), (0.15, 0.30))
"""Displacements of the framework and of lithium."""


@dataclass(frozen=True)
class Materials:
    """Crystals that the data set covers, by name: electrolytes, the metal, expected products.

    `weights` multiplies the frames of an electrolyte or product; 1 where it names none.
    """

    electrolytes: tuple[str, ...]
    metal: str
    products: tuple[str, ...]
    orderings: int = 3
    weights: Mapping[str, int] = field(default_factory=dict)

    def drawn(self, number: int) -> list[tuple[str, Atoms]]:
        """Return label and cell of every electrolyte, as often as its weight says.

        A disordered crystal has another ordering for every `number` and every repetition.
        """
        return [
            (f"{name}-x{copy}" if copy else name, cell_of(name, number + 1000 * copy))
            for name in self.electrolytes
            for copy in range(self.weights.get(name, 1))
        ]


def materials(cfg: Mapping[str, Any]) -> Materials:
    """Return the crystals that the settings `potential_training` name.

    Raises
    ------
    UserError
        If a weight is given to what is no crystal. One that is not used does no harm: configuration files
        are merged key by key, and none can take a key away.
    """
    for name in cfg["frame_weights"]:
        try:
            crystals.load(name)
        except UserError as error:
            raise UserError(f"potential_training.frame_weights: {error}") from error
    return Materials(
        electrolytes=tuple(cfg["electrolytes"]),
        metal=cfg["metal"],
        products=tuple(cfg["products"]),
        orderings=cfg["orderings"],
        weights=cfg["frame_weights"],
    )


def cell_of(name: str, seed: int) -> Atoms:
    """Return an ordered cell of a crystal; a disordered one is drawn anew for every seed."""
    atoms = ordering.order(crystals.load(name), seed=1 + 100 * seed, draws=2).atoms
    return sampling.primitive(atoms) if len(atoms) > LARGE_CELL else atoms


def crystal_frames(materials: Materials, per_amplitude: int, seed: int) -> Iterator[Atoms]:
    """Yield displaced and strained cells of every crystal, and close contacts.

    Parameters
    ----------
    materials : Materials
    per_amplitude : int
        Frames for each cell and each amplitude of `AMPLITUDES_A`.
    seed : int
    """
    rng = np.random.default_rng([seed, 1])
    for name in (*materials.electrolytes, materials.metal, *materials.products):
        # An ordered electrolyte is the same cell each time, but deserves as many frames as a disordered one.
        for number in range(materials.orderings if name in materials.electrolytes else 1):
            base = sampling.small_supercell(cell_of(name, number), MIN_ATOMS)
            copies = per_amplitude * materials.weights.get(name, 1)
            for amplitude, mobile in AMPLITUDES_A:
                for copy in range(copies):
                    frame = sampling.displaced(base, rng, amplitude, mobile, 0.04)
                    # Displacements are independent draws: each frame is a trajectory of its own.
                    label = f"{name}-{number}-displaced-{amplitude}-{copy}"
                    yield sampling.tagged(frame, "displaced crystal", label, 0)
            for copy in range(copies):
                frame = sampling.displaced(base, rng, 0.05, 0.1, 0.02)
                frame = sampling.close_contact(frame, rng, *CONTACT_RATIOS)
                yield sampling.tagged(frame, "close contact", f"{name}-{number}-contact-{copy}", 0)


def contacts_in(frames: Iterable[Atoms], every: int, seed: int) -> Iterator[Atoms]:
    """Yield the frames, and after every so many of them a copy with one pair pushed close together."""
    rng = np.random.default_rng([seed, 5])
    for number, frame in enumerate(frames):
        yield frame
        if number % every == every - 1:
            close = sampling.close_contact(frame, rng, *CONTACT_RATIOS)
            info = frame.info
            # It keeps the name of its trajectory, and so stays in the same part of the data set.
            yield sampling.tagged(close, "close contact", info["trajectory"], info["step"])


def with_label(frame: Atoms, label: Label) -> Atoms:
    """Return a copy of the frame that carries its label for mace-torch."""
    copy = frame.copy()
    copy.info[ENERGY] = label.energy
    copy.info[STRESS] = label.stress
    copy.arrays[FORCES] = label.forces
    return copy


def label_of(frame: Atoms) -> Label:
    """Return the label of a frame from `with_label`."""
    stress = np.asarray(frame.info[STRESS], dtype=float)
    return Label(float(frame.info[ENERGY]), np.array(frame.arrays[FORCES]), stress)


FIXED = (dilute.ISOLATED, pairs.PAIR)
"""Kinds that are always trained on, never a duplicate, and no sample of what a run meets."""


def usable(frames: Sequence[Atoms], labels: Sequence[Label]) -> tuple[list[Atoms], Counter[str]]:
    """Keep the frames on which the teacher means something.

    Returns
    -------
    kept : list of ase.Atoms
        Labelled.
    dropped : Counter
        Reason to number of frames.
    """
    kept, dropped = [], Counter[str]()
    for frame, label in zip(frames, labels, strict=True):
        values = (label.energy, label.forces, label.stress)
        if not all(np.isfinite(value).all() for value in values):
            dropped["label not finite"] += 1
        elif frame.info["kind"] in FIXED:
            kept.append(with_label(frame, label))
        elif np.linalg.norm(label.forces, axis=1).max() > MAX_FORCE_eV_per_A:
            dropped[f"force above {MAX_FORCE_eV_per_A} eV/Å"] += 1
        elif sampling.contact_ratio(frame) < pairs.CONTACT_RATIO:
            dropped[f"contact below {pairs.CONTACT_RATIO} of the covalent radii"] += 1
        else:
            kept.append(with_label(frame, label))
    return kept, dropped


def unique(frames: Sequence[Atoms], elements: Sequence[str], known: Sequence[Atoms] = ()) -> list[Atoms]:
    """Drop frames that are a duplicate of an earlier one.

    Two frames are duplicates if their descriptors (`descriptors.of_frames`) differ by less than
    `DUPLICATE`, relative to their length. Those of `FIXED` kinds, which are alike on purpose, stay.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    elements : sequence of str
        Symbols of all elements that occur.
    known : sequence of ase.Atoms
        Frames of earlier rounds.
    """
    numbers = [atomic_numbers[element] for element in elements]
    seen = descriptors.of_frames([*known, *frames], numbers)
    lengths = np.linalg.norm(seen, axis=1)
    rows = list(range(len(known)))
    kept = []
    for row, frame in enumerate(frames, len(known)):
        # Only frames of about the same length can be near.
        near = [other for other in rows if abs(lengths[other] - lengths[row]) <= DUPLICATE * lengths[row]]
        if frame.info["kind"] in FIXED or not (
            len(near) and descriptors.distances(seen[row], seen[near]).min() < DUPLICATE
        ):
            rows.append(row)
            kept.append(frame)
    return kept


def part(frame: Atoms) -> str:
    """Say whether a frame belongs to ``train``, ``validation`` or ``test``.

    The trajectory decides, by a hash of its name, so that no trajectory is ever in two parts and a
    trajectory added later moves none of the others. Isolated atoms, which set the zero of the energy, and
    pairs, whose labels are not the teacher's, are always trained on.
    """
    if frame.info["kind"] in FIXED:
        return "train"
    digest = hashlib.sha256(str(frame.info["trajectory"]).encode()).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    if fraction < TEST_SHARE:
        return "test"
    return "validation" if fraction < TEST_SHARE + VALIDATION_SHARE else "train"


def split(frames: Sequence[Atoms]) -> dict[str, list[Atoms]]:
    """Return the frames of each part, by whole trajectories."""
    parts: dict[str, list[Atoms]] = {"train": [], "validation": [], "test": []}
    for frame in frames:
        parts[part(frame)].append(frame)
    return parts


def load(path: str | Path) -> list[Atoms]:
    """Read frames from an extxyz file.

    Raises
    ------
    UserError
        If the file is missing, empty or unreadable.
    """
    try:
        frames = read(path, ":", format="extxyz")
    except (OSError, ValueError, StopIteration) as error:
        raise UserError(f"{path}: not a readable extxyz file ({error})") from error
    if not frames:
        raise UserError(f"{path}: holds no frame")
    return list(frames)


def load_all(paths: Iterable[str | Path]) -> list[Atoms]:
    """Read the frames of several files; an empty one adds none.

    Raises
    ------
    UserError
        If one is missing or unreadable.
    """
    paths = [Path(path) for path in paths]
    return [frame for path in paths if not path.is_file() or path.stat().st_size for frame in load(path)]


def save(path: str | Path, frames: Sequence[Atoms]) -> None:
    """Write frames to an extxyz file, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    write(partial, list(frames), format="extxyz")
    partial.replace(path)
