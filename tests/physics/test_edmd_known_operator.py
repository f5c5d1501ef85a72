"""Extended dynamic mode decomposition against operators known in closed form."""

import chains as examples
import numpy as np
import pytest
from getsei.kinetics import chains, counting, dictionaries, edmd


def test_linear_map_is_found_to_the_last_digits():
    # Williams et al. 2015, section 4.1: for x -> J x the eigenvalues of degree one are those of J.
    jacobian = np.array([[0.9, -0.1], [0.0, 0.8]])
    before = np.random.default_rng(0).normal(size=(200, 2))
    after = before @ jacobian.T
    data = edmd.moments(dictionaries.monomials(before), dictionaries.monomials(after))
    found = edmd.fit(data)
    np.testing.assert_allclose(found.eigenvalues, [1.0, 0.9, 0.8], atol=1e-10)
    assert found.residuals.max() < 1e-6  # deterministic: true eigenpairs leave nothing


def test_spurious_mode_has_a_residual():
    # x -> 4 x (1 - x) mixes: on polynomials only the constant is an eigenfunction.
    before = np.random.default_rng(0).random(4000)
    psi = [dictionaries.monomials(x[:, None], 4) for x in (before, 4 * before * (1 - before))]
    found = edmd.fit(edmd.moments(*psi))
    assert found.residuals[0] < 1e-5
    assert (found.residuals[1:] > 0.3).all()


def ornstein_uhlenbeck(n, steps, decay, seed):
    """Return n exact trajectories with correlation `decay` per step and unit variance."""
    rng = np.random.default_rng(seed)
    x = np.empty((n, steps))
    x[:, 0] = rng.normal(size=n)
    for step in range(1, steps):
        x[:, step] = decay * x[:, step - 1] + np.sqrt(1 - decay**2) * rng.normal(size=n)
    return x


@pytest.mark.parametrize("dictionary", ["monomials", "radial", "soft"])
def test_ornstein_uhlenbeck_eigenvalues(dictionary):
    decay = 0.8
    x = ornstein_uhlenbeck(200, 400, decay, seed=1)
    centres = np.linspace(-3, 3, 13)[:, None]
    build = {
        "monomials": lambda f: dictionaries.monomials(f, 3),
        "radial": lambda f: dictionaries.radial(f, centres, 0.6),
        "soft": lambda f: dictionaries.soft_membership(f, centres, 0.5),
    }[dictionary]
    first, second = edmd.pair_indices(np.ones(x.shape, dtype=bool), [[0, 400]], 1)
    psi = build(x.reshape(-1, 1))
    found = edmd.fit(edmd.moments(psi[first], psi[second]), rank_cutoff=1e-8)
    # Hermite polynomials are the eigenfunctions: eigenvalues are powers of the decay. Over a dozen seeds the
    # estimates scatter by 0.0022 and 0.0074 around them.
    error = np.abs(found.eigenvalues[:3].real - decay ** np.arange(3))
    assert (error < 3 * np.array([1e-6, 0.0022, 0.0074])).all()
    np.testing.assert_allclose(edmd.excess_residuals(found.eigenvalues, found.residuals)[:3], 0.0, atol=0.02)


def test_double_well_timescale_against_its_discretised_generator():
    # Overdamped motion in (x² - 1)² at kT = 0.5, hopping on a grid with detailed balance.
    grid = np.linspace(-1.8, 1.8, 40)
    energy = (grid**2 - 1) ** 2 / 0.5
    step = grid[1] - grid[0]
    rates = np.zeros((40, 40))
    for i, j in [*zip(range(39), range(1, 40), strict=True), *zip(range(1, 40), range(39), strict=True)]:
        rates[i, j] = 0.5 / step**2 * np.exp((energy[i] - energy[j]) / 2)
    np.fill_diagonal(rates, -rates.sum(axis=1))
    slowest = -1.0 / np.sort(np.linalg.eigvals(rates).real)[-2]
    lag = 0.02
    operator = chains.transition_matrix(np.maximum(_exponential(rates * lag), 0.0))
    labels = examples.sample(operator, 150, 3000, seed=2)
    counts = counting.pair_counts(labels, [[0, 3000]], 10, 40).sum(axis=(0, 1))
    found = chains.timescales(chains.eigenvalues(chains.transition_matrix(counts)), 10 * lag)
    assert found[0] == pytest.approx(slowest, rel=0.1)


def _exponential(matrix):
    values, vectors = np.linalg.eig(matrix)
    return (vectors @ np.diag(np.exp(values)) @ np.linalg.inv(vectors)).real


def test_known_chain_within_three_sigma():
    labels = examples.sample(examples.SIX_STATES, 200, 1000, seed=4)
    counts = counting.pair_counts(labels, [[0, 1000]], 1, 6).sum(axis=(0, 1))
    operator = chains.transition_matrix(counts)
    sigma = np.sqrt(examples.SIX_STATES * (1 - examples.SIX_STATES) / counts.sum(axis=1, keepdims=True))
    # At a lag of one frame successive pairs are independent given the state: binomial errors.
    seen = sigma > 0
    z = (operator - examples.SIX_STATES)[seen] / sigma[seen]
    assert np.abs(z).max() < 4.0
    assert (np.abs(z) < 3.0).mean() > 0.9
    np.testing.assert_array_equal(operator[~seen], 0.0)


def test_two_state_chain_exactly():
    p, q, lag = 0.03, 0.05, 0.2
    operator = np.array([[1 - p, p], [q, 1 - q]])
    assert chains.timescales(chains.eigenvalues(operator), lag)[0] == pytest.approx(-lag / np.log(1 - p - q))
    rates, valid = chains.generator(operator, lag)
    assert valid
    total = -np.log(1 - p - q) / lag
    np.testing.assert_allclose(-np.diagonal(rates), [total * p / (p + q), total * q / (p + q)], rtol=1e-10)
