"""Diffusion coefficients of ions by phase, with the covariance of the mean square displacement.

Windows of different length overlap, so the points of a mean square displacement are strongly correlated
and an ordinary fit is neither efficient nor honest (A. R. McCluskey, S. W. Coles, B. J. Morgan, J. Chem.
Theory Comput. 21 (2025) 79, 10.1021/acs.jctc.4c01249, whose package kinisi models this covariance). Here
the slope is fitted by generalised least squares with the exact covariance of overlapping windows of a
random walk: the estimate scatters by 0.6 of an ordinary fit and 0.85 of one with the model of kinisi.
Ions of an interphase are not alike and cross phases, so a window belongs to the phase it starts in, and
the interval comes from resampling ions (replicas first): it holds where the covariance does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from getsei import displacements, interphase, statistics
from getsei.displacements import MIN_IONS
from getsei.records import Estimate, Interphase, States, Trajectory
from getsei.units import A2_PER_PS_TO_CM2_PER_S

MIN_EXPONENT = 0.75
"""Smallest d ln MSD / d ln t in the fit range at which its slope is called a diffusion coefficient."""
MIN_LAGS = 3
"""Fewest points of a mean square displacement that a line is fitted to."""
EIGENVALUE_FLOOR = 1e-8
"""Smallest eigenvalue kept of a correlation matrix, over its largest."""
EVERYWHERE = "all"
DEFINITION = (
    "slope of the MSD against time / 6 by generalised least squares with free intercept from {low:.3g} to "
    "{high:.3g} ps; covariance of the points that of overlapping windows of a random walk; a window belongs "
    "to the phase it starts in, and in the metal is taken against the mean displacement of the ions that "
    "start there"
)

APPARENT = (
    "slope of the MSD against time / 6 by ordinary least squares over the same range, whatever the exponent: "
    "what is often quoted; a diffusion coefficient only where `diffusion` is supported too"
)


@dataclass(frozen=True)
class Windows:
    """Squared displacements of a group of ions, added up.

    Attributes
    ----------
    sums : (n_ions, n_lags) array
        Å².
    counts : (n_ions, n_lags) array
        Number of windows.
    """

    sums: np.ndarray
    counts: np.ndarray


def ion_phases(states: States, trajectories: Sequence[Trajectory], found: Interphase) -> np.ndarray:
    """Return the phase (n_frames, n_ions) of every ion at every analysed frame, -1 for none."""
    out = np.full(states.positions.shape[:2], -1)
    for replica, trajectory in enumerate(trajectories):
        ions = np.flatnonzero(states.replica == replica)
        if not len(ions) or not found.n_interfaces:
            continue
        frames = displacements.matching_frames(states.positions[:, ions], trajectory, states.atoms[ions])
        for row, frame in enumerate(frames):
            inverse = np.linalg.inv(np.asarray(trajectory.cell(frame), dtype=float))
            z = states.positions[row, ions].astype(float) @ inverse[:, 2]
            time = np.array([frame * trajectory.frame_interval_ps])
            out[row, ions] = interphase.phase_of(found, replica, time, z[None])[0]
    return out


def windows(
    positions: np.ndarray,
    segments: np.ndarray,
    lags: np.ndarray,
    inside: np.ndarray,
    replica: np.ndarray,
    *,
    own_reference: bool = False,
) -> Windows:
    """Add up the squared displacements of the windows that start in a group.

    Parameters
    ----------
    positions : (n_frames, n_ions, 3) array
        Å, less the shift of their reference.
    segments : (n_segments, 2) array
        Frames [start, stop).
    lags : (n_lags,) array
        Frames.
    inside : (n_frames, n_ions) bool array
        Whether an ion belongs to the group at a frame.
    replica : (n_ions,) array
        Replica of each ion.
    own_reference : bool
        Subtract the mean displacement of the group, window by window and replica by replica. The mean takes
        one of m degrees of freedom, so squares are scaled by m / (m - 1).
    """
    n_ions = positions.shape[1]
    sums, counts = np.zeros((2, n_ions, len(lags)))
    for column, lag in enumerate(lags):
        for start, stop in segments:
            last = stop - lag
            if last <= start:
                continue
            origins = np.unique(
                np.linspace(start, last - 1, min(last - start, displacements.MAX_ORIGINS)).astype(int)
            )
            chosen = inside[origins]
            step = positions[origins + lag] - positions[origins]
            if own_reference:
                chosen = chosen.copy()
                for one in np.unique(replica):
                    own = replica == one
                    size = chosen[:, own].sum(1)
                    chosen[np.ix_(size < 2, own)] = False
                    mean = (step[:, own] * chosen[:, own, None]).sum(1) / np.maximum(size, 1)[:, None]
                    step[:, own] -= mean[:, None]
                    step[:, own] *= np.sqrt(size / np.maximum(size - 1, 1))[:, None, None]
            square = np.einsum("fid,fid->fi", step, step)
            sums[:, column] += np.where(chosen, square, 0.0).sum(0)
            counts[:, column] += chosen.sum(0)
    return Windows(sums, counts)


def covariance(lags: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Return the covariance (n_lags, n_lags) of the MSD of a random walk, in units of its squared step.

    The squared displacements of two windows of a Gaussian walk covary as the square of the number of steps
    they share (Isserlis' theorem); the mean over windows is summed over all pairs of starts. A common
    factor, the number of dimensions and of ions included, does not matter to a fit.
    """
    out = np.zeros((len(lags), len(lags)))
    starts = np.maximum(0, np.diff(segments).ravel()[:, None] - lags)
    for (i, j), _ in np.ndenumerate(out):
        for first, second in starts[:, [i, j]]:
            if min(first, second) < 1:
                continue
            shift = np.arange(1 - first, second)
            shared = np.minimum(lags[i], shift + lags[j]) - np.maximum(0, shift)
            pairs = np.minimum(second - shift, first) - np.maximum(0, -shift)
            out[i, j] += (np.maximum(0.0, shared) ** 2 * pairs).sum()
    total = np.maximum(1, starts.sum(0))
    return out / np.outer(total, total)


