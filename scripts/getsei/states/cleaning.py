"""Label cleaning: a visit counts only if it lasts."""

import numpy as np

from getsei.records import UNASSIGNED


def dwell_filter(labels: np.ndarray, segments: np.ndarray, dwell_frames: int) -> np.ndarray:
    """Remove visits shorter than a dwell time.

    A visit of at least `dwell_frames` frames is a core. An ion belongs to the core it entered last, from
    the first frame of that core on; before its first core, it belongs to that one. This is the core-set
    labelling of C. Schütte et al., J. Chem. Phys. 134 (2011) 204105, with the core set by duration.

    Parameters
    ----------
    labels : (n_ions, n_frames) int array
        State per ion and frame, `UNASSIGNED` where there is none.
    segments : (n_segments, 2) int array
        Frames [start, stop); nothing is carried from one segment to another.
    dwell_frames : int
        Shortest visit that counts; 1 changes nothing.

    Returns
    -------
    (n_ions, n_frames) int8 array
        Cleaned labels, `UNASSIGNED` for an ion in a segment without any core.
    """
    cleaned = np.full(labels.shape, UNASSIGNED, dtype=np.int8)
    for start, stop in np.asarray(segments, dtype=int):
        cleaned[:, start:stop] = _clean_segment(labels[:, start:stop], dwell_frames)
    return cleaned


def _clean_segment(labels: np.ndarray, dwell_frames: int) -> np.ndarray:
    n_ions, n_frames = labels.shape
    begins = np.ones(labels.shape, dtype=bool)
    begins[:, 1:] = labels[:, 1:] != labels[:, :-1]
    first = np.flatnonzero(begins.ravel())
    length = np.diff(np.append(first, labels.size))
    core = (length >= dwell_frames) & (labels.ravel()[first] != UNASSIGNED)
    # Column of the last core entered at or before each frame, -1 before the first core.
    entered = np.full(labels.size, -1, dtype=np.int64)
    entered[first[core]] = first[core] % n_frames
    entered = np.maximum.accumulate(entered.reshape(labels.shape), axis=1)
    starts = np.zeros(labels.shape, dtype=bool)
    starts.ravel()[first[core]] = True
    entered = np.where(entered < 0, np.argmax(starts, axis=1)[:, None], entered)
    cleaned = labels[np.arange(n_ions)[:, None], entered]
    return np.where(starts.any(axis=1)[:, None], cleaned, UNASSIGNED)


def change_rate(labels: np.ndarray, segments: np.ndarray) -> float:
    """Return the share of successive frames between which an ion changes its state."""
    parts = [labels[:, start:stop] for start, stop in np.asarray(segments, dtype=int)]
    pairs = sum(part[:, 1:].size for part in parts)
    return sum(int((part[:, 1:] != part[:, :-1]).sum()) for part in parts) / pairs if pairs else 0.0


def moving_share(labels: np.ndarray, segments: np.ndarray) -> float:
    """Return the share of ions that change their state at least once within a segment."""
    moved = np.zeros(len(labels), dtype=bool)
    for start, stop in np.asarray(segments, dtype=int):
        moved |= (labels[:, start + 1 : stop] != labels[:, start : stop - 1]).any(axis=1)
    return float(moved.mean())


def return_rate(labels: np.ndarray, segments: np.ndarray, within: int = 2) -> float:
    """Return the share of changes of state that are undone within a few frames."""
    changes = returns = 0
    for start, stop in np.asarray(segments, dtype=int):
        part = labels[:, start:stop]
        if part.shape[1] < within + 2:
            continue
        before, after = part[:, : -within - 1], part[:, 1:-within]
        later = np.stack([part[:, 1 + lag : part.shape[1] - within + lag] for lag in range(1, within + 1)])
        changed = before != after
        changes += int(changed.sum())
        returns += int((changed & (later == before).any(axis=0)).sum())
    return returns / changes if changes else 0.0
