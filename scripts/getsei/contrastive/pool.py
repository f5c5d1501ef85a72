"""The environments an encoder learns from, and the pairs drawn from them."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers

from getsei import environments as extraction
from getsei import records
from getsei.errors import UserError

log = logging.getLogger("getsei")

MIN_TRAINING_IONS = 4
"""With fewer there is nothing to contrast with."""


class Pool:
    """The environments of all replicas of a system, replicas behind one another as further ions.

    Parameters
    ----------
    replicas : sequence of records.Environments
        One per replica. The longer ones are cut to the frames of the shortest.

    Raises
    ------
    UserError
        If their cutoffs or frame intervals differ.
    """

    def __init__(self, replicas: Sequence[records.Environments]) -> None:
        for field in ("cutoff_A", "frame_interval_ps"):
            if len({getattr(replica, field) for replica in replicas}) != 1:
                raise UserError(f"the replicas differ in {field}; extract them again with the same settings")
        self.replicas = list(replicas)
        self.n_frames = min(replica.n_frames for replica in replicas)
        longest = max(replica.n_frames for replica in replicas)
        if longest > self.n_frames:
            log.warning("replicas of unequal length are cut to the shortest, %d frames", self.n_frames)
        self.replica = np.repeat(np.arange(len(replicas)), [r.n_ions for r in replicas])
        self.ion = np.concatenate([np.arange(r.n_ions) for r in replicas])
        self.width = max(extraction.widest(replica) for replica in replicas)
        self.elements = tuple(sorted({atomic_numbers[s] for r in replicas for s in r.elements}))
        self.segments = _cut_segments(replicas, self.n_frames)
        self.segment_of = np.zeros(self.n_frames, dtype=np.int64)
        for number, (start, stop) in enumerate(self.segments):
            self.segment_of[start:stop] = number

    @property
    def n_ions(self) -> int:
        """Number of ions of all replicas together."""
        return len(self.ion)

    @property
    def cutoff_A(self) -> float:
        """Radius of the environments in Å."""
        return self.replicas[0].cutoff_A

    def amplitudes(self) -> tuple[float, Mapping[int, float]]:
        """Return the thermal amplitude (Å) of the mobile ions and, by atomic number, of their neighbours."""
        found = {
            symbol: float(
                np.mean([r.thermal_amplitudes_A[symbol] for r in self.replicas if symbol in r.elements])
            )
            for symbol in {s for r in self.replicas for s in r.elements}
        }
        centre = float(np.mean([found[symbol] for symbol in self.replicas[0].mobile if symbol in found]))
        return centre, {atomic_numbers[symbol]: value for symbol, value in found.items()}

    def gather(self, ions: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (n, width) atomic numbers and (n, width, 3) vectors (Å) of ions at frames."""
        if len(self.replicas) == 1:
            rows = frames * self.n_ions + ions
            return extraction.padded(self.replicas[0], rows, self.width)[:2]
        species = np.zeros((len(ions), self.width), dtype=np.uint8)
        vectors = np.zeros((len(ions), self.width, 3), dtype=np.float32)
        for number, replica in enumerate(self.replicas):
            here = np.flatnonzero(self.replica[ions] == number)
            rows = frames[here] * replica.n_ions + self.ion[ions[here]]
            species[here], vectors[here], _ = extraction.padded(replica, rows, self.width)
        return species, vectors


def _cut_segments(replicas: Sequence[records.Environments], n_frames: int) -> np.ndarray:
    """Return segments that no replica's pairs cross: cut where any replica starts a new one."""
    starts = {int(start) for replica in replicas for start, _ in replica.segments}
    bounds = sorted({start for start in starts if start < n_frames} | {0, n_frames})
    return np.array(list(itertools.pairwise(bounds)), dtype=np.int64)


def choose_training_ions(n_ions: int, held_out_fraction: float, seed: int) -> np.ndarray:
    """Return an (n_ions,) mask, False for a random `held_out_fraction` of the ions.

    Raises
    ------
    UserError
        If fewer than `MIN_TRAINING_IONS` are left.
    """
    n_held = round(held_out_fraction * n_ions)
    if n_ions - n_held < MIN_TRAINING_IONS:
        raise UserError(
            f"gcl: {n_ions - n_held} ions are left for training, {MIN_TRAINING_IONS} are needed; lower "
            "held_out_fraction or use a larger cell"
        )
    mask = np.ones(n_ions, dtype=bool)
    mask[np.random.default_rng(seed).permutation(n_ions)[:n_held]] = False
    return mask


class Shares(NamedTuple):
    """How a batch is put together.

    Attributes
    ----------
    rounds : int
        Groups within which every ion occurs at most once, and within which views are contrasted.
    per_round : tuple of int
        Ions of each pool in each round.
    """

    rounds: int
    per_round: tuple[int, ...]


def shares(n_ions: Sequence[int], batch_size: int) -> Shares:
    """Split a batch into rounds in which no ion repeats, and among pools by their numbers of ions.

    The batch is rounded up to whole rounds.
    """
    total = sum(n_ions)
    rounds = -(-batch_size // total)
    return Shares(rounds, tuple(min(n, -(-batch_size * n // (total * rounds))) for n in n_ions))


def draw_pairs(
    ions: np.ndarray,
    shape: tuple[int, int],
    segment_of: np.ndarray,
    lag_frames: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw positive pairs: an ion at a frame and the same ion at a nearby frame of the same segment.

    Parameters
    ----------
    ions : (n,) int array
        Ions to draw from.
    shape : (rounds, per_round)
        Number of pairs; within a round no ion repeats.
    segment_of : (n_frames,) int array
        Segment of each frame.
    lag_frames : int
        Largest distance of the two frames; 0 pairs a frame with itself.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    drawn, frames, partners : (rounds * per_round,) int arrays
        Ion, frame and frame of the positive, round by round. Where neither side of a frame lies in its
        segment, the positive is the frame itself.
    """
    n_frames = len(segment_of)
    rounds, per_round = shape
    drawn = np.concatenate([rng.permutation(ions)[:per_round] for _ in range(rounds)])
    frames = rng.integers(n_frames, size=len(drawn))
    if lag_frames == 0:
        return drawn, frames, frames
    step = rng.integers(1, lag_frames + 1, size=len(drawn)) * rng.choice([-1, 1], size=len(drawn))
    partners = frames.copy()
    for candidate in (frames - step, frames + step):
        inside = (candidate >= 0) & (candidate < n_frames)
        inside &= segment_of[np.clip(candidate, 0, n_frames - 1)] == segment_of[frames]
        partners = np.where(inside, candidate, partners)
    return drawn, frames, partners
