"""Diffusion coefficients against walks with known ones; the interval covers as often as it says."""

import importlib.util

import numpy as np
import pytest
from getsei import diffusion, displacements, statistics

FRAME_PS = 0.1


def brownian(diffusivity, n_ions=200, n_frames=300, seed=5):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(scale=np.sqrt(2 * diffusivity * FRAME_PS), size=(n_frames, n_ions, 3)), 0)


def estimate(positions, inside=None, draws=200, **options):
    segments = np.array([[0, len(positions)]])
    lags = displacements.fit_lags(segments, FRAME_PS, 1.0)
    everywhere = np.ones(positions.shape[:2], dtype=bool)
    chosen = everywhere if inside is None else inside
    replica = np.zeros(positions.shape[1], dtype=int)
    found = diffusion.windows(positions, segments, lags, chosen, replica, **options)
    weights = statistics.resampling_weights(positions.shape[1], draws, 0)
    return diffusion.estimate(lags, FRAME_PS, segments, found, weights)


def test_diffusion_of_brownian_ions_is_recovered():
    true = 0.4  # Å²/ps
    found = estimate(brownian(true))
    assert found["diffusion"].value == pytest.approx(true * 1e-4, rel=0.1)
    assert found["diffusion"].low < true * 1e-4 < found["diffusion"].high
    assert found["exponent"].value == pytest.approx(1.0, abs=0.1)
    assert found["apparent_diffusion"].value == pytest.approx(true * 1e-4, rel=0.15)


def test_interval_covers_the_truth_as_often_as_it_says():
    true, trials = 0.2, 60
    hits = 0
    for seed in range(trials):
        found = estimate(brownian(true, n_ions=40, n_frames=100, seed=seed), draws=120)["diffusion"]
        hits += found.low < true * 1e-4 < found.high
    assert 0.83 <= hits / trials <= 1.0  # 0.95 of 60 with 4 standard errors and the bias of a bootstrap of 40


def test_covariance_is_that_of_random_walks():
    segments, lags = np.array([[0, 40], [40, 60]]), np.array([2, 5, 11])
    walks = np.random.default_rng(0).normal(size=(60, 6000, 1)).cumsum(0)
    msd = [displacements.squared_displacements(walks, segments, lag)[1].mean(0) for lag in lags]
    np.testing.assert_allclose(2 * diffusion.covariance(lags, segments), np.cov(msd), rtol=0.12)


def test_generalised_least_squares_is_sharper_than_an_ordinary_fit():
    segments, t = np.array([[0, 100]]), np.arange(5, 50, 5)
    a = diffusion.slope_weights(t, segments)
    assert a @ t == pytest.approx(1.0)
    assert a.sum() == pytest.approx(0.0, abs=1e-6)
    ordinary = (t - t.mean()) / ((t - t.mean()) ** 2).sum()
    spread = diffusion.covariance(t, segments)
    assert a @ spread @ a < 0.7 * ordinary @ spread @ ordinary


def test_caged_ions_have_no_diffusion_coefficient():
    both = estimate(np.random.default_rng(0).normal(scale=0.3, size=(300, 50, 3)))
    assert both["apparent_diffusion"].supported
    assert abs(both["apparent_diffusion"].value) < 1e-7
    found = both["diffusion"]
    assert not found.supported
    assert "not diffusive" in found.note
    assert "upper bound" in found.note
    assert found.as_dict()["value"] is None


def test_a_window_belongs_to_the_phase_it_starts_in():
    positions = np.concatenate([brownian(0.5, 60, seed=1), brownian(0.05, 60, seed=2)], 1)
    inside = np.zeros(positions.shape[:2], dtype=bool)
    inside[:, 60:] = True
    found = estimate(positions, inside)["diffusion"]
    assert found.n == 60
    assert found.low < 0.05e-4 < found.high


def test_own_reference_removes_the_drift_of_a_slab_and_nothing_else():
    still, slab = brownian(0.1, 100, seed=3), brownian(0.1, 100, seed=3)
    slab += 0.05 * np.arange(len(slab))[:, None, None]
    found = [estimate(p, own_reference=True)["diffusion"] for p in (still, slab)]
    assert found[1].value == pytest.approx(found[0].value, rel=1e-9)
    assert found[0].value == pytest.approx(estimate(still)["diffusion"].value, rel=0.05)
    assert estimate(slab)["diffusion"].value > 2 * found[0].value


def test_too_few_ions_carry_no_number():
    found = estimate(brownian(0.4, n_ions=4))
    assert not found["diffusion"].supported
    assert "at least 5" in found["diffusion"].note


@pytest.mark.skipif(
    importlib.util.find_spec("kinisi") is None,
    reason="300 MB for one check; run: pip install kinisi==2.1.0 && pytest tests/unit/test_diffusion.py",
)
def test_agrees_with_kinisi():
    import scipp as sc
    from kinisi.diffusion import Diffusion

    positions = brownian(0.3, 80, 200, seed=7)
    lags = displacements.msd_lags(np.array([[0, len(positions)]]))
    squares = [displacements.squared_displacements(positions, np.array([[0, 200]]), lag)[1] for lag in lags]
    mean = np.array([s.mean() for s in squares])
    independent = 80 * (200 - lags) / lags
    data = sc.DataArray(
        sc.array(
            dims=["time interval"], values=mean, variances=2 / 3 * mean**2 / independent, unit="angstrom^2"
        ),
        coords={
            "time interval": sc.array(dims=["time interval"], values=lags * FRAME_PS, unit="ps"),
            "n_samples": sc.array(dims=["time interval"], values=independent),
        },
    )
    theirs = Diffusion(sc.DataGroup({"da": data, "dimensionality": sc.scalar(3)}))
    first = displacements.fit_lags(np.array([[0, 200]]), FRAME_PS, 1.0)[0] * FRAME_PS
    theirs._diffusion(start_dt=sc.scalar(first - 1e-6, unit="ps"), progress=False)
    values = np.asarray(theirs._diffusion_coefficient.values)
    ours = estimate(positions)["diffusion"]
    assert ours.low < values.mean() < ours.high
    assert ours.value == pytest.approx(values.mean(), rel=0.1)
