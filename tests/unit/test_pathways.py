"""Pathway decomposition ends, adds up, and says the same for every order of states."""

import chains as examples
import numpy as np
import pytest
from getsei.kinetics import pathways, transition_paths
from hypothesis import given, settings
from hypothesis import strategies as st

SOURCE, TARGET = [0], [3]


def diamond(upper=0.6, lower=0.4):
    net = np.zeros((4, 4))
    net[0, 1] = net[1, 3] = upper
    net[0, 2] = net[2, 3] = lower
    return net


def test_diamond():
    found = pathways.decompose(diamond(), SOURCE, TARGET)
    assert found.paths == ((0, 1, 3), (0, 2, 3))
    np.testing.assert_allclose(found.shares, [0.6, 0.4])
    assert found.circulation == 0.0


def test_ties_end_and_are_broken_the_same_way_every_time():
    found = pathways.decompose(diamond(0.5, 0.5), SOURCE, TARGET)
    assert found.paths == ((0, 1, 3), (0, 2, 3))
    np.testing.assert_allclose(found.shares, [0.5, 0.5])


def test_cycles_are_removed_and_reported():
    net = np.zeros((6, 6))
    net[0, 1] = net[1, 3] = 1.0
    net[1, 4] = net[4, 5] = net[5, 1] = 0.3
    found = pathways.decompose(net, SOURCE, TARGET)
    assert found.paths == ((0, 1, 3),)
    assert found.total == pytest.approx(1.0)
    assert found.circulation == pytest.approx(0.3)


def test_no_flux_has_no_paths():
    found = pathways.decompose(np.zeros((4, 4)), SOURCE, TARGET)
    assert found.paths == ()
    assert len(found.shares) == 0
    assert np.isnan(pathways.effective_number(found.shares))
    assert np.isnan(pathways.participation(found.shares))


def test_fraction_stops_early():
    assert pathways.decompose(diamond(), SOURCE, TARGET, 0.5).paths == ((0, 1, 3),)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 12), sparsity=st.floats(0.0, 0.9))
def test_whole_flux_is_always_split(seed, n, sparsity):
    flux = transition_paths.reactive_flux(examples.random_chain(n, seed, sparsity), [0], [n - 1])
    found = pathways.decompose(flux.net, [0], [n - 1])
    assert found.total == pytest.approx(float(flux.total), rel=1e-10)
    assert found.fluxes.sum() == pytest.approx(float(flux.total), rel=1e-9)
    assert (found.fluxes > 0).all()
    for path in found.paths:
        assert path[0] == 0
        assert path[-1] == n - 1
        assert len(set(path)) == len(path)
    assert len(found.paths) <= np.count_nonzero(flux.net)


def test_states_without_flux_do_no_harm():
    net = np.zeros((6, 6))
    net[:4, :4] = diamond()
    assert pathways.decompose(net, SOURCE, TARGET).paths == ((0, 1, 3), (0, 2, 3))


def test_several_ends():
    net = np.zeros((5, 5))
    net[0, 2], net[1, 2], net[2, 3], net[2, 4] = 0.7, 0.3, 0.8, 0.2
    found = pathways.decompose(net, [0, 1], [3, 4])
    assert found.paths[0] == (0, 2, 3)
    assert found.fluxes.sum() == pytest.approx(1.0)


def test_bottlenecks():
    net = np.zeros((4, 4))
    net[0, 1], net[1, 2], net[2, 3] = 1.0, 1.0, 1.0
    net[0, 2] = 0.5
    net[2, 3] = 1.5
    path = pathways.decompose(net, SOURCE, TARGET).paths[0]
    assert pathways.weakest_edge(net, path) == (0, 1)
    cuts = pathways.committor_cuts(net, np.array([0.0, 0.4, 0.6, 1.0]))
    assert [cut.capacity for cut in cuts] == pytest.approx([1.5, 1.5, 1.5])
    narrow = pathways.narrowest_cut(cuts)
    assert narrow.edges == ((2, 3),)
    assert pathways.effective_number(narrow.shares) == pytest.approx(1.0)


def test_minimum_cut_is_found_where_the_exchange_is_smallest():
    capacity = np.array(
        [[9.0, 4, 4, 0, 0], [4, 9, 0, 1, 0], [4, 0, 9, 1, 0], [0, 1, 1, 9, 8], [0, 0, 0, 8, 9]]
    )
    cut = pathways.minimum_cut(capacity, [0], [4])
    assert set(cut.edges) == {(1, 3), (2, 3)}
    assert cut.capacity == pytest.approx(2.0)


@pytest.mark.parametrize("seed", range(8))
def test_minimum_cut_equals_the_smallest_of_all_cuts(seed):
    rng = np.random.default_rng(seed)
    capacity = rng.random((6, 6)) * (rng.random((6, 6)) < 0.6)
    np.fill_diagonal(capacity, 0.0)
    smallest = np.inf
    for code in range(16):
        near = np.array([True, *[bool(code >> bit & 1) for bit in range(4)], False])
        smallest = min(smallest, capacity[near][:, ~near].sum())
    assert pathways.minimum_cut(capacity, [0], [5]).capacity == pytest.approx(smallest, abs=1e-9)


def test_diversity_of_equal_and_unequal_shares():
    assert pathways.effective_number(np.full(4, 0.25)) == pytest.approx(4.0)
    assert pathways.participation(np.full(4, 0.25)) == pytest.approx(4.0)
    assert pathways.effective_number(np.array([1.0, 0.0])) == pytest.approx(1.0)
    assert 1.0 < pathways.participation(np.array([0.9, 0.1])) < pathways.effective_number([0.9, 0.1]) < 2.0


def test_throughput_needs_no_decomposition():
    share = transition_paths.throughput(diamond(), np.float64(1.0), SOURCE)
    np.testing.assert_allclose(share, [1.0, 0.6, 0.4, 1.0])
