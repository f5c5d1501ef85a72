"""Implied timescales and Chapman-Kolmogorov agreement over a scan of lags."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from getsei.errors import UserError
from getsei.kinetics import bootstrap, chains, connected, counting, lag_choice, validation
from getsei.kinetics.connected import Counts
from getsei.records import States

log = logging.getLogger("getsei")


@dataclass(frozen=True)
class Scan:
    """What the lags of a scan say.

    Attributes
    ----------
    lags_ps : (n_lags,) array
    timescales : (n_lags, n - 1, 3) array
        ps: value, low, high; of the states `active`.
    active : (n,) int array
    evidence : list of dict
        See `lag_choice.evidence`.
    """

    lags_ps: np.ndarray
    timescales: np.ndarray
    active: np.ndarray
    evidence: list[dict[str, Any]]

    def restricted(
        self, states: States, active: np.ndarray, resampling: bootstrap.Resampling, *, reversible: bool
    ) -> "Scan":
        """Return the scan of other states; the same one where they are the same."""
        if np.array_equal(active, self.active):
            return self
        lags = [round(lag / states.frame_interval_ps) for lag in self.lags_ps]
        return scan(states, lags, resampling, active, reversible=reversible)


def lags_in_frames(states: States, lags_ps: Sequence[float]) -> list[int]:
    """Return the lags of the scan that fit into a segment, in frames, rising.

    Raises
    ------
    UserError
        If a lag is not a multiple of the frame interval, or none fits.
    """
    longest = counting.longest_segment(states.segments)
    found = []
    for lag_ps in sorted(lags_ps):
        if round(lag_ps / states.frame_interval_ps) >= longest:
            log.warning("kinetics.scan_lags_ps: %g ps left out, no segment is that long", lag_ps)
            continue
        found.append(
            counting.lag_in_frames(lag_ps, states.frame_interval_ps, states.segments, "kinetics.scan_lags_ps")
        )
    if not found:
        raise UserError(
            f"kinetics.scan_lags_ps: no lag is shorter than the longest segment of the trajectory "
            f"({longest * states.frame_interval_ps:g} ps); scan shorter lags or sample longer"
        )
    return found


def scan(
    states: States,
    lags: Sequence[int],
    resampling: bootstrap.Resampling,
    active: np.ndarray | None = None,
    *,
    reversible: bool,
) -> Scan:
    """Compute timescales and Chapman-Kolmogorov agreement at every lag.

    Parameters
    ----------
    states : States
    lags : sequence of int
        Frames, rising.
    resampling : Resampling
        The same draws serve all lags.
    active : (n,) int array, optional
        States; those connected at the shortest lag by default.
    reversible : bool
        Impose detailed balance.
    """
    cache: dict[int, np.ndarray] = {}

    def counts_at(lag: int) -> np.ndarray:
        if lag not in cache:
            blocks = resampling.n_blocks
            pairs = counting.pair_counts(states.labels, states.segments, lag, states.n_states, blocks)
            cache[lag] = connected.restricted(pairs, active)
        return cache[lag]

    if active is None:
        active = np.arange(states.n_states)
        everywhere = counts_at(lags[0]).sum(axis=(0, 1))
        active = chains.largest_connected_set(everywhere, everywhere.sum(axis=1))
        cache.clear()
        if not len(active):
            shortest = lags[0] * states.frame_interval_ps
            raise UserError(
                f"kinetics.scan_lags_ps: no ion keeps a state over {shortest:g} ps (0 pairs); sample longer, "
                "or look at the label cleaning (states.dwell_frames)"
            )
    lags_ps = np.array(lags) * states.frame_interval_ps
    timescales = validation.scan_timescales(
        [counts_at(lag) for lag in lags], lags_ps, resampling, reversible=reversible
    ).reshape(len(lags), max(len(active) - 1, 0), 3)
    longest = counting.longest_segment(states.segments)
    evidence = lag_choice.evidence(
        counts_at, lags, timescales, states.frame_interval_ps, longest, resampling, reversible=reversible
    )
    return Scan(lags_ps, timescales, active, evidence)


def chapman_kolmogorov(
    states: States, data: Counts, horizon: int, *, reversible: bool
) -> validation.ChapmanKolmogorov:
    """Test the chain at its own lag, up to a time of `horizon` frames."""
    steps = validation.ck_steps(data.lag, horizon, counting.longest_segment(states.segments))
    blocks = data.resampling.n_blocks
    counts = [data.pairs]
    for step in steps[1:]:
        lag = int(step) * data.lag
        pairs = counting.pair_counts(states.labels, states.segments, lag, states.n_states, blocks)
        counts.append(connected.restricted(pairs, data.active))
    return validation.chapman_kolmogorov(counts, data.resampling, steps, reversible=reversible)
