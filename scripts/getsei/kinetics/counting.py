"""Count transitions and reactive events in label trajectories, ion by ion.

A trajectory of an ion is cut at segment borders and at UNASSIGNED frames: no pair, no change of state and
no passage is counted across a cut.
"""

from collections.abc import Iterator

import numpy as np

from getsei.errors import UserError
from getsei.records import UNASSIGNED

CHUNK = 1 << 22
"""Labels looked at together; bounds the memory."""
LAG_TOLERANCE = 1e-6
"""How far lag over frame interval may be from a whole number."""


def lag_in_frames(lag_ps: float, frame_interval_ps: float, segments: np.ndarray, key: str) -> int:
    """Convert a lag time to frames.

    Parameters
    ----------
    lag_ps, frame_interval_ps : float
        Times in ps.
    segments : (n_segments, 2) array
        Frames [start, stop).
    key : str
        Setting that the lag comes from, for the message.

    Raises
    ------
    UserError
        If the lag is not a multiple of the frame interval, or no segment is longer than it.
    """
    ratio = lag_ps / frame_interval_ps
    frames = round(ratio)
    if frames < 1 or abs(ratio - frames) > LAG_TOLERANCE * max(1.0, ratio):
        below = max(1, int(ratio)) * frame_interval_ps
        raise UserError(
            f"{key}: {lag_ps:g} ps is not a multiple of the frame interval {frame_interval_ps:g} ps; "
            f"use {below:g} or {below + frame_interval_ps:g} ps"
        )
    longest = longest_segment(segments)
    if frames >= longest:
        raise UserError(
            f"{key}: {lag_ps:g} ps is not shorter than the longest segment of the trajectory "
            f"({longest} frames, {longest * frame_interval_ps:g} ps); shorten the lag or sample longer"
        )
    return frames


def longest_segment(segments: np.ndarray) -> int:
    """Return the number of frames of the longest segment (0 if there is none)."""
    lengths = np.diff(np.asarray(segments).reshape(-1, 2), axis=1)
    return int(lengths.max(initial=0))


