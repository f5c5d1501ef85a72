"""Which part of the run is analysed: what still reacts at its start is cut off, by a criterion.

A cut is accepted when, in what is left, the kinetics of both halves agree, no population drifts, and the
bonds of the electrolyte (P-S, Ge-S, Zr-O, …) neither break nor form. The shortest such cut is taken; where
none up to half of the run is, nothing is cut and the run is called not stationary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from getsei.composition import Course
from getsei.errors import UserError
from getsei.kinetics import bootstrap, chains, counting, stationarity
from getsei.records import States

AUTO = "auto"
CUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of the run tried as cuts."""
BOND_LIMIT = 0.05
"""Largest relative change of a number of bonds within a stationary window."""
BLOCKS = 8
"""Parts of the window whose mean numbers of bonds are compared; each holds two samples or more."""


@dataclass(frozen=True)
class Verdict:
    """Whether a window is stationary.

    Attributes
    ----------
    p : float
        Probability of the difference between the transition counts of both halves.
    drift : float
        Largest change of a population whose interval excludes zero.
    bonds : list of dict
        `name`, `before`, `after` (neighbours per atom in the first quarter and the second half), `change`
        (relative), `low`, `high`, `n` (samples), `passed`.
    """

    p: float
    drift: float
    bonds: list[dict[str, Any]]

    @property
    def failures(self) -> list[str]:
        """What speaks against it, in words."""
        found = []
        if self.p < stationarity.P_LIMIT:  # NaN where there are too few changes to compare
            found.append(f"kinetics of the halves differ (p {self.p:.2g})")
        if self.drift > stationarity.DRIFT_LIMIT:
            found.append(f"populations drift by {self.drift:.2f}")
        found += [
            f"{bond['name']} bonds change by {bond['change']:+.0%}"
            for bond in self.bonds
            if not bond["passed"]
        ]
        return found


def trimmed(states: States, first: int) -> States:
    """Return states whose segments begin at a frame; what lies before is not analysed."""
    if first == 0:
        return states
    segments = np.maximum(np.asarray(states.segments).reshape(-1, 2), first)
    return replace(states, segments=segments[segments[:, 1] > segments[:, 0]])


