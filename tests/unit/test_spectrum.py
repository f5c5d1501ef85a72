"""Dictionaries on the embedding: what they find where the truth is known, and what they say of themselves."""

import dataclasses

import chains as examples
import numpy as np
import pytest
from getsei.errors import UserError
from getsei.kinetics import bootstrap, chains, edmd, inputs, koopman, reactive_flux, spectrum
from getsei.records import UNASSIGNED, Embedding

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # deeptime predates this NumPy
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

N_IONS, N_FRAMES, LAG = 60, 400, 5


@pytest.fixture(scope="module")
def labels():
    return examples.sample(examples.SIX_STATES, N_IONS, N_FRAMES, seed=5)


@pytest.fixture(scope="module")
def vectors(labels):
    """Environments scattered around the corners of a simplex; the last two axes hold noise alone."""
    rng = np.random.default_rng(0)
    corners = np.zeros((6, 8))
    corners[:, :6] = 4.0 * np.eye(6)
    noise = rng.normal(scale=0.4, size=(N_FRAMES, N_IONS, 8))
    return (corners[labels.T] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def spectra(labels, vectors):
    features = spectrum.principal_components(vectors, labels >= 0)
    resampling = bootstrap.draw(np.zeros(N_IONS, dtype=int), 100, seed=0)
    found = {}
    for name in spectrum.NAMES:
        functions = spectrum.build(name, labels, features, 6, seed=1)
        moments, means = spectrum.moments(functions, labels, features, np.array([[0, N_FRAMES]]), LAG)
        found[name] = spectrum.fit(
            functions, moments, means, 0.5, resampling, rank_cutoff=1e-6, ridge=0.0, seed=1
        )
    return found


def test_components_are_white_and_few(labels, vectors):
    features = spectrum.principal_components(vectors, labels >= 0)
    assert features.shape[:2] == (N_IONS, N_FRAMES)
    assert 5 <= features.shape[2] <= 8
    flat = features.reshape(-1, features.shape[2]).astype(float)
    np.testing.assert_allclose(flat.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(np.cov(flat.T), np.eye(features.shape[2]), atol=2e-3)
    gaps = labels >= 0
    gaps[:, :100] = False
    assert not np.allclose(spectrum.principal_components(vectors, gaps), features)


@pytest.mark.parametrize("name", spectrum.NAMES)
def test_every_dictionary_finds_the_slow_timescales(spectra, name):
    found = spectra[name]
    exact = chains.timescales(chains.eigenvalues(examples.SIX_STATES), 0.1)[:2]
    assert found.eigenvalues[0].real == pytest.approx(1.0, abs=1e-6)
    # Linear and radial functions carry the scatter of the environments, which shortens timescales.
    tolerance = 0.35 if name in ("features", "radial") else 0.2
    np.testing.assert_allclose(found.timescales[:2, 0], exact, rtol=tolerance)
    assert (found.timescales[:2, 1] <= found.timescales[:2, 0]).all()
    assert 0.9 * found.score < found.held_out < found.score + 3 * found.error
    assert found.rank <= found.n_functions
    assert np.isfinite(found.condition)


def test_indicator_dictionary_is_the_count_matrix(spectra, labels):
    model = koopman.fit(examples.states_of(labels, 6), examples.SETTINGS)
    np.testing.assert_allclose(spectra["indicator"].operator, model.operator, rtol=0, atol=1e-12)
    np.testing.assert_allclose(spectra["indicator"].eigenvalues, model.eigenvalues, atol=1e-10)


def test_soft_memberships_give_a_chain(spectra):
    chain, negative = edmd.chain_of(spectra["soft"].operator)
    assert negative < 0.01
    np.testing.assert_allclose(chain, np.linalg.matrix_power(examples.SIX_STATES, LAG), atol=0.06)


def test_modes_take_their_sign_changes_from_the_states(spectra):
    slow = spectra["features"].modes[:, 1].real
    exact = np.linalg.eig(examples.SIX_STATES)
    second = exact[1][:, np.argsort(-np.abs(exact[0]))[1]].real
    assert abs(np.corrcoef(slow, second)[0, 1]) > 0.95


def test_noise_has_spurious_modes_or_none_and_says_which(labels, vectors):
    rng = np.random.default_rng(3)
    noise = rng.normal(size=vectors.shape).astype(np.float32)
    features = spectrum.principal_components(noise, labels >= 0)
    functions = spectrum.build("features", labels, features, 6, seed=1)
    moments, means = spectrum.moments(functions, labels, features, np.array([[0, N_FRAMES]]), LAG)
    one = bootstrap.draw(np.zeros(N_IONS, dtype=int), 50, seed=0)
    found = spectrum.fit(functions, moments, means, 0.5, one, rank_cutoff=1e-6, ridge=0.0, seed=1)
    assert found.score < 1.01
    assert found.timescales[0, 0] < 0.2
    row = found.row()
    assert row["dictionary"] == "features"
    assert row["spurious_modes"] == [
        mode + 1 for mode in range(len(found.excess)) if abs(found.excess[mode]) > 0.05
    ]


def test_ridge_shrinks_and_cutoff_leaves_out(labels, vectors):
    features = spectrum.principal_components(vectors, labels >= 0)
    functions = spectrum.build("radial", labels, features, 6, seed=1)
    moments, means = spectrum.moments(functions, labels, features, np.array([[0, N_FRAMES]]), LAG)
    one = bootstrap.draw(np.zeros(N_IONS, dtype=int), 50, seed=0)
    plain, cut, ridge = (
        spectrum.fit(functions, moments, means, 0.5, one, rank_cutoff=a, ridge=b, seed=1)
        for a, b in ((1e-9, 0.0), (1e-2, 0.0), (1e-9, 0.1))
    )
    assert cut.rank < plain.rank
    assert cut.condition < 100 < plain.condition
    assert ridge.timescales[0, 0] < plain.timescales[0, 0]


def context(vectors):
    return inputs.Context(vectors=vectors)


def test_run_compares_dictionaries_and_keeps_the_modes_asked_for(labels, vectors):
    states = examples.states_of(labels, 6)
    model = koopman.fit(states, examples.SETTINGS | {"dictionary": "features"}, context(vectors))
    assert [row["dictionary"] for row in model.dictionaries] == list(spectrum.NAMES)
    assert model.mode_values.shape == (6, len(model.mode_eigenvalues))
    assert not np.array_equal(model.mode_eigenvalues, model.eigenvalues)
    plain = koopman.fit(states, examples.SETTINGS, context(vectors))
    np.testing.assert_array_equal(plain.operator, model.operator)
    np.testing.assert_array_equal(plain.mode_eigenvalues, plain.eigenvalues)
    gram = np.diag(plain.counts.sum(axis=(0, 2)) / plain.counts.sum())
    norms = np.einsum("ik,ij,jk->k", plain.right_eigenvectors.conj(), gram, plain.right_eigenvectors)
    np.testing.assert_allclose(norms.real, 1.0, atol=1e-10)


def test_soft_chain_goes_through_to_the_flux(labels, vectors):
    states = examples.states_of(labels, 6)
    model = koopman.fit(states, examples.SETTINGS | {"dictionary": "soft"}, context(vectors))
    assert model.soft_moments.shape == (2, N_IONS, 6, 6)
    np.testing.assert_allclose(model.operator.sum(axis=1), 1.0)
    assert ((model.operator_low <= model.operator) & (model.operator <= model.operator_high)).mean() > 0.9
    soft = reactive_flux.analyse(states, model, examples.ENDPOINTS)
    hard = reactive_flux.analyse(states, koopman.fit(states, examples.SETTINGS), examples.ENDPOINTS)
    value, low, high = (soft.estimates["total_flux"][key] for key in ("value", "low", "high"))
    assert low <= value <= high
    assert value == pytest.approx(hard.estimates["total_flux"]["value"], rel=0.2)


def test_soft_needs_an_embedding_and_no_detailed_balance(labels):
    states = examples.states_of(labels, 6)
    with pytest.raises(UserError, match=r"kinetics\.dictionary: soft needs the embedding"):
        koopman.fit(states, examples.SETTINGS | {"dictionary": "soft"})
    with pytest.raises(UserError, match=r"kinetics\.reversible"):
        koopman.fit(states, examples.SETTINGS | {"dictionary": "soft", "reversible": True})
    with pytest.raises(UserError, match="not one of indicator, soft"):
        koopman.fit(states, examples.SETTINGS | {"dictionary": "fourier"})


def test_records_of_other_runs_are_refused(labels, vectors):
    states = examples.states_of(labels, 6)
    fields = {item.name: np.zeros(0) for item in dataclasses.fields(Embedding)}
    embedding = Embedding(**(fields | {"vectors": vectors[:, :-1]}))
    with pytest.raises(UserError, match="not of one run"):
        inputs.gather(states, embedding, [])
    whole = inputs.gather(states, dataclasses.replace(embedding, vectors=vectors), [])
    assert whole.vectors.shape == vectors.shape


def test_pairs_cross_no_gap(labels, vectors):
    holes = labels.astype(int)
    holes[:, 50::100] = UNASSIGNED
    features = spectrum.principal_components(vectors, holes >= 0)
    functions = spectrum.build("indicator", holes, features, 6, seed=1)
    moments, _ = spectrum.moments(functions, holes, features, np.array([[0, 200], [200, 400]]), LAG)
    assert moments.pairs[0] == 400 - 2 * LAG - 4 * (LAG + 1)
