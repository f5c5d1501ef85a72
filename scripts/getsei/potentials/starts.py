"""What is moved in a round: the structures from which dynamics starts, and how jobs divide them.

Round 0 lets the teacher move mixtures, molten interfaces and the melt. Every later round lets the student of
the round before relax every crystal, and move bulk crystals, products, interfaces and mixtures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from getsei.potentials import dataset, sampling
from getsei.structures import crystals, interfaces

RUNS = (
    "product dynamics",
    "crystalline interface",
    "bulk dynamics",
    "interface dynamics",
    "open interface",
)
"""Kinds of frames of a student that moves what a simulation meets: all it moves but random mixtures."""
RELAXED = "relaxed crystal"
"""Kind of the frames around a crystal that the student relaxed: lattice constants, energies of reactions."""
MIN_BULK_ATOMS = 48
PRODUCT_ATOMS = 40
MIXTURE_ATOMS = 50
MIXTURE_METAL = (15, 45)
TEACHER_MIXTURE_ATOMS = 60
TEACHER_MIXTURE_METAL = (10, 30, 60)
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
MAX_ROUNDS = 20
"""More cannot be asked for; draws within a round are numbered beyond."""
RUN_SEEDS = 100
"""From one run of a kind to the next: the same crystal twice shall not move twice in the same way."""
METAL_LAYERS_A = (8.0, 12.0)
"""Thicknesses of the molten metal layer of the interfaces that are followed."""
OPEN_GAP_A = 8.0
"""Vacuum of the interfaces that are followed with free surfaces, from which atoms may leave."""


@dataclass(frozen=True)
class Start:
    """Where a run starts.

    Attributes
    ----------
    kind, trajectory : str
        Tags of its frames.
    atoms : ase.Atoms
    seed : int
        Of its velocities and random forces.
    """

    kind: str
    trajectory: str
    atoms: Atoms
    seed: int


def mixture_starts(chosen: dataset.Materials, number: int, seed: int) -> list[tuple[str, Atoms]]:
    """Return random mixtures of every electrolyte with little, some and much metal."""
    rng = np.random.default_rng([seed, 4, number])
    metal = dataset.cell_of(chosen.metal, 0)
    starts = []
    for name, electrolyte in chosen.drawn(number):
        share = min(1.0, MIXTURE_ATOMS / len(electrolyte))
        for n_metal in MIXTURE_METAL:
            frame = sampling.mixture(electrolyte, metal, n_metal, rng, share)
            starts.append((f"{name}-mixture-{n_metal}", frame))
    return starts


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


def opened(closed: Sequence[tuple[str, Atoms]]) -> list[tuple[str, Atoms]]:
    """Return interfaces with vacuum between their free surfaces."""
    found = []
    for name, atoms in closed:
        copy = atoms.copy()
        copy.center(vacuum=0.5 * OPEN_GAP_A, axis=2)
        found.append((f"{name}-open", copy))
    return found


def relaxed_starts(chosen: dataset.Materials) -> list[tuple[str, Atoms]]:
    """Return a cell of every crystal, and several orderings of an electrolyte."""
    orderings = dict.fromkeys(chosen.electrolytes, chosen.orderings)
    return [
        (
            f"{name}-{ordering}-relaxed",
            sampling.small_supercell(dataset.cell_of(name, ordering), dataset.MIN_ATOMS),
        )
        for name in (*chosen.electrolytes, chosen.metal, *chosen.products)
        for ordering in range(orderings.get(name, 1))
    ]


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


def of_teacher(cfg: Mapping[str, Any]) -> list[Start]:
    """Return what the teacher moves in round 0: random mixtures, molten interfaces, the melt."""
    chosen, seed = dataset.materials(cfg), cfg["seed"]
    rng = np.random.default_rng([seed, 2])
    metal = dataset.cell_of(chosen.metal, 0)
    found = []
    for name, electrolyte in chosen.drawn(0):
        share = min(1.0, TEACHER_MIXTURE_ATOMS / len(electrolyte))
        for number, n_metal in enumerate(TEACHER_MIXTURE_METAL):
            atoms = sampling.mixture(electrolyte, metal, n_metal, rng, share)
            found.append(Start("mixture", f"{name}-mixture-{number}", atoms, seed + number))
        atoms = sampling.molten_interface(electrolyte, metal, METAL_LAYERS_A[0], rng)
        found.append(Start("molten interface", f"{name}-molten-interface", atoms, seed))
    bulk = sampling.small_supercell(metal, MIN_BULK_ATOMS)
    least_A = sampling.least_distances(1.0)
    atoms = sampling.melt(bulk.get_chemical_symbols(), bulk.cell[:] * 1.01, rng, least_A)
    return [*found, Start("molten metal", f"{chosen.metal}-melt", atoms, seed)]


def of_student(cfg: Mapping[str, Any], number: int) -> list[Start]:
    """Return what the student moves in a round, kind after kind.

    Bulk, interfaces and mixtures are drawn `starts_per_round` times: with other orderings of the disordered
    crystals, other places and other atoms.
    """
    chosen, seed = dataset.materials(cfg), cfg["seed"]
    found: dict[str, list[tuple[str, Atoms]]] = {
        RELAXED: relaxed_starts(chosen),
        "product dynamics": product_starts(chosen),
        "crystalline interface": crystalline_starts(chosen, seed),
    }
    for draw in range(cfg["starts_per_round"]):
        here = number + MAX_ROUNDS * draw
        closed = interface_starts(chosen, here, seed)
        for kind, drawn in (
            ("bulk dynamics", bulk_starts(chosen, here)),
            ("interface dynamics", closed),
            ("open interface", opened(closed)),
            ("mixture", mixture_starts(chosen, here, seed)),
        ):
            found.setdefault(kind, []).extend((f"{name}-draw{draw}", atoms) for name, atoms in drawn)
    return [
        Start(kind, f"{name}-round{number}", atoms, seed + number + RUN_SEEDS * row)
        for kind, group in found.items()
        for row, (name, atoms) in enumerate(group)
    ]


def save(path: str | Path, begun: Sequence[Start]) -> None:
    """Write starts to an extxyz file."""
    frames = [sampling.tagged(start.atoms, start.kind, start.trajectory, 0) for start in begun]
    for frame, start in zip(frames, begun, strict=True):
        frame.info["seed"] = start.seed
    dataset.save(path, frames)


def load(path: str | Path) -> list[Start]:
    """Read what `save` wrote.

    Raises
    ------
    UserError
        If the file is missing, empty or unreadable.
    """
    return [
        Start(str(frame.info["kind"]), str(frame.info["trajectory"]), frame, int(frame.info["seed"]))
        for frame in dataset.load(path)
    ]


def of_round(cfg: Mapping[str, Any], number: int) -> list[Start]:
    """Return everything that is moved in a round, by the teacher in round 0 and by the student later."""
    return of_student(cfg, number) if number else of_teacher(cfg)


def share(sizes: Sequence[int], part: int, parts: int) -> list[int]:
    """Return the rows of one job of several, each with about as many atoms.

    The largest fall to the first job and the smallest to the last, so that no two jobs at once need the
    memory that a teacher takes for a large cell.

    Parameters
    ----------
    sizes : sequence of int
        Atoms of every row.
    part, parts : int
    """
    order = np.argsort(-np.asarray(sizes, dtype=int), kind="stable")
    atoms = np.asarray(sizes, dtype=float)[order]
    middle = np.cumsum(atoms) - atoms / 2
    return order[(middle * parts / max(atoms.sum(), 1.0)).astype(int) == part].tolist()