def _pieces(labels: np.ndarray, segments: np.ndarray, n_states: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (first ion, first frame, labels of some ions over one whole segment)."""
    n_ions, n_frames = labels.shape
    for start, stop in np.asarray(segments).reshape(-1, 2):
        if not 0 <= start < stop <= n_frames:
            raise UserError(f"segment [{start}, {stop}) does not lie within the {n_frames} frames of labels")
        step = max(1, CHUNK // int(stop - start))
        for ion in range(0, n_ions, step):
            piece = np.asarray(labels[ion : ion + step, start:stop])
            if piece.size and (piece.max() >= n_states or piece.min() < UNASSIGNED):
                raise UserError(f"labels must lie in {UNASSIGNED}..{n_states - 1} for {n_states} states")
            yield ion, int(start), piece


def pair_counts(
    labels: np.ndarray, segments: np.ndarray, lag: int, n_states: int, n_blocks: int = 1
) -> np.ndarray:
    """Count pairs of states a lag apart (sliding window), for every ion and block in time.

    Parameters
    ----------
    labels : (n_ions, n_frames) integer array
        State of each ion, UNASSIGNED where it has none. May be a dataset on disk: it is read in pieces.
    segments : (n_segments, 2) array
        Frames [start, stop).
    lag : int
        Lag in frames.
    n_states : int
        Number of states.
    n_blocks : int
        Equal blocks of frames; a pair belongs to the block in which it starts.

    Returns
    -------
    (n_ions, n_blocks, n_states, n_states) int64 array
        ``[i, b, s, t]`` pairs of ion i that start in s and end in t.
    """
    n_ions, n_frames = labels.shape
    cells = n_states * n_states
    counts = np.zeros(n_ions * n_blocks * cells, dtype=np.int64)
    block_of = np.arange(n_frames) * n_blocks // max(n_frames, 1)
    for ion, start, piece in _pieces(labels, segments, n_states):
        length = piece.shape[1]
        if length <= lag:
            continue
        unit = np.arange(ion, ion + len(piece))[:, None] * n_blocks + block_of[start : start + length - lag]
        code = unit * cells + piece[:, :-lag] * np.int64(n_states) + piece[:, lag:]
        if (piece == UNASSIGNED).any():
            gaps = np.zeros((len(piece), length + 1), dtype=np.int32)
            np.cumsum(piece == UNASSIGNED, axis=1, out=gaps[:, 1:])
            code = code[gaps[:, lag + 1 :] == gaps[:, : length - lag]]
        first, size = ion * n_blocks * cells, len(piece) * n_blocks * cells
        counts[first : first + size] += np.bincount(code.ravel() - first, minlength=size)
    return counts.reshape(n_ions, n_blocks, n_states, n_states)


def frame_counts(labels: np.ndarray, segments: np.ndarray, n_states: int) -> np.ndarray:
    """Count the frames each ion spends in each state within the segments: (n_ions, n_states) int64."""
    counts = np.zeros((labels.shape[0], n_states), dtype=np.int64)
    for ion, _, piece in _pieces(labels, segments, n_states):
        for state in range(n_states):
            counts[ion : ion + len(piece), state] += np.count_nonzero(piece == state, axis=1)
    return counts


def state_changes(labels: np.ndarray, segments: np.ndarray, n_states: int) -> np.ndarray:
    """Count the changes of state from one frame to the next: (n_ions, n_states, n_states), zero diagonal."""
    changes = pair_counts(labels, segments, 1, n_states)[:, 0]
    changes[:, np.arange(n_states), np.arange(n_states)] = 0
    return changes


def reactive_events(
    labels: np.ndarray, segments: np.ndarray, source: list[int], target: list[int], n_states: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count passages from source to target directly in the trajectories.

    A passage ends at each frame at which an ion enters the target having visited the source more
    recently than the target. This is what the reactive flux of transition path theory is the rate of
    (Metzner, Schütte, Vanden-Eijnden 2009, https://doi.org/10.1137/070699500, section 2), so it tests the
    theory without any model.

    Returns
    -------
    events : (n_ions,) int64 array
        Passages of each ion.
    frames : (n_ions,) int64 array
        Frames at which it is known which of the two sets the ion visited last: the time the events are
        to be divided by. Time before the first visit after a cut is unknown and left out.
    """
    events = np.zeros(labels.shape[0], dtype=np.int64)
    frames = np.zeros(labels.shape[0], dtype=np.int64)
    for ion, _, piece in _pieces(labels, segments, n_states):
        visited, last = _ends_visited(piece, source, target, n_states)
        ions = slice(ion, ion + len(piece))
        events[ions] += np.count_nonzero((last[:, :-1] == 1) & (visited[:, 1:] == 2), axis=1)
        frames[ions] += np.count_nonzero((last == 1) | (last == 2), axis=1)
    return events, frames


def passages(piece: np.ndarray, source: list[int], target: list[int], n_states: int) -> np.ndarray:
    """Tell at which frames of one uncut piece of labels passages end: (n_ions, n_frames) bool."""
    visited, last = _ends_visited(piece, source, target, n_states)
    found = np.zeros(piece.shape, dtype=bool)
    found[:, 1:] = (last[:, :-1] == 1) & (visited[:, 1:] == 2)
    return found


def _ends_visited(
    piece: np.ndarray, source: list[int], target: list[int], n_states: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the end an ion is in, and the one it was in last: 0 none, 1 source, 2 target, 3 a cut."""
    kind = np.zeros(n_states + 1, dtype=np.int8)
    kind[list(source)], kind[list(target)], kind[n_states] = 1, 2, 3
    visited = kind[piece.astype(np.int64)]  # label -1 picks the last entry: a cut
    index = np.where(visited > 0, np.arange(piece.shape[1]), 0)
    return visited, np.take_along_axis(visited, np.maximum.accumulate(index, axis=1), axis=1)
