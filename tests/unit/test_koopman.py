"""Counting, chains, the fitted model and its table."""

import dataclasses

import chains as examples
import numpy as np
import pytest
import scipy.linalg
import scipy.special
from getsei import records
from getsei.errors import UserError
from getsei.kinetics import chains, counting, dictionaries, edmd, koopman, tables

WHOLE = [[0, 400]]


@pytest.fixture(scope="module")
def labels():
    return examples.sample(examples.SIX_STATES, 60, 400, seed=5)


@pytest.fixture(scope="module")
def model(labels):
    return koopman.fit(examples.states_of(labels, 6), examples.SETTINGS)


def brute_force(labels, segments, lag, n):
    """Count pairs with plain loops."""
    counts = np.zeros((len(labels), n, n), dtype=int)
    for ion, row in enumerate(labels):
        for start, stop in segments:
            for frame in range(start, stop - lag):
                window = row[frame : frame + lag + 1]
                if (window != records.UNASSIGNED).all():
                    counts[ion, window[0], window[-1]] += 1
    return counts


@pytest.mark.parametrize("lag", [1, 3, 7])
@pytest.mark.parametrize("n_blocks", [1, 3])
def test_pairs_cross_no_segment_and_no_gap(lag, n_blocks):
    rng = np.random.default_rng(lag)
    labels = rng.integers(0, 4, (5, 60)).astype(np.int8)
    labels[rng.random(labels.shape) < 0.1] = records.UNASSIGNED
    segments = [[0, 5], [5, 30], [33, 60]]
    found = counting.pair_counts(labels, np.array(segments), lag, 4, n_blocks)
    np.testing.assert_array_equal(found.sum(axis=1), brute_force(labels, segments, lag, 4))


def test_pieces_do_not_change_the_counts(labels, monkeypatch):
    whole = counting.pair_counts(labels, WHOLE, 5, 6)
    monkeypatch.setattr(counting, "CHUNK", 900)
    np.testing.assert_array_equal(counting.pair_counts(labels, WHOLE, 5, 6), whole)


def test_a_state_that_is_hardly_ever_left_does_not_cost_the_others_their_rates():
    labels = examples.sample(np.array([[0.95, 0.05], [0.05, 0.95]]), 40, 400, seed=3)
    labels[:8] = 2  # these ions stay, but for one that leaves and one that returns
    labels[0, 200:] = 1
    labels[9, 380:] = 2
    found = koopman.fit(examples.states_of(labels, 3), examples.SETTINGS)
    assert list(found.active) == [0, 1, 2]
    assert found.exits[2] == 1
    assert found.supported == [True, True, False]
    assert np.isfinite(found.escape_rates[:2]).all()
    value, low, high = found.escape_rates[:2].T
    assert (low < value).all()
    assert (value < high).all()
    assert np.isnan(found.operator_low).all(), "what needs all states connected has no interval"


def test_labels_outside_the_states_are_refused():
    with pytest.raises(UserError, match=r"-1\.\.2"):
        counting.pair_counts(np.array([[0, 3]]), [[0, 2]], 1, 3)


