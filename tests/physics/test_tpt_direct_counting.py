"""Transition path theory against passages counted in long trajectories, with no model between."""

import chains as examples
import numpy as np
import pytest
from getsei.kinetics import counting, transition_paths

N_IONS, N_FRAMES = 400, 2500


@pytest.fixture(scope="module", params=["five", "six"])
def chain(request):
    operator = {"five": examples.FIVE_STATES, "six": examples.SIX_STATES}[request.param]
    return operator, examples.sample(operator, N_IONS, N_FRAMES, seed=7)


@pytest.mark.parametrize("reverse", [False, True])
def test_flux_within_three_sigma_of_the_count(chain, reverse):
    operator, labels = chain
    n = len(operator)
    ends = ([n - 1], [0]) if reverse else ([0], [n - 1])
    flux = transition_paths.reactive_flux(operator, *ends)
    events, frames = counting.reactive_events(labels, [[0, N_FRAMES]], *ends, n)
    rates = events / frames
    error = rates.std(ddof=1) / np.sqrt(N_IONS)
    assert events.sum() > 1000
    assert abs(events.sum() / frames.sum() - flux.total) < 3.0 * error


def test_edge_flux_is_that_of_the_counted_passages(chain):
    operator, labels = chain
    n = len(operator)
    flux = transition_paths.reactive_flux(operator, [0], [n - 1])
    gross = np.zeros((N_IONS, n, n))
    for ion, row in enumerate(labels[:, :].astype(int)):
        ends = np.flatnonzero((row == 0) | (row == n - 1))
        starts, stops = ends[:-1], ends[1:]
        reactive = (row[starts] == 0) & (row[stops] == n - 1)
        for start, stop in zip(starts[reactive], stops[reactive], strict=True):
            piece = row[start : stop + 1]
            np.add.at(gross[ion], (piece[:-1], piece[1:]), 1.0)
    gross[:, np.arange(n), np.arange(n)] = 0.0
    gross /= N_FRAMES - 1
    mean, error = gross.mean(axis=0), gross.std(axis=0, ddof=1) / np.sqrt(N_IONS)
    seen = flux.gross > 0
    # Of some twenty edges, one may lie beyond three sigma by chance; none beyond four.
    assert (np.abs(mean - flux.gross)[seen] < 4.0 * error[seen]).all()
    np.testing.assert_array_equal(mean[~seen], 0.0)


def test_passages_by_hand():
    row = np.array([[2, 0, 1, 2, 2, 1, 0, 0, 2, 1, 2, -1, 0, 1, -1, 2]])
    events, frames = counting.reactive_events(row, [[0, 16]], [0], [2], 3)
    assert events.tolist() == [2]  # 0 1 2 and 0 2; the last 2 comes after a gap
    assert frames.tolist() == [14]
    events, _ = counting.reactive_events(row, [[0, 3], [3, 16]], [0], [2], 3)
    assert events.tolist() == [1]  # a border of segments cuts the first passage
