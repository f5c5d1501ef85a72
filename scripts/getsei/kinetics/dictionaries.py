"""Dictionaries for extended dynamic mode decomposition: functions evaluated on labels or features.

Every dictionary is an array (n_samples, n_functions) whose span holds the constant, so that the Koopman
operator restricted to it has the eigenvalue one.
"""

import numpy as np

from getsei.errors import UserError
from getsei.records import UNASSIGNED


def indicator(labels: np.ndarray, n_states: int) -> np.ndarray:
    """Return one function per state: one inside, zero outside. Rows without a state are all zero.

    Parameters
    ----------
    labels : (n_samples,) integer array
        States, UNASSIGNED allowed.
    n_states : int
        Number of states.
    """
    labels = np.asarray(labels)
    return ((labels[:, None] == np.arange(n_states)) & (labels[:, None] != UNASSIGNED)).astype(np.float64)


def soft_membership(features: np.ndarray, centres: np.ndarray, width: float) -> np.ndarray:
    """Return memberships that fall with distance to the centres and sum to one.

    Softmax of -|x - c|² / (2 width²): a partition of unity, so that rows of the operator sum to one.

    Parameters
    ----------
    features : (n_samples, n_features) array
    centres : (n_centres, n_features) array
    width : float
        Width in the unit of the features; to zero it becomes the indicator of the nearest centre.
    """
    logits = -_squared_distances(features, centres) / (2.0 * _positive(width) ** 2)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def radial(features: np.ndarray, centres: np.ndarray, width: float) -> np.ndarray:
    """Return the constant and one Gaussian exp(-|x - c|² / (2 width²)) per centre."""
    gaussians = np.exp(-_squared_distances(features, centres) / (2.0 * _positive(width) ** 2))
    return np.hstack([np.ones((len(gaussians), 1)), gaussians])


def monomials(features: np.ndarray, degree: int = 1) -> np.ndarray:
    """Return the constant and the powers 1..degree of every feature.

    Degree 1 on embedding components is linear dynamic mode decomposition with a constant.
    """
    features = np.asarray(features, dtype=np.float64)
    powers = [features**power for power in range(1, degree + 1)]
    return np.hstack([np.ones((len(features), 1)), *powers])


def _positive(width: float) -> float:
    if not width > 0:
        raise UserError(f"the width of a dictionary function is {width}; it must be positive")
    return width


def _squared_distances(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    features, centres = np.asarray(features, np.float64), np.asarray(centres, np.float64)
    square = (features**2).sum(1)[:, None] - 2.0 * features @ centres.T + (centres**2).sum(1)[None]
    return np.maximum(square, 0.0)