def test_indicator_edmd_is_the_row_normalised_count_matrix(labels):
    lag = 5
    counts = counting.pair_counts(labels, WHOLE, lag, 6).sum(axis=(0, 1))
    expected = counts / counts.sum(axis=1, keepdims=True)
    first, second = edmd.pair_indices(labels >= 0, WHOLE, lag)
    psi = dictionaries.indicator(labels.ravel(), 6)
    fitted = edmd.fit(edmd.moments(psi[first], psi[second]))
    np.testing.assert_allclose(fitted.matrix, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(edmd.fit(edmd.moments_of_counts(counts)).matrix, expected, rtol=0, atol=1e-12)
    assert fitted.rank == 6


def test_empty_functions_and_ridge_do_not_break_edmd(labels):
    psi = dictionaries.indicator(labels.ravel(), 8)  # two states that nobody visits
    data = edmd.moments(psi[:-1], psi[1:])
    plain, ridge = edmd.fit(data), edmd.fit(data, ridge=1e-6)
    assert plain.rank == 6
    assert np.isfinite(plain.matrix).all()
    np.testing.assert_allclose(ridge.matrix[:6, :6], plain.matrix[:6, :6], atol=1e-4)
    assert np.abs(edmd.fit(data, ridge=1.0).matrix).max() < np.abs(plain.matrix).max()


def test_reversible_estimate_obeys_detailed_balance_and_is_likelier_than_symmetrised_counts(labels):
    counts = counting.pair_counts(labels, WHOLE, 3, 6).sum(axis=(0, 1))
    operator = chains.transition_matrix(counts, reversible=True)
    weights = chains.stationary(operator)
    exchange = weights[:, None] * operator
    np.testing.assert_allclose(exchange, exchange.T, atol=1e-10)
    plain = chains.transition_matrix(counts)
    likelihood = [scipy.special.xlogy(counts, each).sum() for each in (operator, plain)]
    assert likelihood[0] <= likelihood[1]
    symmetrised = (counts + counts.T) / (counts + counts.T).sum(axis=1, keepdims=True)
    assert likelihood[0] >= scipy.special.xlogy(counts, symmetrised).sum()
    stack = chains.transition_matrix(np.stack([counts, counts * 2]), reversible=True)
    np.testing.assert_allclose(stack[1], operator, atol=1e-7)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # deeptime predates this NumPy
def test_reversible_estimate_against_deeptime(labels):
    msm = pytest.importorskip("deeptime.markov.msm")
    counts = counting.pair_counts(labels, WHOLE, 3, 6).sum(axis=(0, 1)).astype(float)
    theirs = msm.MaximumLikelihoodMSM(reversible=True, maxerr=1e-12).fit_fetch(counts).transition_matrix
    np.testing.assert_allclose(chains.transition_matrix(counts, reversible=True), theirs, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_stationary_distribution_of_stiff_chains(seed):
    rng = np.random.default_rng(seed)
    rates = 10.0 ** rng.uniform(-9, -1, (6, 6))
    np.fill_diagonal(rates, 0.0)
    operator = rates + np.diag(1.0 - rates.sum(axis=1))
    weights = chains.stationary(operator)
    into, out = weights @ rates, weights * rates.sum(axis=1)
    np.testing.assert_allclose(into, out, rtol=1e-12)


def test_generator_gives_back_the_operator():
    rates = np.array([[-0.3, 0.2, 0.1], [0.05, -0.1, 0.05], [0.2, 0.2, -0.4]])
    operators = np.stack([scipy.linalg.expm(rates * lag) for lag in (0.5, 2.0)])
    for operator, lag in zip(operators, (0.5, 2.0), strict=True):
        found, valid = chains.generator(operator, lag)
        assert valid
        np.testing.assert_allclose(found, rates, atol=1e-10)
    np.testing.assert_allclose(
        chains.escape_rates(operators[0], 0.5, from_generator=True), [0.3, 0.1, 0.4], atol=1e-10
    )


def test_operators_without_generator_are_told():
    flip = np.array([[0.1, 0.9], [0.9, 0.1]])  # eigenvalue -0.8
    mixed = np.full((2, 2), 0.5)  # eigenvalue 0
    _, valid = chains.generator(np.stack([flip, mixed]), 1.0)
    assert not valid.any()
    np.testing.assert_allclose(chains.escape_rates(flip, 1.0, from_generator=False), 0.9)


def test_timescales_of_zero_and_of_one():
    found = chains.timescales(np.array([1.0, 1.0, np.exp(-0.5), 0.0]), 2.0)
    assert np.isinf(found[0])
    assert found[1] == pytest.approx(4.0)
    assert found[2] < 1e-300 or found[2] == 0.0


@pytest.mark.parametrize(
    ("lag_ps", "message"),
    [
        (0.25, r"kinetics\.lag_ps: 0\.25 ps is not a multiple .* use 0\.2 or 0\.3 ps"),
        (0.05, r"use 0\.1 or 0\.2 ps"),
        (40.0, "not shorter than the longest segment .*400 frames"),
    ],
)
def test_lags_that_do_not_fit(labels, lag_ps, message):
    with pytest.raises(UserError, match=message):
        koopman.fit(examples.states_of(labels, 6), examples.SETTINGS | {"lag_ps": lag_ps})


def test_scan_lags_that_do_not_fit(labels):
    states = examples.states_of(labels, 6)
    with pytest.raises(UserError, match=r"scan_lags_ps: 0\.15 ps"):
        koopman.fit(states, examples.SETTINGS | {"scan_lags_ps": [0.15]})
    short = koopman.fit(states, examples.SETTINGS | {"scan_lags_ps": [0.5, 1000.0]})
    np.testing.assert_allclose(short.scan_lags, [0.5])


def test_model_recovers_the_chain(model):
    truth = np.linalg.matrix_power(examples.SIX_STATES, 5)
    inside = (model.operator_low <= truth) & (truth <= model.operator_high)
    assert inside.mean() > 0.8
    exact = -np.diag(scipy.linalg.logm(examples.SIX_STATES)) / 0.1 * 1000.0
    np.testing.assert_allclose(model.escape_rates[:, 0], exact, rtol=0.15)
    np.testing.assert_allclose(model.residence_times[:, 0], 1000.0 / model.escape_rates[:, 0])
    assert (model.residence_times[:, 1] <= model.residence_times[:, 0]).all()
    assert all(model.supported)
    np.testing.assert_allclose(model.stationary, examples.stationary(examples.SIX_STATES), atol=0.05)
    np.testing.assert_allclose(model.stationary @ model.operator, model.stationary, atol=1e-12)
    np.testing.assert_allclose(
        model.left_eigenvectors.T @ model.operator,
        model.eigenvalues[:, None] * model.left_eigenvectors.T,
        atol=1e-10,
    )
    np.testing.assert_allclose(model.left_eigenvectors[:, 0], model.stationary, atol=1e-10)
    failed = [check["name"] for check in model.checks if not check["passed"]]
    assert not set(failed) & {
        "EDMD against row-normalised counts",
        "Chapman-Kolmogorov agreement",
        "excess ResDMD residual",
        "resamples that keep all states connected",
    }


def test_same_seed_same_model_and_it_survives_the_disk(labels, model, tmp_path):
    again = koopman.fit(examples.states_of(labels, 6), examples.SETTINGS)
    model.save(tmp_path / "koopman.h5")
    loaded = records.KoopmanModel.load(tmp_path / "koopman.h5")
    for item in dataclasses.fields(model):
        value, repeated, read = (getattr(each, item.name) for each in (model, again, loaded))
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, repeated)
            np.testing.assert_array_equal(value, read)


def test_state_that_is_never_left_is_dropped_and_named():
    labels = examples.sample(examples.FIVE_STATES, 40, 300, seed=2)
    labels[:4, 150:] = 5  # four ions end in a trap
    model = koopman.fit(examples.states_of(labels, 7), examples.SETTINGS)
    assert model.active.tolist() == [0, 1, 2, 3, 4]
    assert [(state["name"], state["reason"]) for state in model.dropped] == [
        ("state F", "entered but never left"),
        ("state G", "no environments"),
    ]
    assert model.dropped[0]["population"] == pytest.approx(4 * 150 / labels.size)
    np.testing.assert_allclose(model.operator.sum(axis=1), 1.0)
    assert np.isfinite(model.timescales).all()
    rows = tables.koopman_rows(model)
    assert {row["quantity"] for row in rows} >= {"escape rate", "population of a dropped state"}


@pytest.mark.parametrize("reversible", [False, True])
def test_one_state_one_ion_and_two_states(reversible):
    settings = examples.SETTINGS | {"reversible": reversible}
    one = koopman.fit(examples.states_of(np.zeros((4, 50), dtype=np.int8), 1), settings)
    assert one.operator.tolist() == [[1.0]]
    assert one.timescales.shape == (0, 3)
    assert one.supported == [False]
    two = koopman.fit(
        examples.states_of(examples.sample(np.array([[0.9, 0.1], [0.2, 0.8]]), 1, 400, 0), 2), settings
    )
    assert np.isnan(two.escape_rates[:, 1:]).all()  # one ion: no spread to resample
    assert two.supported == [False, False]
    for model in (one, two):
        assert tables.koopman_rows(model)


def test_one_transition_supports_no_rate():
    labels = np.zeros((6, 80), dtype=np.int8)
    labels[0, 30:50] = 1
    model = koopman.fit(examples.states_of(labels, 2), examples.SETTINGS)
    assert model.supported == [False, False]
    rate = next(row for row in tables.koopman_rows(model) if row["quantity"] == "escape rate")
    assert np.isnan(rate["value"])
    assert not rate["supported"]


def test_nothing_assigned_is_an_error():
    with pytest.raises(UserError, match="0 pairs"):
        koopman.fit(examples.states_of(np.full((3, 50), -1, dtype=np.int8), 2), examples.SETTINGS)


def test_table_is_written_whole(model, tmp_path):
    tables.write(tmp_path / "koopman.csv", tables.KOOPMAN_COLUMNS, tables.koopman_rows(model))
    lines = (tmp_path / "koopman.csv").read_text().splitlines()
    assert lines[0].startswith("quantity,state,value,low,high,unit,n,supported,note,lag_ps")
    assert not any("nan" in line.lower().split(",")[2:5] for line in lines)
    assert all(line.endswith(",0.5,0.1,0.1") for line in lines[1:])
    assert [path.name for path in tmp_path.iterdir()] == ["koopman.csv"]
