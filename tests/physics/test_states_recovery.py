"""States that are known: from vectors, and from a trajectory, to the true labels."""

import re

import numpy as np
import pytest
from getsei import environments, synthetic
from getsei.contrastive import training
from getsei.states import assignment
from getsei.states.cleaning import change_rate, dwell_filter
from sklearn.metrics import adjusted_rand_score

MIN_ARI = 0.95


def settings_of_training(**changes):
    plain = {
        "scope": "system",
        "encoder": "moments",
        "loss": "nt_xent",
        "temperature": 0.5,
        "lag_frames": 2,
        "noise_fraction": 1.0,
        "drop_probability": 0.1,
        "mask_probability": 0.1,
        "steps": 120,
        "batch_size": 64,
        "dimensions": 16,
        "learning_rate": 0.005,
        "held_out_fraction": 0.2,
        "repeats": 1,
        "seed": 1,
    }
    return training.TrainingSettings(**(plain | changes))


@pytest.fixture(scope="module")
def truth():
    return synthetic.environments(n_ions=60, n_frames=150, seed=11)


@pytest.mark.parametrize("seed", [1, 2])
def test_true_states_are_found_whatever_the_seed(truth, seed):
    embedding, _ = training.train([truth.environments], settings_of_training(seed=seed))
    wanted = assignment.StateSettings("auto", "kmeans", 2, 800, seed)
    states = assignment.assign(embedding, [truth.environments], wanted)
    assert states.n_states == 6
    assert adjusted_rand_score(truth.labels.ravel(), states.raw_labels.ravel()) >= MIN_ARI
    # The states are ordered like the truth, by falling lithium coordination, and named after it.
    assert np.mean(states.raw_labels == truth.labels) > 0.97
    for name, expected in zip(states.names, synthetic.NAMES, strict=True):
        assert name.startswith(expected)
    failed = [gate["name"] for gate in states.gates if not gate["passed"]]
    assert not [name for name in failed if re.search("silhouette|excess|variance|ARI", name)]


def test_cleaning_brings_flickering_labels_back_to_the_truth():
    labels = synthetic.chain(60, 600, seed=4)
    rng = np.random.default_rng(0)
    flicker = np.where(rng.random(labels.shape) < 0.03, rng.integers(0, 6, labels.shape), labels)
    whole = np.array([[0, 600]])
    cleaned = dwell_filter(flicker, whole, 3)
    true_rate = change_rate(labels, whole)
    assert change_rate(flicker, whole) > 2.5 * true_rate
    assert change_rate(cleaned, whole) == pytest.approx(true_rate, rel=0.2)
    assert np.mean(cleaned == labels) > 0.98


def test_shuffled_chemistry_fails_the_gates(truth):
    """Without structure in the data the silhouette gates must not pass."""
    rng = np.random.default_rng(5)
    record = truth.environments
    n = len(record.species)
    directions = rng.normal(size=(n, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distances = 5.0 * rng.random(n) ** (1 / 3) * 0.8 + 1.0
    counts = np.full(len(record.offsets) - 1, 10)
    total = int(counts.sum())
    gas = type(record)(
        **{
            **vars(record),
            "offsets": np.concatenate([[0], np.cumsum(counts)]),
            "species": rng.choice(np.array([3, 16], dtype=np.uint8), size=total),
            "vectors": (directions * distances[:, None])[rng.integers(n, size=total)].astype(np.float16),
        }
    )
    embedding, _ = training.train([gas], settings_of_training(lag_frames=0, steps=60))
    states = assignment.assign(embedding, [gas], assignment.StateSettings(6, "kmeans", 1, 600, 1))
    verdicts = {gate["name"]: gate["passed"] for gate in states.gates}
    assert not verdicts["silhouette above null"]
    assert not verdicts["held-out silhouette above null"]
    assert not verdicts["raw label changes per frame"]


def test_from_trajectory_to_states_for_another_mobile_ion():
    trajectory, truth = synthetic.trajectory(n_ions=16, n_frames=120, seed=3)
    found = environments.extract(trajectory, ["Na"], 5.0)
    embedding, _ = training.train([found], settings_of_training(steps=150, held_out_fraction=0.0))
    states = assignment.assign(embedding, [found], assignment.StateSettings(6, "kmeans", 1, 600, 1))
    assert adjusted_rand_score(truth.ravel(), states.raw_labels.ravel()) >= MIN_ARI
    assert states.elements[0] == "Na"
    assert states.mobile == ["Na"]
    # Each cage has its own height in the box.
    peaks = states.z_edges[states.z_profile.argmax(1)]
    assert len({int(peak // 10) for peak in peaks}) == 6
