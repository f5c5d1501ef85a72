"""Active learning: what each round samples, and from where.

Round 0 has no student. Every later round lets the student of the round before move bulk crystals and
interfaces at several temperatures; the teacher then labels where it went and was least sure.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers

from getsei.errors import UserError
from getsei.potentials import dataset, defects, descriptors, dilute, pairs, sampling, selection
from getsei.potentials.ase_calculator import MACEPotential
from getsei.potentials.teachers import Teacher
from getsei.structures import crystals, interfaces

log = logging.getLogger("getsei")

MIN_BULK_ATOMS = 48
METAL_SCALES = np.linspace(0.87, 1.15, 15)
CRYSTAL_SCALES = np.linspace(0.94, 1.06, 7)
"""Factors of all lengths, relative to the published cells."""
CONTACT_EVERY = 5
PRODUCT_ATOMS = 40
INTERFACE = {
    "miller": (0, 0, 1),
    "electrolyte_thickness_A": 30.0,
    "metal_thickness_A": 24.0,
    "min_width_A": 8.5,
    "max_strain": 0.06,
    "gap_A": 2.5,
    "ordering_draws": 8,
    "min_mobile_distance_A": 2.2,
}
"""Interfaces that the student is followed on: those of the default systems."""
OWN_DYNAMICS = sampling.Dynamics(40, 1500, 500, 600.0)
MAX_ROUNDS = 20
"""More cannot be asked for; draws within a round are numbered beyond."""
RUN_SEEDS = 100
"""From one run of a kind to the next: the same crystal twice shall not move twice in the same way."""
OWN_SEED = 1_000_000
"""Of the frames on which the final student is compared with its teacher: no round uses this seed."""
METAL_LAYERS_A = (8.0, 12.0)
"""Thicknesses of the molten metal layer of the interfaces that are followed."""
OPEN_GAP_A = 8.0
"""Vacuum of the interfaces that are followed with free surfaces, from which atoms may leave."""


def materials(cfg: Mapping[str, Any]) -> dataset.Materials:
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
    return dataset.Materials(
        electrolytes=tuple(cfg["electrolytes"]),
        metal=cfg["metal"],
        products=tuple(cfg["products"]),
        orderings=cfg["orderings"],
        weights=cfg["frame_weights"],
    )


def plan(cfg: Mapping[str, Any], temperature_K: float) -> sampling.Dynamics:
    """Return a dynamics of the settings `teacher_md` or `student_md` at one temperature."""
    return sampling.Dynamics(cfg["relax_steps"], cfg["steps"], cfg["every"], temperature_K)


def metal_volumes(metal: Atoms, rng: np.random.Generator) -> Iterator[tuple[str, Atoms]]:
    """Yield a metal over a wide range of densities: its crystal, close packed, with a vacancy, as a slab.

    A potential that never saw a metal far from its density may have no equilibrium lattice constant at all.
    """
    crystal = sampling.small_supercell(metal, MIN_BULK_ATOMS)
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


def low_density_frames(chosen: dataset.Materials, copies: int, seed: int) -> Iterator[Atoms]:
    """Yield stretched, evaporating and gaseous frames of every crystal, so many draws of each."""
    yield from dilute.frames(small_cells(chosen), dataset.cell_of(chosen.metal, 0), copies, seed)


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


def first_round(cfg: Mapping[str, Any], teacher: Teacher) -> Iterator[Atoms]:
    """Yield the frames of round 0: disturbed crystals and short dynamics of the teacher."""
    chosen = materials(cfg)
    motion = cfg["teacher_md"]
    yield from dilute.isolated_atoms(cfg["elements"])
    yield from pairs.frames(cfg["elements"])
    yield from low_density_frames(chosen, cfg["frames_per_amplitude"], cfg["seed"])
    yield from volume_frames(chosen, cfg["seed"])
    yield from defects.frames(small_cells(chosen), mobile_of(chosen), cfg["seed"])
    yield from dataset.crystal_frames(chosen, cfg["frames_per_amplitude"], cfg["seed"])
    yield from dataset.teacher_dynamics(
        chosen, teacher.calculator(), plan(motion, motion["temperatures_K"][0]), cfg["seed"]
    )


def bulk_starts(chosen: dataset.Materials, number: int) -> list[tuple[str, Atoms]]:
    """Return a cell of every electrolyte, with an ordering of its own in every round, and of the metal."""
    every = [*chosen.drawn(number), (chosen.metal, dataset.cell_of(chosen.metal, number))]
    return [(f"{name}-bulk", sampling.small_supercell(atoms, MIN_BULK_ATOMS)) for name, atoms in every]


def interface_starts(chosen: dataset.Materials, number: int, seed: int) -> list[tuple[str, Atoms]]:
    """Return an electrolyte cell in contact with molten metal for every electrolyte and layer thickness."""
    rng = np.random.default_rng([seed, 3, number])
    metal = dataset.cell_of(chosen.metal, 0)
    return [
        (f"{name}-interface-{thickness:g}", sampling.molten_interface(electrolyte, metal, thickness, rng))
        for name, electrolyte in chosen.drawn(number)
        for thickness in METAL_LAYERS_A
    ]


def open_starts(chosen: dataset.Materials, number: int, seed: int) -> list[tuple[str, Atoms]]:
    """Return the interfaces of `interface_starts` with vacuum between their free surfaces."""
    starts = []
    for name, atoms in interface_starts(chosen, number, seed):
        atoms.center(vacuum=0.5 * OPEN_GAP_A, axis=2)
        starts.append((f"{name}-open", atoms))
    return starts


def product_starts(chosen: dataset.Materials) -> list[tuple[str, Atoms]]:
    """Return a cell of every expected product."""
    return [
        (name, sampling.small_supercell(dataset.cell_of(name, 0), PRODUCT_ATOMS)) for name in chosen.products
    ]


def crystalline_starts(chosen: dataset.Materials, seed: int) -> list[tuple[str, Atoms]]:
    """Return the interface of every electrolyte with the metal, as the study builds it."""
    metal = crystals.load(chosen.metal)
    built = {
        name: interfaces.build(
            crystals.load(name), metal, metal_lattice_A=metal.parameters[0], seed=seed, **INTERFACE
        )
        for name in chosen.electrolytes
    }
    return [(f"{name}-crystalline", interface.atoms) for name, interface in built.items()]


def starts(cfg: Mapping[str, Any], number: int) -> dict[str, list[tuple[str, Atoms]]]:
    """Return name and structure of everything that the student of a round moves, by kind of frame.

    Bulk, interfaces and mixtures are drawn `starts_per_round` times: with other orderings of the disordered
    crystals, other places and other atoms.
    """
    chosen = materials(cfg)
    found: dict[str, list[tuple[str, Atoms]]] = {
        "product dynamics": product_starts(chosen),
        "crystalline interface": crystalline_starts(chosen, cfg["seed"]),
    }
    for draw in range(cfg["starts_per_round"]):
        here = number + MAX_ROUNDS * draw
        for kind, drawn in (
            ("bulk dynamics", bulk_starts(chosen, here)),
            ("interface dynamics", interface_starts(chosen, here, cfg["seed"])),
            ("open interface", open_starts(chosen, here, cfg["seed"])),
            ("mixture", dataset.mixture_starts(chosen, here, cfg["seed"])),
        ):
            found.setdefault(kind, []).extend((f"{name}-draw{draw}", atoms) for name, atoms in drawn)
    return found


def on_policy(
    atoms: Atoms, calculator: Calculator, plans: Sequence[sampling.Dynamics], kind: str, name: str, seed: int
) -> list[Atoms]:
    """Return frames of the student's own dynamics, for the teacher to correct.

    One run goes through all plans, so that its end has reacted as far as it gets; it ends early where the
    student leaves its range. The last frame of each plan has ``info["last"]``.
    """
    frames: list[Atoms] = []
    for number, one in enumerate(plans):
        here = one if number == 0 else replace(one, relax_steps=0)
        found = list(sampling.follow(atoms, calculator, here, kind, name, seed + number, len(frames)))
        found[-1].info["last"] = True
        frames += found
        if found[-1].info.get("runaway"):
            break
        atoms = found[-1]
    return frames


def later_round(
    cfg: Mapping[str, Any], number: int, model: Path, doubt: selection.Doubt | None
) -> Iterator[Atoms]:
    """Yield the frames of round `number` >= 1: dynamics of the student `model` of the round before.

    Parameters
    ----------
    cfg : mapping
        The settings `potential_training`.
    number : int
    model : Path
    doubt : callable or None
        Uncertainty of the student; without one the frames are chosen by diversity alone.
    """
    motion = cfg["student_md"]
    plans = [plan(motion, temperature) for temperature in motion["temperatures_K"]]
    groups = starts(cfg, number)
    share = cfg["frames_per_round"] / sum(map(len, groups.values()))
    elements = [atomic_numbers[element] for element in cfg["elements"]]
    kept: list[Atoms] = []
    for kind, group in groups.items():
        if not group:
            continue
        runs = [
            on_policy(
                atoms,
                MACEPotential(model),
                plans,
                kind,
                f"{name}-round{number}",
                cfg["seed"] + number + RUN_SEEDS * row,
            )
            for row, (name, atoms) in enumerate(group)
        ]
        frames = list(chain.from_iterable(runs))
        rows = selection.choose(
            frames,
            selection.scores(frames, doubt),
            descriptors.of_frames(frames, elements),
            round(share * len(group)),
            np.array([frame.info.pop("last", False) for frame in frames], dtype=bool),
        )
        kept += [frames[row] for row in rows]
        log.info("%s: %d of %d frames chosen", kind, len(rows), len(frames))
    yield from dataset.contacts_in(kept, CONTACT_EVERY, cfg["seed"] + number)


def own_frames(cfg: Mapping[str, Any], student: Calculator) -> Iterator[Atoms]:
    """Yield frames of the final student's own dynamics at the interfaces, which no training saw."""
    chosen = materials(cfg)
    for name, atoms in crystalline_starts(chosen, cfg["seed"]):
        yield from sampling.follow(
            atoms, student, OWN_DYNAMICS, "on-policy interface", f"{name}-own", cfg["seed"] + OWN_SEED
        )
