"""The pairs a chain is fitted to: counted over the lag, restricted to the connected states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from getsei.errors import UserError
from getsei.kinetics import bootstrap, chains, counting
from getsei.records import States


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


def restricted(counts: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Return the rows and columns of the active states of (..., n, n) counts."""
    return counts[..., active[:, None], active]


def count(states: States, cfg: Mapping[str, Any]) -> Counts:
    """Count the pairs of a system at the lag of the settings.

    Raises
    ------
    UserError
        If the lag does not fit the trajectory, or no pairs are left.
    """
    lag = counting.lag_in_frames(cfg["lag_ps"], states.frame_interval_ps, states.segments, "kinetics.lag_ps")
    n_blocks = int(cfg.get("time_blocks", 1))
    pairs = counting.pair_counts(states.labels, states.segments, lag, states.n_states, n_blocks)
    everywhere = pairs.sum(axis=(0, 1))
    active = chains.largest_connected_set(everywhere, everywhere.sum(axis=1))
    pairs = restricted(pairs, active)
    if pairs.sum() == 0:
        raise UserError(
            f"kinetics.lag_ps: no ion keeps a state for {cfg['lag_ps']:g} ps within one segment "
            f"({everywhere.sum()} pairs, none within a connected set of states); shorten the lag, "
            "sample longer, or look at the label cleaning (states.dwell_frames)"
        )
    resampling = bootstrap.draw(states.replica, int(cfg["bootstrap"]), int(cfg["seed"]), n_blocks)
    return Counts(lag=lag, active=active, everywhere=everywhere, pairs=pairs, resampling=resampling)
