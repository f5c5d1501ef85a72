"""How long visits to a state last: the survival of visits beside the exponential of the escape rate."""

from dataclasses import dataclass

import numpy as np

from getsei import displacements
from getsei.kinetics import bootstrap

N_TIMES = 24


@dataclass(frozen=True)
class Survival:
    """Share of the visits that last longer than a time.

    Attributes
    ----------
    times : (n_times,) int array
        Frames.
    share : (n_states, n_times, 3) array
        Value, low, high; NaN from where no visit is left to be followed.
    visits : (n_states,) int array
        Visits whose start was seen.
    ends : (n_states,) int array
        Of these, visits whose end was seen.
    """

    times: np.ndarray
    share: np.ndarray
    visits: np.ndarray
    ends: np.ndarray


def survival(
    labels: np.ndarray, segments: np.ndarray, n_states: int, resampling: bootstrap.Resampling
) -> Survival:
    """Estimate the survival of visits, with those that outlast the trajectory taken into account.

    Only visits whose start was seen are used; one whose end was not seen counts as long as it was followed
    (E. L. Kaplan, P. Meier, J. Am. Stat. Assoc. 53 (1958) 457,
    https://doi.org/10.1080/01621459.1958.10501452, on a grid of times).

    Parameters
    ----------
    labels : (n_ions, n_frames) array
        UNASSIGNED where an ion has no state.
    segments : (n_segments, 2) array
        Frames [start, stop).
    n_states : int
    resampling : Resampling
        Its draws of ions are used.
    """
    segments = np.asarray(segments).reshape(-1, 2)
    found = displacements.find_visits(labels, segments)
    ions = labels.shape[0]
    # A visit is cut where it touches the border of its segment or a frame without a state.
    padded = np.pad(np.asarray(labels), ((0, 0), (1, 1)), constant_values=-1)
    before, after = padded[found.ion, found.start], padded[found.ion, found.stop + 1]
    seen_start = (before >= 0) & ~np.isin(found.start, segments[:, 0])
    seen_end = (after >= 0) & ~np.isin(found.stop, segments[:, 1])
    ion, state = found.ion[seen_start], found.state[seen_start].astype(int)
    length, ended = (found.stop - found.start)[seen_start], seen_end[seen_start]
    longest = max(2, int(length.max(initial=2)))
    times = np.unique(np.rint(np.geomspace(1, longest, N_TIMES)).astype(int))
    # Of visits followed up to a time, those that end up to the next one; visits lost sight of within the
    # step count half (actuarial estimate).
    edges = np.concatenate([[0], times])
    bin_of = np.searchsorted(edges, length, side="left") - 1
    shape = (ions, n_states, len(times))
    exits, lost = np.zeros(shape), np.zeros(shape)
    np.add.at(exits, (ion[ended], state[ended], bin_of[ended]), 1.0)
    np.add.at(lost, (ion[~ended], state[~ended], bin_of[~ended]), 1.0)

    def shares(out: np.ndarray, gone: np.ndarray) -> np.ndarray:
        total = out + gone
        at_risk = np.flip(np.cumsum(np.flip(total, -1), -1), -1)
        exposed = at_risk - 0.5 * gone
        with np.errstate(divide="ignore", invalid="ignore"):
            stay = np.where(exposed > 0, 1.0 - out / exposed, np.nan)
        return np.cumprod(np.clip(stay, 0.0, 1.0), axis=-1)

    weights = resampling.ions.astype(np.float64)
    drawn = [(weights @ each.reshape(ions, -1)).reshape(-1, *shape[1:]) for each in (exits, lost)]
    value = shares(exits.sum(axis=0), lost.sum(axis=0))
    return Survival(
        times=times,
        share=bootstrap.with_interval(value, shares(*drawn)),
        visits=np.bincount(state, minlength=n_states),
        ends=np.bincount(state[ended], minlength=n_states),
    )