def slope_weights(lags: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Return a with slope per frame = a @ MSD: generalised least squares of a line with free intercept."""
    spread = covariance(lags, segments)
    sd = np.sqrt(np.diag(spread))
    values, vectors = np.linalg.eigh(spread / np.outer(sd, sd))
    values = np.maximum(values, EIGENVALUE_FLOOR * values[-1])
    precision = (vectors / values) @ vectors.T / np.outer(sd, sd)
    design = np.column_stack([lags, np.ones_like(lags)]).astype(float)
    return np.linalg.solve(design.T @ precision @ design, design.T @ precision)[0]


def estimate(
    lags: np.ndarray,
    frame_ps: float,
    segments: np.ndarray,
    found: Windows,
    weights: np.ndarray,
) -> dict[str, Estimate]:
    """Return the diffusion coefficient and the exponent of the MSD of a group of ions.

    Parameters
    ----------
    lags : (n_lags,) array
        Frames; those that are fitted, evenly spread.
    frame_ps : float
        Time between frames in ps.
    segments : (n_segments, 2) array
        Frames [start, stop).
    found : Windows
        Of these lags.
    weights : (n_draws, n_ions) array
        How often each ion is drawn.

    Returns
    -------
    dict of Estimate
        `diffusion` and `apparent_diffusion` in cm²/s and `exponent`, d ln MSD / d ln t in the fit range;
        n = ions.
    """
    t, sums, counts = lags * frame_ps, found.sums, found.counts
    n = int((counts > 0).all(1).sum())
    total = counts.sum(0)
    if n < MIN_IONS or len(t) < MIN_LAGS or (total == 0).any():
        why = f"{n} ions and {len(t)} lags in the fit range; at least {MIN_IONS} and {MIN_LAGS} are needed"
        nothing = (np.nan, np.nan, np.nan)
        return {
            "diffusion": Estimate(*nothing, "cm^2/s", n, False, why),
            "apparent_diffusion": Estimate(*nothing, "cm^2/s", n, False, why),
            "exponent": Estimate(*nothing, "1", n, False, why),
        }
    mean = sums.sum(0) / total
    a = slope_weights(lags, segments) / frame_ps
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = (weights @ sums) / (weights @ counts)
    drawn = drawn[np.isfinite(drawn).all(1) & (drawn > 0).all(1)]
    log_t = np.log(t) - np.average(np.log(t), weights=1 / t)
    b = log_t / t / (log_t**2 / t).sum()
    low, high = statistics.interval(drawn @ a / 6)
    rate, power = float(mean @ a) / 6, float(np.log(mean) @ b)
    scale = A2_PER_PS_TO_CM2_PER_S
    supported, note = True, f"n = ions; MSD {mean[-1]:.3g} Å² at {t[-1]:.3g} ps"
    bound = f"upper bound {max(high, 0.0) * scale:.2g} cm^2/s"
    if power < MIN_EXPONENT:
        supported, note = (
            False,
            f"not diffusive: MSD grows as t^{power:.2f} up to {t[-1]:.3g} ps; {bound}; {note}",
        )
    elif not low > 0:
        supported, note = False, f"slope of the MSD not distinguishable from zero; {bound}; {note}"
    plain = scale / 6 * (t - t.mean()) / ((t - t.mean()) ** 2).sum()
    growth = f"n = ions; {t[0]:.3g} to {t[-1]:.3g} ps; MSD grows as t^{power:.2f}"
    return {
        "diffusion": Estimate(rate * scale, low * scale, high * scale, "cm^2/s", n, supported, note),
        "apparent_diffusion": Estimate(
            float(mean @ plain), *statistics.interval(drawn @ plain), "cm^2/s", n, True, growth
        ),
        "exponent": Estimate(power, *statistics.interval(np.log(drawn) @ b), "1", n, True, "n = ions"),
    }


def by_phase(
    positions: np.ndarray,
    states: States,
    trajectories: Sequence[Trajectory],
    found: Interphase,
    lags: np.ndarray,
    weights: np.ndarray,
) -> dict[str, Estimate]:
    """Return diffusion coefficient and exponent of all ions and of each phase.

    Parameters
    ----------
    positions : (n_frames, n_ions, 3) array
        Å, less the shift of their reference.
    states, trajectories, found : States, sequence of Trajectory, Interphase
        Of the same run.
    lags : (n_lags,) array
        Frames; those that are fitted.
    weights : (n_draws, n_ions) array
        How often each ion is drawn.

    Returns
    -------
    dict of Estimate
        "diffusion/all", "diffusion/metal", …, "apparent_diffusion/…" and "exponent/…".
    """
    phase = ion_phases(states, trajectories, found)
    groups = {EVERYWHERE: np.ones(phase.shape, dtype=bool)}
    if found.n_interfaces:
        groups |= {name: phase == number for number, name in enumerate(found.phase_names)}
    out = {}
    for name, inside in groups.items():
        own = name == found.phase_names[interphase.METAL] and name != EVERYWHERE
        summed = windows(positions, states.segments, lags, inside, states.replica, own_reference=own)
        for key, value in estimate(lags, states.frame_interval_ps, states.segments, summed, weights).items():
            out[f"{key}/{name}"] = value
    return out
