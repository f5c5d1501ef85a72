"""Markov chains with known answers, for the tests of the kinetics."""

import numpy as np
from getsei import records

FIVE_STATES = np.array(
    [
        [0.80, 0.15, 0.05, 0.00, 0.00],
        [0.10, 0.75, 0.05, 0.05, 0.05],
        [0.05, 0.10, 0.80, 0.00, 0.05],
        [0.00, 0.20, 0.00, 0.80, 0.00],
        [0.00, 0.02, 0.02, 0.00, 0.96],
    ]
)
"""The five-state chain of the deeptime and PyEMMA documentation; from 0 to 4 the flux is 0.0108050847."""

SIX_STATES = np.array(
    [
        [0.960, 0.020, 0.010, 0.006, 0.004, 0.000],
        [0.020, 0.940, 0.015, 0.015, 0.008, 0.002],
        [0.012, 0.018, 0.930, 0.020, 0.012, 0.008],
        [0.005, 0.012, 0.020, 0.935, 0.016, 0.012],
        [0.004, 0.006, 0.010, 0.020, 0.940, 0.020],
        [0.000, 0.002, 0.008, 0.012, 0.018, 0.960],
    ]
)
"""Six states with several routes from 0 to 5, not reversible, per frame."""


def stationary(operator):
    """Return the stationary distribution by linear least squares: independent of the library."""
    n = len(operator)
    system = np.vstack([operator.T - np.eye(n), np.ones(n)])
    return np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0]


def random_chain(n, seed, sparsity=0.0):
    """Return a random non-reversible chain, strongly connected by a ring."""
    rng = np.random.default_rng(seed)
    weights = rng.random((n, n)) * (rng.random((n, n)) >= sparsity)
    weights += np.roll(np.eye(n), 1, axis=1) * 0.1 + np.eye(n)
    return weights / weights.sum(axis=1, keepdims=True)


def sample(operator, n_ions, n_frames, seed):
    """Return (n_ions, n_frames) int8 labels of independent chains that start stationary."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(operator, axis=1)
    edges[:, -1] = 1.0
    labels = np.empty((n_ions, n_frames), dtype=np.int8)
    labels[:, 0] = rng.choice(len(operator), size=n_ions, p=stationary(operator))
    for frame in range(1, n_frames):
        labels[:, frame] = (rng.random(n_ions)[:, None] > edges[labels[:, frame - 1]]).sum(axis=1)
    return labels


def states_of(labels, n_states, *, segments=None, replica=None, frame_interval_ps=0.1, **changes):
    """Return a States record around labels: state 0 is metal-like, the last one electrolyte-like."""
    n_ions, n_frames = labels.shape
    population = np.array([(labels == state).sum() for state in range(n_states)], dtype=float)
    population /= max(population.sum(), 1.0)
    ramp = np.linspace(0.0, 1.0, n_states)
    centres = (np.arange(10) + 0.5) / 10.0
    profile = np.exp(-((centres[None] - (0.1 + 0.65 * ramp)[:, None]) ** 2) / 0.02)
    profile *= (population / profile.sum(axis=1))[:, None]
    fields = {
        "labels": labels,
        "raw_labels": labels,
        "positions": np.zeros((n_frames, n_ions, 3), dtype=np.float32),
        "replica": np.zeros(n_ions, dtype=int) if replica is None else np.asarray(replica),
        "atoms": np.arange(n_ions),
        "coordination": np.column_stack([10.0 - 7.0 * ramp, 4.0 * ramp, 0.2 * ramp]),
        "coordination_sd": np.ones((n_states, 3)),
        "density": 60.0 - 40.0 * ramp,
        "population": population,
        "seed_agreement": np.full(n_states, np.nan),
        "z_profile": profile,
        "z_edges": np.linspace(0.0, 40.0, 11),
        "projection": np.zeros((0, 2)),
        "projection_labels": np.zeros(0, dtype=int),
        "ion_coordination": np.zeros((n_ions, 3)),
        "ion_density": np.zeros(n_ions),
        "segments": np.array([[0, n_frames]]) if segments is None else np.asarray(segments),
        "regions": np.array([[0.0, 16.0], [16.0, 40.0]]),
        "region_names": ["metal", "electrolyte"],
        "mobile": ["Li"],
        "names": [f"state {letter}" for letter in "ABCDEFGHIJKL"[:n_states]],
        "elements": ["Li", "S", "P"],
        "anions": ["S"],
        "shell_cutoffs_A": {"Li": 3.6, "S": 3.2, "P": 3.2},
        "gates": [],
        "choice": [],
        "candidates": [],
        "baselines": [],
        "choice_note": "",
        "cell": [[10.0, 0.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 40.0]],
        "frame_interval_ps": frame_interval_ps,
        "dwell_frames": 1,
        "provenance": {},
    }
    return records.States(**(fields | changes))


SETTINGS = {
    "lag_ps": 0.5,
    "scan_lags_ps": [0.1, 0.2, 0.5, 1.0],
    "discard_ps": 0.0,
    "bootstrap": 200,
    "reversible": False,
    "seed": 1,
}
ENDPOINTS = {"source": "metal-like", "target": "electrolyte-like", "path_fraction": 0.99}
