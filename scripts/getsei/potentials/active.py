"""Active learning: what each round samples, and from where.

Round 0 has no student. Every later round lets the student of the round before move bulk crystals and
interfaces at several temperatures; the teacher then labels where it went.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from getsei.potentials import dataset, evaluation, sampling
from getsei.potentials.student import Student
from getsei.potentials.teachers import Teacher

MIN_BULK_ATOMS = 48
METAL_LAYERS_A = (8.0, 12.0)
"""Thicknesses of the molten metal layer of the interfaces that are followed."""


def materials(cfg: Mapping[str, Any]) -> dataset.Materials:
    """Return the crystals that the settings `potential_training` name."""
    return dataset.Materials(
        electrolytes=tuple(cfg["electrolytes"]),
        metal=cfg["metal"],
        products=tuple(cfg["products"]),
        orderings=cfg["orderings"],
    )


def plan(cfg: Mapping[str, Any], temperature_K: float) -> sampling.Dynamics:
    """Return a dynamics of the settings `teacher_md` or `student_md` at one temperature."""
    return sampling.Dynamics(cfg["relax_steps"], cfg["steps"], cfg["every"], temperature_K)


def first_round(cfg: Mapping[str, Any], teacher: Teacher) -> Iterator[Atoms]:
    """Yield the frames of round 0: disturbed crystals and short dynamics of the teacher."""
    crystals = materials(cfg)
    motion = cfg["teacher_md"]
    yield from dataset.crystal_frames(crystals, cfg["frames_per_amplitude"], cfg["seed"])
    yield from dataset.teacher_dynamics(
        crystals, teacher.calculator(), plan(motion, motion["temperatures_K"][0]), cfg["seed"]
    )


def bulk_starts(crystals: dataset.Materials, number: int) -> list[tuple[str, Atoms]]:
    """Return a cell of every electrolyte, with an ordering of its own in every round, and of the metal."""
    names = (*crystals.electrolytes, crystals.metal)
    return [
        (f"{name}-bulk", sampling.small_supercell(dataset.cell_of(name, number), MIN_BULK_ATOMS))
        for name in names
    ]


def interface_starts(crystals: dataset.Materials, number: int, seed: int) -> list[tuple[str, Atoms]]:
    """Return an electrolyte cell in contact with molten metal for every electrolyte and layer thickness."""
    rng = np.random.default_rng([seed, 3, number])
    metal = dataset.cell_of(crystals.metal, 0)
    return [
        (
            f"{name}-interface-{thickness:g}",
            sampling.molten_interface(dataset.cell_of(name, number), metal, thickness, rng),
        )
        for name in crystals.electrolytes
        for thickness in METAL_LAYERS_A
    ]


def later_round(cfg: Mapping[str, Any], number: int, model: Path) -> Iterator[Atoms]:
    """Yield the frames of round `number` >= 1: dynamics of the student `model` of the round before."""
    crystals = materials(cfg)
    motion = cfg["student_md"]
    plans = [plan(motion, temperature) for temperature in motion["temperatures_K"]]
    groups = {
        "bulk dynamics": bulk_starts(crystals, number),
        "interface dynamics": interface_starts(crystals, number, cfg["seed"]),
    }
    yield from chain.from_iterable(
        dataset.on_policy(starts, [Student(model)] * len(starts), plans, kind, number, cfg["seed"])
        for kind, starts in groups.items()
    )


def lattices(
    crystals: dataset.Materials, calculators: Mapping[str, Calculator]
) -> dict[str, dict[str, list[float]]]:
    """Return relaxed cell lengths in Å of every electrolyte, of the metal and of every product.

    Parameters
    ----------
    crystals : Materials
    calculators : mapping
        Who relaxes: name to calculator.
    """
    return {
        name: {
            who: evaluation.relaxed_lengths(dataset.cell_of(name, 0), calculator).tolist()
            for who, calculator in calculators.items()
        }
        for name in (*crystals.electrolytes, crystals.metal, *crystals.products)
    }


def stability_runs(cfg: Mapping[str, Any], student: Calculator) -> list[evaluation.Stability]:
    """Return how the student fares in the dynamics of an interface of every electrolyte with the metal."""
    crystals, check = materials(cfg), cfg["stability"]
    starts = interface_starts(crystals, cfg["rounds"], cfg["seed"])
    return [
        evaluation.stability(
            name,
            atoms,
            student,
            stages=[(stage["temperature_K"], stage["steps"]) for stage in check["stages"]],
            timestep_fs=check["timestep_fs"],
            every=check["every"],
            max_force=check["max_force_eV_per_A"],
            min_contact=sampling.SHORTEST_RATIO_MD,
            seed=cfg["seed"],
        )
        for name, atoms in starts
    ]
