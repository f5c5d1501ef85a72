"""Transition path theory against closed forms and against deeptime."""

import chains as examples
import numpy as np
import pytest
from getsei.errors import UserError
from getsei.kinetics import chains, transition_paths

EXACT = 1e-10


def test_five_state_chain():
    flux = transition_paths.reactive_flux(examples.FIVE_STATES, [0], [4])
    assert flux.rate == pytest.approx(3.0 / 110.0, abs=EXACT)  # 0.0272727 per step
    assert flux.mfpt == pytest.approx(110.0 / 3.0, abs=1e-8)
    assert flux.total == pytest.approx(0.0108050847, abs=EXACT)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # deeptime predates this NumPy
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("seed", range(5))
def test_deeptime_finds_the_same(seed):
    reference = pytest.importorskip("deeptime.markov")
    operator = examples.random_chain(7, seed, sparsity=0.4)
    theirs = reference.reactive_flux(operator, [0, 1], [5, 6])
    ours = transition_paths.reactive_flux(operator, [0, 1], [5, 6])
    np.testing.assert_allclose(ours.forward, theirs.forward_committor, atol=EXACT)
    np.testing.assert_allclose(ours.backward, theirs.backward_committor, atol=EXACT)
    np.testing.assert_allclose(ours.gross, theirs.gross_flux, atol=EXACT)
    np.testing.assert_allclose(ours.net, theirs.net_flux, atol=EXACT)
    assert ours.rate == pytest.approx(theirs.rate, rel=EXACT)


def birth_death(up, down):
    """Return the chain that moves up and down by one with the given probabilities."""
    n = len(up) + 1
    operator = np.zeros((n, n))
    operator[np.arange(n - 1), np.arange(1, n)] = up
    operator[np.arange(1, n), np.arange(n - 1)] = down
    operator[np.arange(n), np.arange(n)] = 1.0 - operator.sum(axis=1)
    return operator


def test_birth_death_committor_and_flux():
    rng = np.random.default_rng(3)
    up, down = rng.uniform(0.05, 0.4, 9), rng.uniform(0.05, 0.4, 9)
    operator = birth_death(up, down)
    flux = transition_paths.reactive_flux(operator, [0], [9])
    weights = np.concatenate([[1.0], np.cumprod(up / down)])
    weights /= weights.sum()
    resistance = 1.0 / (weights[:-1] * up)  # of each bond; the committor is the potential along them
    expected = np.concatenate([[0.0], np.cumsum(resistance)]) / resistance.sum()
    np.testing.assert_allclose(flux.stationary, weights, rtol=EXACT)
    np.testing.assert_allclose(flux.forward, expected, atol=EXACT)
    np.testing.assert_allclose(flux.backward, 1.0 - expected, atol=EXACT)
    assert flux.total == pytest.approx(1.0 / resistance.sum(), rel=EXACT)
    np.testing.assert_allclose(np.diagonal(flux.net, 1), flux.total, rtol=EXACT)


def test_three_states_mean_first_passage_in_closed_form():
    # From 0 only to 1, from 1 to either side, from 2 only to 1: the passage 0 to 2 takes (1 + b/c)/a + 1/c.
    a, b, c, d = 0.2, 0.3, 0.1, 0.4
    operator = np.array([[1 - a, a, 0], [b, 1 - b - c, c], [0, d, 1 - d]])
    flux = transition_paths.reactive_flux(operator, [0], [2])
    assert flux.forward[1] == pytest.approx(c / (b + c), abs=EXACT)
    assert flux.mfpt == pytest.approx(1.0 / flux.rate, rel=EXACT)
    passage = (1 + b / c) / a + 1 / c
    assert flux.mfpt == pytest.approx(passage, rel=EXACT)


def test_rotating_ring_is_driven_and_carries_more_forward():
    n, forward, back = 6, 0.3, 0.1
    operator = np.eye(n) * (1 - forward - back)
    operator += forward * np.roll(np.eye(n), 1, axis=1) + back * np.roll(np.eye(n), -1, axis=1)
    flux = transition_paths.reactive_flux(operator, [0], [3])
    assert not np.allclose(flux.backward, 1.0 - flux.forward)  # no detailed balance
    ratio = back / forward  # gambler's ruin on each arm
    climb = (1 - ratio ** np.arange(4)) / (1 - ratio**3)
    np.testing.assert_allclose(flux.forward[:4], climb, atol=EXACT)
    values = chains.eigenvalues(operator)
    phases = np.exp(2j * np.pi * np.arange(n) / n)
    expected = 1 - forward - back + forward * phases + back / phases
    for value in values:
        assert np.abs(expected - value).min() < EXACT
    assert np.abs(values.imag).max() > 0.1


@pytest.mark.parametrize("seed", range(20))
def test_conservation_of_gross_and_net_flux(seed):
    operator = examples.random_chain(8, seed, sparsity=0.5)
    flux = transition_paths.reactive_flux(operator, [0], [6, 7])
    for each in (flux.gross, flux.net):
        assert transition_paths.imbalance(each, [0], [6, 7]) < transition_paths.CONSERVATION_TOLERANCE


def test_a_stack_gives_what_each_chain_gives():
    operators = np.stack([examples.random_chain(5, seed) for seed in range(6)])
    stack = transition_paths.reactive_flux(operators, [0], [4])
    for index, operator in enumerate(operators):
        one = transition_paths.reactive_flux(operator, [0], [4])
        np.testing.assert_allclose(stack.net[index], one.net, atol=1e-14)
        np.testing.assert_allclose(stack.mfpt[index], one.mfpt, rtol=1e-12)


def test_two_states():
    flux = transition_paths.reactive_flux(np.array([[0.9, 0.1], [0.3, 0.7]]), [0], [1])
    assert flux.total == pytest.approx(0.75 * 0.1, rel=EXACT)
    assert flux.mfpt == pytest.approx(10.0, rel=EXACT)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ([0], [0, 1], "share states"),
        ([], [1], "at least one state"),
        ([0], [9], "no state 9"),
    ],
)
def test_bad_ends_are_named(source, target, message):
    with pytest.raises(UserError, match=message):
        transition_paths.reactive_flux(examples.FIVE_STATES, source, target)


def test_absorbing_state_is_an_error_not_a_zero():
    operator = examples.FIVE_STATES.copy()
    operator[4] = [0, 0, 0, 0, 1]
    with pytest.raises(UserError, match="largest connected set"):
        transition_paths.reactive_flux(operator, [0], [4])
