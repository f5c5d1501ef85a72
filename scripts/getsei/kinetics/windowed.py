"""Models of successive windows in time: what a run that still changes has instead of one set of rates."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from getsei.kinetics import bootstrap, connected, counting
from getsei.records import States
from getsei.units import PS_PER_NS

MIN_LAGS = 2
"""Shortest window, in lags."""


@dataclass(frozen=True)
class Windowed:
    """One chain per window.

    Attributes
    ----------
    edges : (n_windows + 1,) int array
        Frames.
    pairs : (n_windows, n_ions, n, n) int array
        Pairs that start in each window.
    operators : (n_windows, n, n) array
        Rows without pairs are NaN.
    populations : (n_windows, n, 3) array
        Value, low, high.
    escape : (n_windows, n, 3) array
        (1 - T_ii) / lag in 1/ns: value, low, high.
    """

    edges: np.ndarray
    pairs: np.ndarray
    operators: np.ndarray
    populations: np.ndarray
    escape: np.ndarray

    def filled(self, operator: np.ndarray, resampling: bootstrap.Resampling | None = None) -> np.ndarray:
        """Return the operators with missing rows taken from that of the whole run.

        Parameters
        ----------
        operator : (n, n) array
        resampling : Resampling, optional
            If given, the operators of every resample, (n_resamples, n_windows, n, n).
        """
        if resampling is None:
            return _rows(self.pairs.sum(axis=1), operator)
        weights = resampling.ions.astype(np.float64)
        windows, ions, n, _ = self.pairs.shape
        drawn = np.stack(
            [(weights @ part.reshape(ions, -1)).reshape(-1, n, n) for part in self.pairs], axis=1
        )
        return _rows(drawn.reshape(len(weights), windows, n, n), operator)


def _rows(counts: np.ndarray, otherwise: np.ndarray | float) -> np.ndarray:
    rows = counts.sum(axis=-1, keepdims=True)
    return np.where(rows > 0, counts / np.where(rows > 0, rows, 1), otherwise)


def models(
    states: States, lag: int, active: np.ndarray, resampling: bootstrap.Resampling, n_windows: int
) -> Windowed:
    """Fit one chain to each window.

    Parameters
    ----------
    states : States
        Its segments are what is analysed.
    lag : int
        Frames.
    active : (n,) int array
        Connected states.
    resampling : Resampling
        Its draws of ions are used.
    n_windows : int
        Windows asked for; fewer where they would be shorter than two lags.
    """
    segments = np.asarray(states.segments).reshape(-1, 2)
    begin, end = int(segments[:, 0].min()), int(segments[:, 1].max())
    number = max(1, min(n_windows, (end - begin) // (MIN_LAGS * lag)))
    edges = np.linspace(begin, end, number + 1).round().astype(int)
    n, weights = len(active), resampling.ions.astype(np.float64)
    pairs = np.zeros((number, len(states.labels), n, n), dtype=np.int64)
    populations, escape = np.full((number, n, 3), np.nan), np.full((number, n, 3), np.nan)
    for window, (first, last) in enumerate(pairwise(edges)):
        inside = np.clip(segments, first, last)
        inside = inside[inside[:, 1] > inside[:, 0]]
        # A pair belongs to the window it starts in and may end in the next, but in its own segment.
        reaching = np.stack(
            [np.maximum(segments[:, 0], first), np.minimum(segments[:, 1], last + lag)], axis=1
        )
        reaching = reaching[reaching[:, 1] > reaching[:, 0]]
        counted = counting.pair_counts(states.labels, reaching, lag, states.n_states)[:, 0]
        pairs[window] = connected.restricted(counted, active)
        frames = counting.frame_counts(states.labels, inside, states.n_states)[:, active].astype(np.float64)
        populations[window] = bootstrap.with_interval(_shares(frames.sum(axis=0)), _shares(weights @ frames))
        rates = [
            (1.0 - np.diagonal(_rows(c, np.nan), axis1=-2, axis2=-1)) * PS_PER_NS / lag
            for c in (
                pairs[window].sum(axis=0),
                (weights @ pairs[window].reshape(len(frames), -1)).reshape(-1, n, n),
            )
        ]
        escape[window] = bootstrap.with_interval(*rates) / states.frame_interval_ps
    return Windowed(edges, pairs, _rows(pairs.sum(axis=1), np.nan), populations, escape)


def _shares(frames: np.ndarray) -> np.ndarray:
    total = frames.sum(axis=-1, keepdims=True)
    return np.where(total > 0, frames / np.where(total > 0, total, 1), np.nan)


def steps(edges: np.ndarray, lag: int) -> np.ndarray:
    """Return the whole steps of the lag that end in each window, (n_windows,), from the first edge on."""
    return np.diff((np.asarray(edges) - edges[0]) // lag)
