"""Frames of low density: isolated atoms, gases, stretched crystals, and atoms that leave a surface.

A potential that never saw them is free to prefer them. A student fitted to dense frames only, on mean
energies of the elements, put an isolated lithium atom 0.8 eV below the metal, and its metal boiled at 400 K.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from getsei import cells
from getsei.potentials import sampling

ISOLATED = "isolated atom"
"""Kind of the frames whose energies are the zero of the energy of each element."""
STRETCHED, GAS, LEAVING = "stretched", "gas", "leaving atom"
KINDS = (ISOLATED, STRETCHED, GAS, LEAVING)
"""They keep a simulation from where it has no business, and are what it meets last."""
ISOLATED_EDGES_A = (13.0, 16.0, 19.0)
"""Edges of the cells of an isolated atom, beyond twice the cutoff of teacher and student."""
STRETCHES = (1.08, 1.15, 1.25, 1.4, 1.6, 1.9)
"""Factors of all lengths of a crystal."""
REACH_A = 4.0
"""A crystal whose nearest neighbours all are farther than this is left out: near its cutoff a student
sees nothing any more, where CHGNet (6 Å) still has up to 1.3 eV an atom. Two such frames of 562 made 87 % of
the squared energy errors."""
GAS_ATOMS = 24
GAS_SHARES = (0.04, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8)
"""Densities of the gases relative to the mixture of the solids."""
GAS_DRAWS = 2
"""Gases of each density; no others differ so much among themselves."""
GAS_CONTACT = 0.9
VACUUM_A = 9.0
"""Width of the gap behind a surface."""
LEAPS_A = (0.8, 1.6, 2.5, 3.5, 4.5)
"""How far an atom is pulled out of a surface."""


def isolated_atoms(elements: Sequence[str]) -> Iterator[Atoms]:
    """Yield every element alone in a cell."""
    for element in elements:
        for number, edge in enumerate(ISOLATED_EDGES_A):
            atoms = Atoms([element], positions=np.zeros((1, 3)), cell=np.eye(3) * edge, pbc=True)
            yield sampling.tagged(atoms, ISOLATED, f"{element}-isolated", number)


def stretched(name: str, crystal: Atoms, rng: np.random.Generator) -> Iterator[Atoms]:
    """Yield a crystal stretched along all axes, up to `REACH_A`, or along one.

    Displacements grow with the stretch.
    """
    near = cells.shortest_distances(crystal.positions, crystal.cell[:], crystal.get_chemical_symbols())
    for scale in STRETCHES:
        for axes in ("all", "one") if scale * min(near.values()) < REACH_A else ("one",):
            frame = crystal.copy()
            factors = np.full(3, scale) if axes == "all" else np.array([1.0, 1.0, scale])
            frame.set_cell(frame.cell[:] * factors[:, None], scale_atoms=True)
            frame.positions += 0.1 * scale**2 * rng.standard_normal(frame.positions.shape)
            yield sampling.tagged(frame, STRETCHED, f"{name}-stretched-{axes}-{scale}", 0)


def gas(name: str, solid: Atoms, metal: Atoms, rng: np.random.Generator) -> Iterator[Atoms]:
    """Yield atoms of a solid and of the metal, thrown at random into cells of falling density."""
    least_A = sampling.least_distances(GAS_CONTACT, solid)
    spacing_A3 = 0.5 * (solid.get_volume() / len(solid) + metal.get_volume() / len(metal))
    for share, draw in product(GAS_SHARES, range(GAS_DRAWS)):
        symbols = rng.choice(solid.get_chemical_symbols(), GAS_ATOMS // 2).tolist()
        symbols += [metal.get_chemical_symbols()[0]] * (GAS_ATOMS - len(symbols))
        edge = (len(symbols) * spacing_A3 / share) ** (1 / 3)
        frame = sampling.melt(symbols, np.eye(3) * edge, rng, least_A)
        yield sampling.tagged(frame, GAS, f"{name}-gas-{share}-{draw}", 0)


def leaving(name: str, crystal: Atoms, rng: np.random.Generator) -> Iterator[Atoms]:
    """Yield a slab with vacuum, one of its outermost atoms drawn out step by step.

    Each step draws its atom anew; the whole series is one trajectory.
    """
    slab = crystal.copy()
    slab.positions += 0.08 * rng.standard_normal(slab.positions.shape)
    cell = slab.cell[:].copy()
    slab.wrap()
    normal = np.cross(cell[0], cell[1])
    normal /= np.linalg.norm(normal)
    cell[2] += VACUUM_A * normal
    slab.set_cell(cell)
    height = slab.positions @ normal
    for number, leap in enumerate(LEAPS_A):
        frame = slab.copy()
        outer = np.argsort(height)[-max(4, len(slab) // 6) :]
        chosen = rng.choice(outer)
        top = height.max() + 0.5 * covalent_radii[slab.numbers[chosen]]
        frame.positions[chosen] += (top - height[chosen] + leap) * normal
        yield sampling.tagged(frame, LEAVING, f"{name}-leaving", number)


def frames(solids: Sequence[tuple[str, Atoms]], metal: Atoms, copies: int, seed: int) -> Iterator[Atoms]:
    """Yield all frames of low density of some crystals, but for the isolated atoms.

    Parameters
    ----------
    solids : sequence of (name, ase.Atoms)
        Crystals, the metal among them.
    metal : ase.Atoms
        Whose atoms are mixed into the gases.
    copies : int
        Draws of each.
    seed : int
    """
    rng = np.random.default_rng([seed, 6])
    for copy in range(copies):
        for name, solid in solids:
            tag = f"{name}-copy{copy}"
            yield from stretched(tag, solid, rng)
            yield from gas(tag, solid, metal, rng)
            yield from leaving(tag, solid, rng)
