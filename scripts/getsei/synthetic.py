"""Ions with known environments and known kinetics: what the tests and the self-test measure against.

Six environment types, ordered by falling lithium coordination, and a reversible Markov chain between them
with a known transition matrix. `environments` draws neighbours directly and is fast; `trajectory` places
real cages in a periodic box and lets each ion hop between its own six. `shuffled`, `frozen` and
`one_state` are negative controls, in which there is nothing to find.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers

from getsei import records

SHELLS = (
    (("Li", 8, 3.0), ("Li", 6, 3.6)),
    (("S", 4, 2.45), ("Li", 8, 3.1)),
    (("S", 3, 2.45), ("Cl", 1, 2.55), ("Li", 6, 3.2)),
    (("S", 2, 2.40), ("P", 1, 2.50), ("Li", 5, 3.2)),
    (("Cl", 4, 2.55), ("Li", 4, 3.3)),
    (("S", 3, 2.50), ("P", 2, 3.60), ("Li", 2, 3.3), ("S", 3, 4.2)),
)
"""(element, number, distance in Å) of the shells of each environment type."""

NAMES = ("metal-like", "S4", "S3Cl1", "S2P1", "Cl4", "S3")
CONDUCTANCES = {
    (0, 1): 4.0,
    (1, 2): 6.0,
    (2, 3): 5.0,
    (3, 5): 2.0,
    (2, 4): 3.0,
    (4, 5): 1.0,
    (1, 3): 1.0,
}
"""Probability per frame of a change between two types in equilibrium, both ways together, in 1/1000."""

POPULATIONS = (0.26, 0.20, 0.18, 0.14, 0.10, 0.12)
FRAME_INTERVAL_PS = 0.1
CAGE_SPACING_A = 12.0


@dataclass(frozen=True)
class Synthetic:
    """What was drawn and what is true of it.

    Attributes
    ----------
    environments : records.Environments
        The neighbours of every ion at every frame.
    labels : (n_ions, n_frames) int array
        True environment type.
    transition_matrix : (6, 6) array
        Probability per frame to go from one type to another.
    """

    environments: records.Environments
    labels: np.ndarray
    transition_matrix: np.ndarray


def transition_matrix() -> np.ndarray:
    """Return the reversible (6, 6) transition matrix per frame, with `POPULATIONS` as its equilibrium."""
    flows = np.zeros((6, 6))
    for (a, b), conductance in CONDUCTANCES.items():
        flows[a, b] = flows[b, a] = 0.5e-3 * conductance
    matrix = flows / np.array(POPULATIONS)[:, None]
    np.fill_diagonal(matrix, 1.0 - matrix.sum(1))
    return matrix


def chain(n_ions: int, n_frames: int, seed: int, matrix: np.ndarray | None = None) -> np.ndarray:
    """Draw (n_ions, n_frames) labels from a Markov chain that starts in equilibrium."""
    rng = np.random.default_rng(seed)
    matrix = transition_matrix() if matrix is None else matrix
    values, vectors = np.linalg.eig(matrix.T)
    stationary = np.abs(vectors[:, np.argmax(values.real)].real)
    cumulative = np.cumsum(matrix, axis=1)
    labels = np.empty((n_ions, n_frames), dtype=np.int64)
    labels[:, 0] = rng.choice(len(matrix), size=n_ions, p=stationary / stationary.sum())
    for frame in range(1, n_frames):
        draw = rng.random(n_ions)[:, None]
        following = (draw > cumulative[labels[:, frame - 1]]).sum(1)
        labels[:, frame] = np.minimum(following, len(matrix) - 1)
    return labels


def timescales_ps() -> np.ndarray:
    """Return the five implied timescales of the chain in ps, falling."""
    values = np.sort(np.linalg.eigvals(transition_matrix()).real)[::-1]
    return -FRAME_INTERVAL_PS / np.log(values[1:])


def environments(n_ions: int = 40, n_frames: int = 200, seed: int = 0, noise_A: float = 0.15) -> Synthetic:
    """Draw environments around ions that follow the chain."""
    return surround(chain(n_ions, n_frames, seed), seed, noise_A)


def shuffled(truth: Synthetic, seed: int = 0) -> Synthetic:
    """Return the same environments with the frames of every ion in random order: no memory is left."""
    record = truth.environments
    rng = np.random.default_rng([seed, 3])
    order = rng.permuted(np.tile(np.arange(record.n_frames)[:, None], record.n_ions), axis=0)
    rows = (order * record.n_ions + np.arange(record.n_ions)).ravel()
    counts = np.diff(record.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    take = np.repeat(record.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
    changed = dataclasses.replace(
        record,
        offsets=offsets,
        species=record.species[take],
        vectors=record.vectors[take],
        positions=np.take_along_axis(record.positions, order[..., None], axis=0),
    )
    return Synthetic(changed, np.take_along_axis(truth.labels, order.T, axis=1), truth.transition_matrix)


def frozen(n_ions: int = 40, n_frames: int = 200, seed: int = 0) -> Synthetic:
    """Draw environments of ions that vibrate but never change their type."""
    kinds = np.random.default_rng([seed, 4]).choice(6, size=n_ions, p=POPULATIONS)
    return surround(np.tile(kinds[:, None], n_frames), seed)


def one_state(n_ions: int = 40, n_frames: int = 200, seed: int = 0, kind: int = 2) -> Synthetic:
    """Draw environments of ions that are all of one type at all times."""
    return surround(np.full((n_ions, n_frames), kind), seed)


def surround(labels: np.ndarray, seed: int = 0, noise_A: float = 0.15) -> Synthetic:
    """Draw environments of given types.

    Vectors carry a correlated thermal noise (AR(1), half of it kept from frame to frame), every ion has its
    own random orientation, and the outermost neighbour is missing from every eighth environment.

    Parameters
    ----------
    labels : (n_ions, n_frames) int array
        Type of each environment.
    seed : int
        Seed of noise and orientations.
    noise_A : float
        Standard deviation of each coordinate of a neighbour in Å.
    """
    rng = np.random.default_rng([seed, 1])
    n_ions, n_frames = labels.shape
    templates = [template(kind) for kind in range(6)]
    width = max(len(elements) for elements, _ in templates)
    numbers = np.zeros((6, width), dtype=np.uint8)
    sites = np.zeros((6, width, 3))
    counts = np.array([len(elements) for elements, _ in templates])
    for kind, (elements, vectors) in enumerate(templates):
        numbers[kind, : counts[kind]] = [atomic_numbers[symbol] for symbol in elements]
        sites[kind, : counts[kind]] = vectors
    noise = rng.normal(0.0, noise_A, size=(n_frames, n_ions, width, 3)).astype(np.float32)
    for frame in range(1, n_frames):
        noise[frame] = 0.5 * noise[frame - 1] + np.sqrt(0.75) * noise[frame]
    kind = labels.T
    turned = np.einsum("iab,fikb->fika", random_rotations(n_ions, rng), sites[kind])
    vectors = turned + noise
    present = np.arange(width) < (counts[kind] - (rng.random(kind.shape) < 0.125))[..., None]
    distances = np.where(present, np.linalg.norm(vectors, axis=-1), np.inf)
    order = np.argsort(distances, axis=-1)
    vectors = np.take_along_axis(vectors, order[..., None], axis=2)
    species = np.take_along_axis(numbers[kind], order, axis=2)
    present = np.take_along_axis(present, order, axis=2)
    positions = rng.normal(0.0, 0.3, size=(n_frames, n_ions, 3)) + 4.0 * np.arange(n_ions)[:, None]
    positions[..., 2] = 3.0 + 4.0 * kind + rng.normal(0.0, 0.3, size=kind.shape)
    record = records.Environments(
        offsets=np.concatenate([[0], np.cumsum(present.sum(-1).ravel())]).astype(np.int64),
        species=species[present],
        vectors=vectors[present].astype(np.float16),
        atoms=np.arange(n_ions),
        positions=positions.astype(np.float32),
        segments=np.array([[0, n_frames // 2], [n_frames // 2, n_frames]]),
        regions=np.array([[0.0, 5.0], [5.0, 26.0]]),
        region_names=["metal", "electrolyte"],
        cell=[[20.0, 0.0, 0.0], [0.0, 20.0, 0.0], [0.0, 0.0, 26.0]],
        cutoff_A=5.0,
        frame_interval_ps=FRAME_INTERVAL_PS,
        mobile=["Li"],
        elements=["Cl", "Li", "P", "S"],
        # Of ion and neighbour together, as far as the vector between them.
        thermal_amplitudes_A=dict.fromkeys(["Cl", "Li", "P", "S"], noise_A / 2.0**0.5),
        provenance={"source": "synthetic", "seed": seed},
    )
    return Synthetic(record, labels, transition_matrix())


def trajectory(
    n_ions: int = 4, n_frames: int = 60, seed: int = 0, noise_A: float = 0.1
) -> tuple[records.Trajectory, np.ndarray]:
    """Let Na ions hop between six cages each in a periodic box.

    Returns
    -------
    records.Trajectory
        Element Na hops; Li, P, S and Cl are the cages.
    (n_ions, n_frames) int array
        The cage, that is the true environment type, of each ion.
    """
    rng = np.random.default_rng([seed, 2])
    labels = chain(n_ions, n_frames, seed)
    cage_elements, cage_sites = [], []
    for ion in range(n_ions):
        for kind in range(6):
            elements, vectors = template(kind)
            cage_elements += elements
            cage_sites.append(vectors + CAGE_SPACING_A * np.array([ion, 0.0, kind]))
    frame_sites = np.concatenate(cage_sites)
    centres = CAGE_SPACING_A * np.stack(
        np.broadcast_arrays(np.arange(n_ions)[:, None], 0.0, labels), axis=-1
    ).astype(float)
    still = np.concatenate(
        [centres.swapaxes(0, 1), np.broadcast_to(frame_sites, (n_frames, *frame_sites.shape))], axis=1
    )
    cell = np.diag([CAGE_SPACING_A * n_ions, CAGE_SPACING_A, 6 * CAGE_SPACING_A])
    record = records.Trajectory(
        positions=(still + rng.normal(0.0, noise_A, still.shape)).astype(np.float32),
        cells=cell[None],
        species=np.array(["Na"] * n_ions + cage_elements),
        stage=np.zeros(n_frames, dtype=np.int64),
        segments=np.array([[0, n_frames]]),
        temperature=np.full(n_frames, 500.0),
        potential_energy=np.full(n_frames, np.nan),
        stages=["produce"],
        frame_interval_ps=FRAME_INTERVAL_PS,
        provenance={"source": "synthetic", "seed": seed},
    )
    return record, labels


def template(kind: int) -> tuple[list[str], np.ndarray]:
    """Return the elements and the (n, 3) vectors (Å) of an environment type."""
    elements: list[str] = []
    vectors = []
    for index, (element, number, distance) in enumerate(SHELLS[kind]):
        turn = np.random.default_rng([kind, index])
        elements += [element] * number
        vectors.append(distance * spread(number) @ random_rotations(1, turn)[0])
    return elements, np.concatenate(vectors)


def spread(number: int) -> np.ndarray:
    """Return unit vectors spread evenly over a sphere (Fibonacci lattice)."""
    height = 1.0 - (2.0 * np.arange(number) + 1.0) / number
    angle = np.pi * (1.0 + 5.0**0.5) * np.arange(number)
    radius = np.sqrt(1.0 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def random_rotations(number: int, rng: np.random.Generator) -> np.ndarray:
    """Return proper rotations, uniform over the group, as (number, 3, 3) matrices."""
    q, r = np.linalg.qr(rng.normal(size=(number, 3, 3)))
    q *= np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    q[:, :, 0] *= np.linalg.det(q)[:, None]
    return q
