"""Whether an embedding has collapsed (numpy only)."""

import numpy as np

from getsei.contrastive.pool import draw_pairs, shares

DIAGNOSTIC_SAMPLE = 4096


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scale (..., d) vectors to length one: the loss has only ever seen directions."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def effective_rank(vectors: np.ndarray) -> float:
    """Return the exponential of the entropy of the normalised covariance eigenvalues of (n, d) vectors.

    1 when all vary along one direction (O. Roy, M. Vetterli, EUSIPCO 2007).
    """
    spectrum = np.clip(np.linalg.eigvalsh(np.atleast_2d(np.cov(vectors.T))), 0.0, None)
    total = spectrum.sum()
    share = spectrum[spectrum > 0.0] / total if total > 0.0 else np.ones(1)
    return float(np.exp(-(share * np.log(share)).sum()))


def diagnose(vectors: np.ndarray, segment_of: np.ndarray, lag_frames: int, seed: int) -> dict[str, float]:
    """Tell whether an embedding has collapsed.

    Parameters
    ----------
    vectors : (n_frames, n_ions, d) array
        Embedding.
    segment_of : (n_frames,) int array
        Segment of each frame.
    lag_frames : int
        Lag of the positives.
    seed : int
        Seed of the sample.

    Returns
    -------
    dict
        Of the vectors scaled to length one. ``effective_rank``; ``min_std``: smallest standard deviation of
        a dimension; ``mean_cosine`` of random pairs; ``alignment``: mean square distance of an ion to
        itself within the lag; ``uniformity``: log of the mean of exp(-2 square distance) of random pairs,
        -4 at best (T. Wang, P. Isola, ICML 2020, arXiv:2005.10242).
    """
    rng = np.random.default_rng(seed)
    n_ions = vectors.shape[1]
    rounds, per_round = shares([n_ions], DIAGNOSTIC_SAMPLE)
    shape = (rounds, per_round[0])
    ions, frames, partners = draw_pairs(np.arange(n_ions), shape, segment_of, max(1, lag_frames), rng)
    unit = unit_length(vectors[frames, ions].astype(np.float64))
    near = unit_length(vectors[partners, ions].astype(np.float64))
    other = unit[rng.permutation(len(unit))]
    square = ((unit - other) ** 2).sum(1)
    return {
        "effective_rank": effective_rank(unit),
        "min_std": float(unit.std(0).min()),
        "mean_cosine": float((unit * other).sum(1).mean()),
        "alignment": float(((unit - near) ** 2).sum(1).mean()),
        "uniformity": float(np.log(np.exp(-2.0 * square).mean())),
    }
