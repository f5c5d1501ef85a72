"""The pairs a chain is fitted to: counted over the lag, restricted to the connected states."""

from dataclasses import dataclass

import numpy as np

from getsei.errors import UserError
from getsei.kinetics import bootstrap, chains, counting
from getsei.records import UNASSIGNED, States


@dataclass(frozen=True)
class Counts:
    """Pairs over the lag, restricted to the connected states.

    Attributes
    ----------
    lag : int
        Lag in frames.
    active : (n_active,) int array
        Connected states.
    everywhere : (n_states, n_states) int array
        Pairs among all states.
    pairs : (n_ions, n_blocks, n_active, n_active) int array
        Pairs of each ion and block of time among the connected states.
    resampling : Resampling
        Draws of ions, replicas and blocks.
    """

    lag: int
    active: np.ndarray
    everywhere: np.ndarray
    pairs: np.ndarray
    resampling: bootstrap.Resampling

    @property
    def total(self) -> np.ndarray:
        """Pairs of all ions among the connected states."""
        return self.pairs.sum(axis=(0, 1))


def operators(
    data: Counts, resampling: bootstrap.Resampling, soft: np.ndarray | None, *, reversible: bool
) -> tuple[np.ndarray, float]:
    """Return the chains of the resamples that keep all states connected, and the share of these.

    Parameters
    ----------
    data : Counts
    resampling : Resampling
    soft : (2, n_ions, n, n) array or None
        Gram and cross moments of soft memberships; counts of the hard states are used without them.
    reversible : bool
    """
    drawn = resampling.counts(data.pairs)
    if soft is None or not soft.shape[1]:
        return bootstrap.operators(drawn, reversible=reversible)
    kept = chains.strongly_connected(drawn) & (drawn.sum(axis=-1) > 0).all(axis=-1)
    weights = resampling.ions[kept].astype(np.float64)
    n = soft.shape[-1]
    gram, cross = ((weights @ each.reshape(len(each), -1)).reshape(-1, n, n) for each in soft)
    chain = np.maximum(np.linalg.solve(gram, cross), 0.0)
    return chain / chain.sum(axis=-1, keepdims=True), float(kept.mean())


def leaving_shares(data: Counts, resampling: bootstrap.Resampling) -> np.ndarray:
    """Return the share of the pairs of each state that leave it, 1 - T_ii, (n_resamples, n).

    A state needs no others for that: where few resamples keep all of them connected, as one is hardly ever
    left, the others still have their interval. NaN where a resample holds no pair of the state.
    """
    drawn = resampling.counts(data.pairs)
    rows = drawn.sum(axis=-1)
    left = rows - np.diagonal(drawn, axis1=-2, axis2=-1)
    return np.divide(left, rows, out=np.full(rows.shape, np.nan), where=rows > 0)


def ranks(active: np.ndarray, n_states: int) -> np.ndarray:
    """Return the place of each state among the active ones; UNASSIGNED for others and for labels of -1."""
    found = np.full(n_states + 1, UNASSIGNED)
    found[active] = np.arange(len(active))
    return found


def restricted(counts: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Return the rows and columns of the active states of (..., n, n) counts."""
    return counts[..., active[:, None], active]


def count(states: States, lag: int, resampling: bootstrap.Resampling) -> Counts:
    """Count the pairs of a system at a lag in frames.

    Raises
    ------
    UserError
        If no pairs are left.
    """
    pairs = counting.pair_counts(states.labels, states.segments, lag, states.n_states, resampling.n_blocks)
    everywhere = pairs.sum(axis=(0, 1))
    active = chains.largest_connected_set(everywhere, everywhere.sum(axis=1))
    pairs = restricted(pairs, active)
    if pairs.sum() == 0:
        raise UserError(
            f"kinetics.lag_ps: no ion keeps a state for {lag * states.frame_interval_ps:g} ps in one segment "
            f"({everywhere.sum()} pairs, none within a connected set of states); shorten the lag, "
            "sample longer, or look at the label cleaning (states.dwell_frames)"
        )
    return Counts(lag=lag, active=active, everywhere=everywhere, pairs=pairs, resampling=resampling)
