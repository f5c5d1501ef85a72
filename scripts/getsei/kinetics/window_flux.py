"""Finite-time flux of a run that may still change: passages window by window, predicted and seen."""

from dataclasses import dataclass

import numpy as np

from getsei.kinetics import bootstrap, connected, counting, finite_time, windowed
from getsei.kinetics.sampled_flux import Sampled
from getsei.records import KoopmanModel, States
from getsei.units import PS_PER_NS


@dataclass(frozen=True)
class WindowFlux:
    """Passages from source to target in successive windows.

    Attributes
    ----------
    edges : (n_windows + 1,) int array
        Frames.
    committors : (n_windows, n) array
        Probability to reach the target first in the time that is left, at the start of each window.
    flux : (n_windows, 3) array
        Passages predicted per ion and time in 1/(ion ns): value, low, high.
    total : (3,) array
        The same over all windows.
    seen : (n_windows,) int array
        Passages seen between frames one lag apart.
    predicted : float
        Passages predicted, all ions and windows together.
    """

    edges: np.ndarray
    committors: np.ndarray
    flux: np.ndarray
    total: np.ndarray
    seen: np.ndarray
    predicted: float


def compute(
    states: States, model: KoopmanModel, sampled: Sampled, n_windows: int, resampling: bootstrap.Resampling
) -> WindowFlux:
    """Predict the passages of each window with the chains of the windows, and count them.

    Parameters
    ----------
    states : States
        What is analysed.
    model : KoopmanModel
    sampled : Sampled
        Its source and target are used.
    n_windows : int
    resampling : Resampling
        Its draws of ions are used.
    """
    lag = round(model.lag_ps / model.frame_interval_ps)
    parts = windowed.models(states, lag, model.active, resampling, n_windows)
    ends = sampled.source, sampled.target
    operators = parts.filled(model.operator)
    drawn = parts.filled(model.operator, resampling)
    predicted = np.zeros(len(parts.edges) - 1)
    samples = np.zeros((len(drawn), len(predicted)))
    seen = np.zeros(len(predicted), dtype=np.int64)
    rank = connected.ranks(model.active, states.n_states)
    weights = resampling.ions.astype(np.float64)
    for begin, end in np.asarray(states.segments).reshape(-1, 2):
        piece = rank[np.asarray(states.labels[:, int(begin) : int(end) : lag], dtype=np.int64)]
        start = (piece[:, :1] == np.arange(len(model.active))).astype(np.float64)
        steps = np.diff((np.clip(parts.edges, begin, end - 1) - begin) // lag)
        predicted += finite_time.passages(operators, steps, start.sum(axis=0), *ends)
        samples += finite_time.passages(drawn, steps, weights @ start, *ends)
        arrivals = np.flatnonzero(counting.passages(piece, *ends, len(model.active))) % piece.shape[1]
        place = np.searchsorted(np.cumsum(steps), arrivals, side="left")
        seen += np.bincount(np.minimum(place, len(seen) - 1), minlength=len(seen))
    time_ns = np.diff(parts.edges) * model.frame_interval_ps / PS_PER_NS * len(states.labels)
    whole = time_ns.sum()
    return WindowFlux(
        edges=parts.edges,
        committors=finite_time.committors(operators, windowed.steps(parts.edges, lag), *ends),
        flux=bootstrap.with_interval(predicted / time_ns, samples / time_ns),
        total=bootstrap.with_interval(predicted.sum() / whole, samples.sum(axis=1) / whole),
        seen=seen,
        predicted=float(predicted.sum()),
    )