def halves(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the segments of the first and the second half of a window, and the frame between them."""
    segments = np.asarray(segments).reshape(-1, 2)
    middle = int((segments[:, 0].min() + segments[:, 1].max()) // 2)
    early, late = np.minimum(segments, middle), np.maximum(segments, middle)
    return early[early[:, 1] > early[:, 0]], late[late[:, 1] > late[:, 0]], middle


def half_counts(states: States, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pair counts (n, n) of each half of the window; a pair belongs to where it starts."""
    _, _, middle = halves(states.segments)
    whole = counting.pair_counts(states.labels, states.segments, lag, states.n_states).sum(axis=(0, 1))
    early = np.minimum(np.asarray(states.segments).reshape(-1, 2), middle + lag)
    early = early[early[:, 1] > early[:, 0]]
    first = counting.pair_counts(states.labels, early, lag, states.n_states).sum(axis=(0, 1))
    return first, whole - first


def bond_drift(courses: Sequence[Course], start_ps: float, stop_ps: float) -> dict[str, Any] | None:
    """Compare the mean number of bonds in the first quarter of a window with that in its second half.

    What reacts reacts fastest at the start. The scatter of means over eighths of the window, in its second
    half, is the measure: successive samples are not independent.

    Parameters
    ----------
    courses : sequence of Course
        The same pair of elements in every replica.
    start_ps, stop_ps : float
        The window, in the time of the courses.

    Returns
    -------
    dict or None
        None where there are too few samples.
    """
    before, after, variance, number = [], [], [], 0
    for course in courses:
        inside = (course.times_ps >= start_ps - 1e-9) & (course.times_ps <= stop_ps + 1e-9)
        samples = course.mean[inside]
        if len(samples) < 2 * BLOCKS:
            continue
        blocks = np.array([block.mean() for block in np.array_split(samples, BLOCKS)])
        late = blocks[BLOCKS // 2 :]
        before.append(float(blocks[: BLOCKS // 4].mean()))
        after.append(float(late.mean()))
        variance.append(float(late.var(ddof=1)))
        number += len(samples)
    if not before:
        return None
    scale = max(float(np.mean(before)), 1e-12)
    change = float(np.mean(after) - np.mean(before)) / scale
    error = np.sqrt(np.mean(variance) * (4.0 / BLOCKS + 2.0 / BLOCKS) / len(before)) / scale
    half = float(stats.t.ppf(0.5 + bootstrap.LEVEL / 2.0, (BLOCKS // 2 - 1) * len(before)) * error)
    significant = abs(change) > half
    return {
        "name": courses[0].name,
        "before": float(np.mean(before)),
        "after": float(np.mean(after)),
        "change": change,
        "low": change - half,
        "high": change + half,
        "n": number,
        "passed": not (significant and abs(change) > BOND_LIMIT),
    }


def judge(
    states: States,
    lag: int,
    resampling: bootstrap.Resampling,
    courses: Sequence[Sequence[Course]] = (),
    stage_start_ps: Sequence[float] = (),
) -> Verdict:
    """Test whether the window of these states is stationary.

    Parameters
    ----------
    states : States
        Its segments are the window.
    lag : int
        Frames.
    resampling : Resampling
    courses : sequence (replicas) of sequences of Course
        Composition over time; bonds between framework elements are used.
    stage_start_ps : sequence of float
        Time in the courses of each replica at which frame 0 of the states lies.
    """
    first, second = half_counts(states, lag)
    p = stationarity.half_against_half(first, second, lag).p
    both = first + second
    active = chains.largest_connected_set(both, both.sum(axis=1))
    early, late, _ = halves(states.segments)
    frames = [
        counting.frame_counts(states.labels, part, states.n_states)[:, active] for part in (early, late)
    ]
    change, low, high = stationarity.population_drift(*frames, resampling)
    drift = float(np.abs(np.where((low > 0) | (high < 0), change, 0.0)).max(initial=0.0))
    segments = np.asarray(states.segments).reshape(-1, 2)
    begin, end = (f * states.frame_interval_ps for f in (segments[:, 0].min(), segments[:, 1].max()))
    by_name: dict[str, list[Course]] = {}
    for replica, start in zip(courses, stage_start_ps, strict=True):
        for course in replica:
            if course.survival is not None:  # framework bonds; mobile neighbours come and go
                shifted = replace(course, times_ps=course.times_ps - start)
                by_name.setdefault(course.name, []).append(shifted)
    bonds = [bond_drift(same, begin, end) for same in by_name.values()]
    return Verdict(p=p, drift=drift, bonds=[bond for bond in bonds if bond is not None])


@dataclass(frozen=True)
class Window:
    """The part of the run that is analysed.

    Attributes
    ----------
    first : int
        First frame.
    verdict : Verdict
        Of this window.
    note : str
        How it was chosen.
    """

    first: int
    verdict: Verdict
    note: str


def choose(
    states: States,
    discard_ps: float | str,
    lag: int,
    resampling: bootstrap.Resampling,
    courses: Sequence[Sequence[Course]] = (),
    stage_start_ps: Sequence[float] = (),
) -> Window:
    """Cut what still reacts.

    Parameters
    ----------
    states : States
    discard_ps : float or "auto"
        Time to leave out at the start.
    lag : int
        Lag of the tests in frames.
    resampling, courses, stage_start_ps
        As for `judge`.

    Raises
    ------
    UserError
        If nothing is left.
    """
    segments = np.asarray(states.segments).reshape(-1, 2)
    begin, end = int(segments[:, 0].min(initial=0)), int(segments[:, 1].max(initial=0))
    interval = states.frame_interval_ps

    def looked_at(first: int) -> Verdict:
        return judge(trimmed(states, first), lag, resampling, courses, stage_start_ps)

    if discard_ps != AUTO:
        first = begin + round(float(discard_ps) / interval)
        if first + lag >= end:
            raise UserError(
                f"kinetics.discard_ps: {discard_ps:g} ps leaves no pair of frames of the "
                f"{(end - begin) * interval:g} ps analysed; discard less or sample longer"
            )
        note = f"the first {discard_ps:g} ps are left out as set" if first > begin else "the whole run"
        return Window(first, looked_at(first), note)
    whole = looked_at(begin)
    for cut in CUTS:
        first = begin + round(cut * (end - begin))
        if first + 4 * lag >= end:
            break
        verdict = whole if first == begin else looked_at(first)
        if not verdict.failures:
            note = "the whole run; it passes every test of stationarity"
            if first > begin:
                note = (
                    f"the first {(first - begin) * interval:g} ps are cut: with them, "
                    f"{'; '.join(whole.failures)}"
                )
            return Window(first, verdict, note)
    return Window(begin, whole, f"the whole run; no cut up to {CUTS[-1]:.0%} makes it stationary")
