"""Mobility, jumps, diffusion and correlations against known walks."""

import csv
import dataclasses

import numpy as np
import pytest
import records_factory as factory
from getsei import displacements, statistics, transport
from getsei.errors import UserError


@pytest.fixture(scope="module")
def system():
    return factory.system()


def measure(system, lag_ps=1.0, fit_ps=None, **changed):
    parts = {**system, **changed}
    return transport.measure(
        parts["states"],
        parts["koopman"],
        [parts["trajectory"]],
        [parts["environments"]],
        parts["interphase"],
        lag_ps,
        200,
        1,
        fit_ps,
    )


@pytest.fixture(scope="module")
def measured(system):
    return measure(system)


def test_visits_are_runs_inside_segments():
    labels = np.array([[0, 0, 1, 1, -1, 1], [2, 2, 2, 2, 2, 2]])
    visits = displacements.find_visits(labels, np.array([[0, 3], [3, 6]]))
    runs = list(zip(visits.ion, visits.start, visits.stop, visits.state, strict=True))
    assert runs == [(0, 0, 2, 0), (0, 2, 3, 1), (0, 3, 4, 1), (0, 5, 6, 1), (1, 0, 3, 2), (1, 3, 6, 2)]


def test_jumps_join_the_centres_of_successive_visits():
    x = np.array([0.1, -0.1, 3.0, 5.0, 5.0, 9.0])
    positions = np.zeros((6, 1, 3))
    positions[:, 0, 0] = x
    labels = np.array([[0, 0, 1, 1, -1, 0]])
    sums = transport.jump_sums(positions, displacements.find_visits(labels, np.array([[0, 6]])), 2)
    np.testing.assert_allclose(sums[0], [[16.0, 0.0]])  # 0 to 4; the last visit follows no visit directly
    np.testing.assert_array_equal(sums[1], [[1.0, 0.0]])


def test_windows_never_cross_a_segment():
    positions = np.zeros((10, 1, 3))
    positions[5:] = 100.0
    starts, squares = displacements.squared_displacements(positions, np.array([[0, 5], [5, 10]]), 2)
    assert squares.max() == 0.0
    assert starts.tolist() == [0, 1, 2, 5, 6, 7]


def brownian(diffusivity, n_ions=200, n_frames=300, dt=0.1, seed=5):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(scale=np.sqrt(2 * diffusivity * dt), size=(n_frames, n_ions, 3)), 0)


def test_mobility_of_two_kinds_of_walker():
    """Ions that stay in their state move at that state's rate; the slope equals it without rattling."""
    fast, slow = brownian(0.5, seed=1, n_ions=80), brownian(0.05, seed=2, n_ions=80)
    positions = np.concatenate([fast, slow], 1)
    labels = np.repeat([0, 1], 80)[:, None] * np.ones((1, 300), dtype=int)
    starts, squares = displacements.squared_displacements(positions, np.array([[0, 300]]), 10)
    sums = transport.sums_by_state(labels, starts, squares / 6.0, 2)
    weights = statistics.resampling_weights(160, 200, 0)
    for state, true in enumerate((0.5, 0.05)):
        found = transport.state_ratio(sums, weights, state, "Å²/ps", 80, "visits")
        assert found.low < true < found.high
        assert found.n == 80


def test_common_drift_changes_nothing(system, measured):
    drifting = factory.system(drift_A=30.0)
    moved = measure(drifting)
    np.testing.assert_allclose(moved.mobility, measured.mobility, rtol=1e-3)
    np.testing.assert_allclose(moved.msd, measured.msd, rtol=1e-3)


def test_mobility_falls_along_the_made_up_chain(measured):
    assert (np.diff(measured.mobility[:, 0]) < 0).all()
    assert (measured.mobility[:, 1] < measured.mobility[:, 0]).all()
    assert all(measured.supported)


def test_score_is_escape_rate_times_squared_jump_over_six(measured):
    for s in range(len(measured.names)):
        jump = measured.estimates[f"squared_jump/{s}"]["value"]
        expected = measured.escape_rates[s, 0] / 1000 * jump / 6
        assert measured.mobility_score[s, 0] == pytest.approx(expected)


