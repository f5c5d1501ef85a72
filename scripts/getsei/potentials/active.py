"""Active learning: what each round samples, and from where.

Round 0 has no student: its frames are disturbed crystals, and what the teacher moves. In every later round
the student of the round before moves crystals and interfaces at several temperatures; the teacher then labels
where it went and was least sure. Dynamics is divided among jobs (`followed`); one more chooses from all.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers

from getsei.potentials import dataset, defects, descriptors, dilute, pairs, sampling, selection, starts
from getsei.potentials.evaluation import solids

log = logging.getLogger("getsei")

METAL_SCALES = np.linspace(0.87, 1.15, 15)
CRYSTAL_SCALES = np.linspace(0.94, 1.06, 7)
"""Factors of all lengths, relative to the published or the relaxed cell."""
CONTACT_EVERY = 5
RELAXED_STRAINED, RELAXED_SCALED = 4, 4
"""Copies of a relaxed crystal that are strained and displaced, and that are compressed or expanded."""
SETTLED_A = (0.02, 0.04)
"""Displacements around a relaxed crystal, of the framework and of lithium."""
SETTLED_STRAIN = 0.02
OWN_DYNAMICS = sampling.Dynamics(40, 1500, 500, 600.0)
OWN_SEED = 1_000_000
"""Of the frames on which the final student is compared with its teacher: no round uses this seed."""


def plan(cfg: Mapping[str, Any], temperature_K: float) -> sampling.Dynamics:
    """Return a dynamics of the settings `teacher_md` or `student_md` at one temperature."""
    return sampling.Dynamics(cfg["relax_steps"], cfg["steps"], cfg["every"], temperature_K)


def metal_volumes(metal: Atoms, rng: np.random.Generator) -> Iterator[tuple[str, Atoms]]:
    """Yield a metal over a wide range of densities: its crystal, close packed, with a vacancy, as a slab.

    A potential that never saw a metal far from its density may have no equilibrium lattice constant at all.
    """
    crystal = sampling.small_supercell(metal, starts.MIN_BULK_ATOMS)
    symbol = metal.get_chemical_symbols()[0]
    edge = (4 * metal.get_volume() / len(metal)) ** (1 / 3)
    packed = bulk(symbol, "fcc", a=edge, cubic=True).repeat(2)
    vacancy = crystal[1:]
    slab = crystal.copy()
    slab.center(vacuum=4.0, axis=2)
    for scale in METAL_SCALES:
        for name, atoms, amplitude in (
            ("crystal", crystal, 0.0),
            ("rattled", crystal, 0.1),
            ("packed", packed, 0.05),
            ("vacancy", vacancy, 0.15),
            ("slab", slab, 0.1),
        ):
            yield f"{name}-{scale:.3f}", scaled(atoms, scale, amplitude, rng)


def scaled(atoms: Atoms, scale: float, amplitude_A: float, rng: np.random.Generator) -> Atoms:
    """Return a copy with all lengths times `scale`, and displacements of standard deviation `amplitude_A`."""
    copy = atoms.copy()
    copy.set_cell(copy.cell[:] * scale, scale_atoms=True)
    copy.positions += amplitude_A * rng.standard_normal(copy.positions.shape)
    return copy


def volume_frames(chosen: dataset.Materials, seed: int) -> Iterator[Atoms]:
    """Yield every crystal over a range of densities, so that the student learns its lattice constants."""
    rng = np.random.default_rng([seed, 4])
    for name, atoms in metal_volumes(dataset.cell_of(chosen.metal, 0), rng):
        yield sampling.tagged(atoms, "density", f"{chosen.metal}-density-{name}", 0)
    for name in (*chosen.electrolytes, *chosen.products):
        base = sampling.small_supercell(sampling.primitive(dataset.cell_of(name, 0)), dataset.MIN_ATOMS)
        for scale in CRYSTAL_SCALES:
            frame = scaled(base, scale, 0.02, rng)
            yield sampling.tagged(frame, "density", f"{name}-density-{scale:.3f}", 0)


def low_density_frames(cfg: Mapping[str, Any], number: int) -> Iterator[Atoms]:
    """Yield stretched, evaporating and gaseous frames of every crystal, drawn anew in every round.

    No others differ as much among themselves, cost so few atoms and need no student to find them.
    """
    chosen = dataset.materials(cfg)
    suffix = f"-round{number}" if number else ""
    solids = [(f"{name}{suffix}", atoms) for name, atoms in small_cells(chosen)]
    metal = dataset.cell_of(chosen.metal, 0)
    yield from dilute.frames(solids, metal, cfg["frames_per_amplitude"], cfg["seed"] + number)


def small_cells(chosen: dataset.Materials) -> list[tuple[str, Atoms]]:
    """Return the smallest cells of all crystals that are wide enough."""
    names = (*chosen.electrolytes, chosen.metal, *chosen.products)
    return [
        (name, sampling.small_supercell(sampling.primitive(dataset.cell_of(name, 0)), dataset.MIN_ATOMS))
        for name in names
    ]


def mobile_of(chosen: dataset.Materials) -> str:
    """Return the symbol of the element of the metal, whose ions move."""
    return dataset.cell_of(chosen.metal, 0).get_chemical_symbols()[0]


def disturbed(cfg: Mapping[str, Any]) -> Iterator[Atoms]:
    """Yield the frames of round 0 that need no dynamics."""
    chosen = dataset.materials(cfg)
    yield from dilute.isolated_atoms(cfg["elements"])
    yield from pairs.frames(cfg["elements"])
    yield from low_density_frames(cfg, 0)
    yield from volume_frames(chosen, cfg["seed"])
    yield from defects.frames(small_cells(chosen), mobile_of(chosen), cfg["seed"])
    yield from dataset.crystal_frames(chosen, cfg["frames_per_amplitude"], cfg["seed"])


def run(start: starts.Start, calculator: Calculator, plans: Sequence[sampling.Dynamics]) -> list[Atoms]:
    """Return the frames of one run through all plans, so that its end has reacted as far as it gets.

    It ends early where the potential leaves its range. The last frame of each plan has ``info["last"]``.
    """
    frames: list[Atoms] = []
    atoms = start.atoms
    for number, one in enumerate(plans):
        here = replace(one, relax_steps=0) if number else one
        seed = start.seed + number
        found = list(
            sampling.follow(atoms, calculator, here, start.kind, start.trajectory, seed, len(frames))
        )
        if not found:
            break
        found[-1].info["last"] = True
        frames += found
        if found[-1].info.get("runaway"):
            break
        atoms = found[-1]
    return frames


def relaxations(start: starts.Start, calculator: Calculator) -> list[Atoms]:
    """Return a crystal as a potential relaxes it, cell and all, and copies: strained, compressed, expanded.

    The densities of round 0 are a percent of the frames of five rounds: stresses of compressed crystals got
    twice as wrong with the rounds.
    """
    rest, _ = solids.relaxed(start.atoms, calculator)
    if sampling.contact_ratio(rest) < sampling.SHORTEST_RATIO_MD:
        return []
    rng = np.random.default_rng(start.seed)
    around = [sampling.displaced(rest, rng, *SETTLED_A, SETTLED_STRAIN) for _ in range(RELAXED_STRAINED)]
    scales = rng.uniform(CRYSTAL_SCALES[0], CRYSTAL_SCALES[-1], RELAXED_SCALED)
    around += [scaled(rest, scale, SETTLED_A[0], rng) for scale in scales]
    return [
        sampling.tagged(frame, start.kind, start.trajectory, step)
        for step, frame in enumerate([rest, *around])
    ]


def followed(
    begun: Sequence[starts.Start],
    motion: Mapping[str, Any],
    calculator: Calculator,
    part: int,
    parts: int,
    doubt: selection.Doubt | None = None,
) -> Iterator[Atoms]:
    """Yield all frames of the runs that fall to one job of a round.

    Parameters
    ----------
    begun : sequence of Start
        All of the round.
    motion : mapping
        The settings `teacher_md` or `student_md`.
    calculator : ase.calculators.calculator.Calculator
        The teacher in round 0, later the student of the round before.
    part, parts : int
        The jobs together run every start once, whatever their number.
    doubt : callable or None
        Uncertainty of the student, which every frame is then scored with.
    """
    plans = [plan(motion, temperature) for temperature in motion["temperatures_K"]]
    for row in starts.share([len(start.atoms) for start in begun], part, parts):
        start = begun[row]
        found = (
            relaxations(start, calculator) if start.kind == starts.RELAXED else run(start, calculator, plans)
        )
        yield from selection.scored(found, doubt)


def in_order(frames: Sequence[Atoms], begun: Sequence[starts.Start]) -> list[Atoms]:
    """Return the frames of all jobs in the order of the starts, so that nothing depends on their number."""
    place = {start.trajectory: row for row, start in enumerate(begun)}
    return sorted(frames, key=lambda frame: (place[frame.info["trajectory"]], frame.info["step"]))


def first_round(
    cfg: Mapping[str, Any], begun: Sequence[starts.Start], moved: Sequence[Atoms]
) -> Iterator[Atoms]:
    """Yield the frames of round 0: disturbed crystals, and all that the teacher moved."""
    yield from disturbed(cfg)
    for frame in in_order(moved, begun):
        frame.info.pop("last", None)
        yield frame


def later_round(
    cfg: Mapping[str, Any],
    number: int,
    begun: Sequence[starts.Start],
    moved: Sequence[Atoms],
) -> Iterator[Atoms]:
    """Yield the frames of round `number` >= 1: a choice of what its student moved, new ones of low density.

    Parameters
    ----------
    cfg : mapping
        The settings `potential_training`.
    number : int
    begun : sequence of Start
        All of the round.
    moved : sequence of ase.Atoms
        From all parts of `followed`; those without a score are chosen by diversity alone.
    """
    share = cfg["frames_per_round"] / len(begun)
    elements = [atomic_numbers[element] for element in cfg["elements"]]
    kind_of = {start.trajectory: start.kind for start in begun}
    runs_of = Counter(start.kind for start in begun)
    kept: list[Atoms] = []
    for kind, group in groupby(in_order(moved, begun), key=lambda frame: kind_of[frame.info["trajectory"]]):
        frames = list(group)
        rows = selection.choose(
            frames,
            selection.scores(frames),
            descriptors.of_frames(frames, elements),
            round(share * runs_of[kind]),
            np.array([frame.info.pop("last", False) for frame in frames], dtype=bool),
        )
        kept += [frames[row] for row in rows]
        log.info("%s: %d of %d frames chosen", kind, len(rows), len(frames))
    yield from dataset.contacts_in(kept, CONTACT_EVERY, cfg["seed"] + number)
    yield from low_density_frames(cfg, number)


def own_frames(cfg: Mapping[str, Any], student: Calculator) -> Iterator[Atoms]:
    """Yield frames of the final student's own dynamics at the interfaces, which no training saw."""
    chosen = dataset.materials(cfg)
    for name, atoms in starts.crystalline_starts(chosen, cfg["seed"]):
        yield from sampling.follow(
            atoms, student, OWN_DYNAMICS, "on-policy interface", f"{name}-own", cfg["seed"] + OWN_SEED
        )
