"""Pairs of atoms, each in an empty box, down to distances at which no teacher means anything.

Teachers see no atoms that close in their own training: CHGNet lets most pairs attract each other below 1.1 Å.
Two atoms of a hot run that once come so close must be pushed apart all the same, and what a student has
learnt from farther atoms can outweigh its pair repulsion there. So the teacher's labels hold down to a
contact; closer, the pair repels as at the contact, and by the student's own repulsion on top: the universal
one of nuclei (J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids, Pergamon,
1985) as mace-torch has it. What is left to learn is a constant force.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations_with_replacement

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import ArrayLike, NDArray

from getsei.potentials import sampling
from getsei.potentials.models import torch
from getsei.potentials.teachers import Label

# isort: split
from mace.modules.radial import ZBLBasis  # after `models`, which imports mace without its warnings

PAIR = "pair"
"""Kind of these frames."""
CONTACT_RATIO = 0.55
"""The contact, as a share of the sum of the covalent radii. Farther in, CHGNet's forces fall again and then
attract (two oxygen atoms: at 0.68 and 0.49 of it; sulfur: 0.55 and 0.50): frames with such contacts are
dropped, but for the pairs."""
CLOSEST_A = 0.45
CLOSE_FRAMES = 12
"""Frames between `CLOSEST_A` and the contact."""
WIDER = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
"""Distances beyond the contact, as shares of the sum of the covalent radii, up to `FARTHEST_A`."""
FARTHEST_A = 4.9
BOX_A = 13.0
"""Edge of the box: beyond twice the reach of CHGNet."""
ENVELOPE_POWER = 5
"""Of the envelope that ends the student's radial functions and its pair repulsion, as trained."""
LEAST_FORCE_eV_per_A = 3.0
"""With which a pair at the contact is pushed apart at least, whatever the teacher says."""


def own_repulsion(r_A: ArrayLike, first: int, second: int) -> tuple[NDArray, NDArray]:
    """Return energy in eV and outward force in eV/Å of the student's repulsion at distances `r_A` (n,)."""
    r = torch.tensor(np.asarray(r_A), dtype=torch.float64)[:, None].requires_grad_()
    attributes, edges = torch.eye(2, dtype=torch.float64), torch.tensor([[0, 1], [1, 0]])
    numbers = torch.tensor([int(first), int(second)])
    basis = ZBLBasis(p=ENVELOPE_POWER).double()
    energy = torch.stack([basis(x.expand(2, 1), attributes, edges, numbers).sum() for x in r])
    (slope,) = torch.autograd.grad(energy.sum(), r)
    return energy.detach().numpy(), -slope[:, 0].numpy()


def distances_A(first: int, second: int) -> NDArray[np.float64]:
    """Return the distances of a pair of atomic numbers in the frames, that of the contact first."""
    bond = covalent_radii[first] + covalent_radii[second]
    contact = CONTACT_RATIO * bond
    close = np.linspace(CLOSEST_A, contact, CLOSE_FRAMES + 1)[-2::-1]
    return np.concatenate([[contact], close, np.minimum(np.multiply(WIDER, bond), FARTHEST_A)])


def frames(elements: Sequence[str]) -> Iterator[Atoms]:
    """Yield frames that each hold every pair of elements once, in a row of boxes; that of the contact first.

    One frame, not one for each pair: a few hundred tiny frames with enormous forces would drown all others.
    """
    symbols = list(combinations_with_replacement(elements, 2))
    row = Atoms(list(chain.from_iterable(symbols)), cell=np.diag([BOX_A * len(symbols), BOX_A, BOX_A]))
    pairs = row.numbers.reshape(-1, 2)
    for step, distances in enumerate(np.transpose([distances_A(*pair) for pair in pairs])):
        row.positions[::2, 0] = BOX_A * np.arange(len(pairs))
        row.positions[1::2, 0] = row.positions[::2, 0] + distances
        yield sampling.tagged(row, PAIR, "pairs", step)


def repelled(frames: Sequence[Atoms], labels: Sequence[Label]) -> list[Label]:
    """Return the labels, with those of pairs closer than their contact replaced.

    Parameters
    ----------
    frames : sequence of ase.Atoms
        Of any kind; among the pairs, that of the contact comes first.
    labels : sequence of Label
        The teacher's.
    """
    found: list[Label] = []
    contact: tuple[Atoms, Label] | None = None
    for frame, label in zip(frames, labels, strict=True):
        if frame.info["kind"] == PAIR and contact is None:
            contact = (frame, label)
        closer = frame.info["kind"] == PAIR and 0 < frame.info["step"] <= CLOSE_FRAMES
        found.append(_closer(frame, *contact) if closer and contact else label)
    return found


def _closer(frame: Atoms, contact: Atoms, label: Label) -> Label:
    """Return the label of pairs that are closer than in `contact`, whose label is given."""
    r, r_contact = (np.diff(atoms.positions[:, 0])[::2] for atoms in (frame, contact))
    push = np.maximum(label.forces[1::2, 0], LEAST_FORCE_eV_per_A)
    own = [
        own_repulsion(both, *pair)
        for both, pair in zip(np.transpose([r, r_contact]), frame.numbers.reshape(-1, 2), strict=True)
    ]
    energy, force = np.transpose(own, (1, 0, 2))
    push -= force[:, 1]  # what the own repulsion does there already
    outward = push + force[:, 0]
    forces = np.zeros_like(label.forces)
    forces[::2, 0], forces[1::2, 0] = -outward, outward
    stress = np.zeros(6)
    stress[0] = -(r * outward).sum() / frame.get_volume()
    total = label.energy + float((push * (r_contact - r) + energy[:, 0] - energy[:, 1]).sum())
    return replace(label, energy=total, forces=forces, stress=stress)
