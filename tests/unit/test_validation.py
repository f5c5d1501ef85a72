"""Tests of the model see what they are there to see, and nothing where there is nothing."""

import chains as examples
import numpy as np
import pytest
from getsei.errors import UserError
from getsei.kinetics import bootstrap, counting, dictionaries, edmd, koopman, stationarity, validation

N_IONS, N_FRAMES = 80, 500


@pytest.fixture(scope="module")
def labels():
    return examples.sample(examples.SIX_STATES, N_IONS, N_FRAMES, seed=9)


def counts_at(labels, lag, n=6):
    return counting.pair_counts(labels, [[0, labels.shape[1]]], lag, n)


@pytest.fixture(scope="module")
def resampling():
    return bootstrap.draw(np.zeros(N_IONS, dtype=int), 200, seed=0)


def test_chapman_kolmogorov_holds_for_a_chain(labels, resampling):
    steps = [counts_at(labels, 3 * step) for step in range(1, 6)]
    found = validation.chapman_kolmogorov(steps, resampling, reversible=False)
    np.testing.assert_allclose(found.predicted[0], found.observed[0, :, 0], atol=1e-12)
    assert found.agreement > 0.9
    assert (found.observed[..., 1] <= found.observed[..., 2]).all()


def test_chapman_kolmogorov_fails_for_states_with_memory(resampling):
    slow = np.array(
        [[0.995, 0.005, 0, 0], [0.005, 0.695, 0.3, 0], [0, 0.3, 0.695, 0.005], [0, 0, 0.005, 0.995]]
    )
    labels = np.array([0, 0, 1, 1], dtype=np.int8)[examples.sample(slow, N_IONS, N_FRAMES, seed=1)]
    flicker = np.random.default_rng(0).random(labels.shape) < 0.05
    labels = np.where(flicker, 1 - labels, labels).astype(np.int8)
    steps = [counts_at(labels, step, 2) for step in range(1, 6)]
    found = validation.chapman_kolmogorov(steps, resampling, reversible=False)
    assert found.agreement < 0.5


def test_scan_is_flat_for_a_chain_and_rises_with_flicker(labels, resampling):
    lags = [1, 2, 5, 10]
    scan = validation.scan_timescales(
        [counts_at(labels, lag) for lag in lags], np.array(lags) * 0.1, resampling, reversible=False
    )
    assert validation.flat_from(scan) == 0
    rng = np.random.default_rng(2)
    flicker = np.where(rng.random(labels.shape) < 0.05, rng.integers(0, 6, labels.shape), labels)
    noisy = validation.scan_timescales(
        [counts_at(flicker.astype(np.int8), lag) for lag in lags],
        np.array(lags) * 0.1,
        resampling,
        reversible=False,
    )
    assert noisy[0, 0, 0] < 0.8 * noisy[-1, 0, 0]
    assert validation.flat_from(noisy) != 0


def test_vamp2_of_held_out_ions(labels):
    counts = counts_at(labels, 5)[:, 0]
    score, held_out, error = validation.cross_validated_vamp2(counts, seed=0)
    data = edmd.moments_of_counts(counts.sum(axis=0))
    whitened = np.diag(np.diagonal(data.gram) ** -0.5) @ data.cross @ np.diag(np.diagonal(data.later) ** -0.5)
    assert score == pytest.approx((whitened**2).sum(), rel=1e-10)  # VAMP-2 by its definition
    assert 0.9 * score < held_out < score + 3 * error
    shuffled = np.random.default_rng(0).permuted(labels)
    chance, _, _ = validation.cross_validated_vamp2(counts_at(shuffled, 5)[:, 0], seed=0)
    assert chance == pytest.approx(1.0, abs=0.02)
    assert np.isnan(validation.cross_validated_vamp2(counts[:3], seed=0)[1])


def test_halves_of_a_stationary_chain_agree_and_p_is_uniform():
    p = []
    for seed in range(40):
        labels = examples.sample(examples.FIVE_STATES, 40, 200, seed=seed)
        halves = counting.pair_counts(labels, [[0, 200]], 1, 5, n_blocks=2).sum(axis=0)
        p.append(stationarity.half_against_half(halves[0], halves[1], 1).p)
    assert np.mean(np.array(p) < 0.05) < 0.2
    assert 0.3 < np.mean(p) < 0.7


def test_changing_kinetics_are_seen():
    first = examples.sample(examples.FIVE_STATES, 40, 200, seed=1)
    changed = examples.FIVE_STATES.copy()
    changed[4] = [0, 0.1, 0.1, 0, 0.8]
    both = np.hstack([first, examples.sample(changed, 40, 200, seed=2)])
    model = koopman.fit(examples.states_of(both, 5), examples.SETTINGS)
    failed = {check["name"] for check in model.checks if not check["passed"]}
    assert "half against half, chi-square p" in failed
    assert "drift of populations between halves" in failed


def test_growth_is_seen_as_antisymmetric_counts():
    growing = np.array([[0.99, 0.01], [0.001, 0.999]])
    labels = examples.sample(np.array([[0.5, 0.5], [0.5, 0.5]]), 100, 2, seed=0) * 0
    labels = np.repeat(labels, 100, axis=1).astype(np.int8)
    rng = np.random.default_rng(0)
    for frame in range(1, labels.shape[1]):
        labels[:, frame] = rng.random(100) > growing[labels[:, frame - 1], 0]
    counts = counting.pair_counts(labels, [[0, 200]], 1, 2).sum(axis=(0, 1))
    assert stationarity.antisymmetry(counts, 1) > stationarity.ANTISYMMETRY_SIGMA
    stationary = examples.sample(growing, 100, 200, seed=1)
    counts = counting.pair_counts(stationary, [[0, 200]], 1, 2).sum(axis=(0, 1))
    assert stationarity.antisymmetry(counts, 1) < stationarity.ANTISYMMETRY_SIGMA


def test_soft_memberships_make_a_chain_and_other_functions_do_not():
    rng = np.random.default_rng(0)
    labels = examples.sample(examples.FIVE_STATES, 20, 400, seed=3)
    places = np.arange(5.0)[:, None]
    features = places[labels.ravel()] + rng.normal(scale=0.1, size=(labels.size, 1))
    first, second = edmd.pair_indices(labels >= 0, [[0, 400]], 1)
    soft = dictionaries.soft_membership(features, places, 0.25)
    np.testing.assert_allclose(soft.sum(axis=1), 1.0)
    operator, negative = edmd.chain_of(edmd.fit(edmd.moments(soft[first], soft[second])).matrix)
    assert negative < 0.01
    np.testing.assert_allclose(operator, examples.FIVE_STATES, atol=0.04)
    radial = dictionaries.radial(features, places, 0.5)
    with pytest.raises(UserError, match="partition of unity"):
        edmd.chain_of(edmd.fit(edmd.moments(radial[first], radial[second])).matrix)


def test_large_negative_mass_is_refused():
    with pytest.raises(UserError, match="negative mass"):
        edmd.chain_of(np.array([[1.2, -0.2], [0.5, 0.5]]))