def test_regions_are_those_at_the_start(system, measured):
    assert measured.region_names == ["metal", "electrolyte"]
    assert (np.diff(measured.ion_region) >= 0).all()
    assert set(measured.ion_region) == {0, 1}


def test_correlations_carry_sign_interval_and_n(measured):
    plain = measured.correlations["all/density"]
    assert plain["low"] > 0.5
    assert plain["n"] == 48
    assert plain["p_value"] < 0.01
    assert measured.correlations["all/anion_coordination"]["high"] < -0.5


def test_few_visits_are_not_reported(system):
    states = system["states"]
    labels = np.where(states.labels == 5, 4, states.labels)
    labels[0, 10:14] = 5
    rare = measure(system, states=dataclasses.replace(states, labels=labels))
    assert not rare.supported[5]
    assert np.isnan(rare.mobility[5]).all()
    assert rare.estimates["mobility/5"]["value"] is None
    assert rare.supported[4]


def test_dropped_states_have_no_rates(system):
    whole = system["koopman"]
    keep = slice(0, 5)
    partial = dataclasses.replace(
        whole,
        active=np.arange(5),
        escape_rates=whole.escape_rates[keep],
        residence_times=whole.residence_times[keep],
        exits=whole.exits[keep],
        supported=whole.supported[keep],
    )
    found = measure(system, koopman=partial)
    assert np.isnan(found.escape_rates[5]).all()
    assert not found.estimates["mobility_score/5"]["supported"]
    assert found.estimates["mobility/5"]["supported"]


def test_foreign_trajectory_is_refused(system):
    with pytest.raises(UserError, match="not of one run"):
        measure(system, trajectory=factory.system(seed=9)["trajectory"])


def test_lag_longer_than_the_trajectory_is_refused(system):
    with pytest.raises(UserError, match="mobility_lag_ps"):
        measure(system, lag_ps=500.0)


def test_the_fit_of_the_diffusion_coefficient_keeps_to_the_chosen_range(system, measured):
    times = measured.msd_lags
    chosen = [float(times[3]), float(times[-4])]
    found = measure(system, fit_ps=chosen)
    assert f"from {chosen[0]:.3g} to {chosen[1]:.3g} ps" in found.definitions["diffusion"]
    inside = np.linspace(*chosen, 50)
    slope = np.polyfit(inside, np.interp(inside, times, found.msd[:, 0]), 1)[0]
    assert found.estimates["apparent_diffusion/all"]["value"] == pytest.approx(slope / 6 * 1e-4, rel=0.1)
    assert found.estimates["apparent_diffusion/all"] != measured.estimates["apparent_diffusion/all"]
    with pytest.raises(UserError, match=r"diffusion_fit_ps = \[400, 500\] holds 0 of the lags"):
        measure(system, fit_ps=[400, 500])


def test_table_has_units_and_leaves_unsupported_cells_empty(system, measured, tmp_path):
    transport.write_table(measured, tmp_path / "mobility.csv")
    text = (tmp_path / "mobility.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 6
    assert float(rows[0]["mobility_A2_per_ps"]) == pytest.approx(measured.mobility[0, 0], rel=1e-5)
    assert "escape_rate_low_per_ns" in rows[0]


def test_measure_is_deterministic(system, measured, tmp_path):
    again = measure(system)
    assert again.estimates == measured.estimates
    measured.save(tmp_path / "transport.h5")
    assert type(measured).load(tmp_path / "transport.h5").correlations == measured.correlations


def test_partial_correlation_sees_through_a_confounder():
    rng = np.random.default_rng(3)
    cause = rng.normal(size=400)
    x, y = cause + 0.5 * rng.normal(size=400), cause + 0.5 * rng.normal(size=400)
    plain, p_plain = statistics.rank_correlation(x, y, None, 300, 0)
    partial, p_partial = statistics.rank_correlation(x, y, cause, 300, 0)
    assert plain.low > 0.6
    assert p_plain < 0.01
    assert partial.low < 0 < partial.high
    assert p_partial > 0.01


def test_constant_descriptor_gives_no_correlation():
    estimate, p = statistics.rank_correlation(np.arange(50.0), np.ones(50), None, 50, 0)
    assert not estimate.supported
    assert np.isnan(p)
    assert not np.isfinite(estimate.value)
