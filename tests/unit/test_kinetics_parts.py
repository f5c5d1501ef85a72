"""Parts of the kinetics: finite time, windows, lag, residence, displacement, regions, tables, network."""

import dataclasses
from xml.etree import ElementTree

import chains as examples
import numpy as np
import pytest
from getsei.composition import Course
from getsei.errors import UserError
from getsei.kinetics import (
    bootstrap,
    connected,
    finite_time,
    kinetics_tables,
    koopman,
    lag_choice,
    network,
    reactive_flux,
    regions,
    residence,
    tables,
    transition_paths,
    walk,
    window,
)
from getsei.records import Estimate, KoopmanModel

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # deeptime predates this NumPy
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def states():
    return examples.states_of(examples.sample(examples.SIX_STATES, 80, 400, seed=3), 6)


@pytest.fixture(scope="module")
def resampling():
    return bootstrap.draw(np.zeros(80, dtype=int), 200, seed=0)


@pytest.fixture(scope="module")
def moving():
    """Kinetics that change in the middle of the run."""
    changed = examples.SIX_STATES.copy()
    changed[2] = [0.1, 0.1, 0.4, 0.2, 0.1, 0.1]
    parts = [examples.sample(chain, 80, 300, seed=8) for chain in (examples.SIX_STATES, changed)]
    return examples.states_of(np.hstack(parts), 6)


# finite time


def test_finite_time_committor_tends_to_that_of_infinite_time():
    operator = examples.FIVE_STATES
    long = finite_time.committors(operator[None], np.array([5000]), [0], [4])[0]
    np.testing.assert_allclose(long, transition_paths.committor(operator, [0], [4]), atol=1e-10)
    short = finite_time.committors(operator[None], np.array([1]), [0], [4])[0]
    np.testing.assert_allclose(short[1:4], operator[1:4, 4])


def test_windows_of_one_chain_are_one_window():
    operator, start = examples.FIVE_STATES, np.full(5, 10.0)
    whole = finite_time.passages(operator[None], np.array([30]), start, [0], [4])
    parts = finite_time.passages(np.stack([operator] * 3), np.array([10, 5, 15]), start, [0], [4])
    assert parts.sum() == pytest.approx(whole.sum(), rel=1e-12)
    stack = finite_time.passages(
        np.stack([operator[None]] * 2), np.array([30]), np.stack([start, 2 * start]), [0], [4]
    )
    np.testing.assert_allclose(stack[:, 0], [whole[0], 2 * whole[0]])


def test_finite_time_flux_of_a_long_run_is_the_stationary_one():
    operator = examples.FIVE_STATES
    start = examples.stationary(operator)
    steps = np.array([2000, 2000])
    late = finite_time.passages(np.stack([operator] * 2), steps, start, [0], [4])[1] / 2000
    assert late == pytest.approx(float(transition_paths.reactive_flux(operator, [0], [4]).total), rel=1e-9)


# window


def course(mean, survival=True):
    kept = Estimate(1.0, 1.0, 1.0, "1", 4) if survival else None
    mean = np.asarray(mean, dtype=float)
    times = np.linspace(0.0, 40.0, len(mean))
    return Course("P", "S", 2.5, times, mean, np.zeros_like(mean), 4, kept)


def test_bonds_that_break_early_are_cut_off(states, resampling):
    rng = np.random.default_rng(0)
    bonds = np.where(np.arange(200) < 30, 4.0 - 0.03 * np.arange(200), 3.0) + rng.normal(0, 0.02, 200)
    found = window.choose(states, "auto", 5, resampling, [[course(bonds)]], [0.0])
    assert found.first > 0
    assert "P-S bonds change" in found.note
    assert not found.verdict.failures
    # Neighbours among the mobile ions come and go and decide nothing.
    loose = window.choose(states, "auto", 5, resampling, [[course(bonds, survival=False)]], [0.0])
    assert loose.first == 0


def test_bonds_that_keep_breaking_make_the_run_not_stationary(states, resampling):
    bonds = np.linspace(4.0, 1.0, 200) + np.random.default_rng(0).normal(0, 0.02, 200)
    found = window.choose(states, "auto", 5, resampling, [[course(bonds)]], [0.0])
    assert found.first == 0
    assert "no cut" in found.note
    assert any("P-S" in failure for failure in found.verdict.failures)


def test_cut_that_is_set_is_kept_and_one_too_long_is_refused(states, resampling):
    found = window.choose(states, 10.0, 5, resampling)
    assert found.first == 100
    trimmed = window.trimmed(states, found.first)
    assert trimmed.segments.tolist() == [[100, 400]]
    with pytest.raises(UserError, match=r"kinetics\.discard_ps: 40 ps leaves no pair"):
        window.choose(states, 40.0, 5, resampling)


def test_changing_run_has_windows_in_place_of_equilibrium_rates(moving):
    model = koopman.fit(moving, examples.SETTINGS)
    assert "not stationary" in model.stationary_note
    assert tables.koopman_rows(model)[0]["quantity"] == "stationary window"
    assert not tables.koopman_rows(model)[0]["supported"]
    found = reactive_flux.analyse(moving, model, examples.ENDPOINTS)
    assert tables.flux_rows(found)[0]["note"] == model.stationary_note
    for name in reactive_flux.EQUILIBRIUM:
        assert found.estimates[name]["value"] is None
    assert found.estimates["finite_time_flux"]["supported"]
    value, low, high = found.window_flux.T
    assert (low <= value).all()
    assert (value <= high).all()
    # Passages seen lie where passages predicted do: Poisson numbers of some hundred.
    predicted = value * 80 * np.diff(found.window_times, axis=1)[:, 0] / 1000.0
    assert (np.abs(found.window_passages - predicted) < 4.0 * np.sqrt(predicted)).all()
    forever = transition_paths.committor(model.window_operators[-1], [0], [5])
    assert (found.window_committors[-1] <= forever + 1e-12).all()  # little time is left at the end


def test_windows_see_the_change(moving):
    model = koopman.fit(moving, examples.SETTINGS)
    escape = model.window_escape_rates[:, 2, :]
    assert escape[0, 2] < escape[-1, 1]  # intervals apart
    np.testing.assert_allclose(model.window_operators.sum(axis=2), 1.0)
    np.testing.assert_allclose(model.window_populations[..., 0].sum(axis=1), 1.0)


# lag


def test_chain_gets_the_shortest_lag_and_flicker_a_longer_one(states):
    settings = examples.SETTINGS | {"lag_ps": "auto"}
    model = koopman.fit(states, settings)
    assert model.lag_ps == pytest.approx(0.1)
    assert "shortest lag" in model.lag_note
    rng = np.random.default_rng(0)
    labels = np.asarray(states.labels)
    noisy = np.where(rng.random(labels.shape) < 0.03, rng.integers(0, 6, labels.shape), labels)
    flickering = koopman.fit(examples.states_of(noisy.astype(np.int8), 6), settings)
    assert flickering.lag_ps > 0.1
    rows = kinetics_tables.lag_rows(flickering)
    assert [row["lag_ps"] for row in rows if row["chosen"]] == [pytest.approx(flickering.lag_ps)]


def evidence(lag_ps, slowest=5.0, agreement=0.95, flat=True):
    good = flat and agreement >= 0.9
    return {
        "lag_ps": lag_ps,
        "slowest_ps": slowest,
        "agreement": agreement,
        "flat": flat,
        "qualifies": good,
    }


def test_choice_without_evidence_says_so():
    lag, note = lag_choice.choose([evidence(1.0, flat=False), evidence(2.0), evidence(5.0)])
    assert (lag, note.split(":")[0]) == (2.0, "chosen")
    lag, note = lag_choice.choose([evidence(1.0, agreement=0.2), evidence(2.0, agreement=0.6)])
    assert lag == 2.0
    assert "without full evidence" in note
    with pytest.raises(UserError, match="states are connected"):
        lag_choice.choose([evidence(1.0, slowest=None, agreement=None, flat=False)])


# residence


def test_survival_of_a_chain_is_its_exponential(states, resampling):
    found = residence.survival(states.labels, states.segments, 6, resampling)
    stay = np.diagonal(examples.SIX_STATES)[:, None] ** found.times
    value, low, high = np.moveaxis(found.share, -1, 0)
    known = np.isfinite(value) & (found.times < 40)
    assert ((low <= stay + 1e-9) & (stay <= high + 1e-9))[known].mean() > 0.9
    assert (np.diff(value, axis=1)[:, 1:] <= 1e-12)[np.isfinite(np.diff(value, axis=1)[:, 1:])].all()


def test_survival_by_hand():
    row = np.array([[0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1]])
    one = bootstrap.draw(np.zeros(1, dtype=int), 20, seed=0)
    found = residence.survival(row, np.array([[0, 12]]), 2, one)
    assert found.visits.tolist() == [2, 3]  # the first visit has no start
    assert found.ends.tolist() == [2, 2]  # the last has no end
    assert found.share[0, list(found.times).index(1), 0] == pytest.approx(0.5)
    gap = np.array([[0, 1, 1, -1, 1, 0]])
    assert residence.survival(gap, np.array([[0, 6]]), 2, one).ends.tolist() == [0, 0]


# displacement


def test_walk_over_states_predicts_its_displacement(resampling):
    labels = examples.sample(examples.SIX_STATES, 80, 600, seed=4)
    rng = np.random.default_rng(1)
    size = np.linspace(0.05, 0.6, 6)
    moves = rng.normal(size=(600, 80, 3)) * size[labels.T][..., None]
    positions = np.cumsum(moves, axis=0) + rng.normal(scale=0.3, size=moves.shape)  # rattling is left out
    operator = np.linalg.matrix_power(examples.SIX_STATES, 5)
    found = walk.compare(labels, positions, [[0, 600]], 5, np.arange(6), operator, resampling)
    assert found.ratio[1] < 1.0 < found.ratio[2]
    _, low, high = np.moveaxis(found.measured, -1, 0)
    assert ((low <= found.model) & (found.model <= high)).mean() > 0.8
    caged = np.sin(np.cumsum(moves, axis=0))  # goes back and gets nowhere
    back = walk.compare(labels, caged, [[0, 600]], 5, np.arange(6), operator, resampling)
    assert back.ratio[2] < 0.9


def test_prediction_by_hand():
    operator = np.array([[0.5, 0.5], [0.0, 1.0]])
    found = walk.predicted(operator, np.array([1.0, 2.0]), np.array([10.0, 20.0]), 3)
    np.testing.assert_allclose(found, [[1.0, 2.0], [16.0, 22.0], [16.0 + 17.5, 42.0]])


# regions


def with_heights(states):
    """Ions that sit higher the higher the number of their state."""
    heights = 2.0 + 7.0 * np.asarray(states.labels, dtype=float)
    positions = np.zeros((*heights.T.shape, 3), dtype=np.float32)
    positions[..., 2] = heights.T
    return dataclasses.replace(states, positions=positions)


def test_regions_are_states_of_their_own(states):
    placed = with_heights(states)
    found, ends = regions.augmented(placed, {"region": "metal"}, {"z_A": [36.0, 38.0]})
    assert found.names[6:] == ["metal region", "z 36 to 38 Å"]
    assert ends["source"].states == (6,)
    assert ends["target"].states == (7,)
    # The central half of the metal, 4 to 12 Å, holds state 1 (9 Å); the range holds state 5 (37 Å).
    np.testing.assert_array_equal(found.labels == 6, np.asarray(states.labels) == 1)
    np.testing.assert_array_equal(found.labels == 7, np.asarray(states.labels) == 5)


def test_flux_between_regions_is_that_between_the_states_in_them(states):
    placed = with_heights(states)
    model = koopman.fit(placed, examples.SETTINGS)
    by_state = reactive_flux.analyse(placed, model, examples.ENDPOINTS | {"source": ["state B"]})
    wanted = examples.ENDPOINTS | {"source": {"region": "metal"}, "target": {"z_A": [36.0, 38.0]}}
    by_region = reactive_flux.analyse(placed, model, wanted)
    assert by_region.supported
    assert by_region.names[-2:] == ["metal region", "z 36 to 38 Å"]
    assert by_region.estimates["total_flux"]["value"] == pytest.approx(
        by_state.estimates["total_flux"]["value"], rel=1e-9
    )
    mixed = reactive_flux.analyse(placed, model, examples.ENDPOINTS | {"target": {"z_A": [36.0, 38.0]}})
    assert mixed.supported
    assert mixed.source_rule.startswith("metal-like")


def test_range_may_cross_the_border(states):
    positions = np.zeros((400, 80, 3), dtype=np.float32)
    positions[:, 0, 2] = 39.5
    positions[:, 1, 2] = -79.0  # unwrapped, the same as 1 Å
    positions[:, 2:, 2] = 20.0
    found = regions.inside(dataclasses.replace(states, positions=positions), [(39.0, 41.5)])
    assert found.all(axis=1).tolist()[:3] == [True, True, False]


def test_bad_regions_are_named(states):
    placed = with_heights(states)
    with pytest.raises(
        UserError, match=r"tpt\.source\.region: there is no region 'anode'.*metal, electrolyte"
    ):
        regions.augmented(placed, {"region": "anode"}, "electrolyte-like")
    with pytest.raises(UserError, match=r"tpt\.target\.z_A: \[5, 2\] is empty"):
        regions.augmented(placed, "metal-like", {"z_A": [5.0, 2.0]})
    with pytest.raises(UserError, match="overlaps"):
        regions.augmented(placed, {"z_A": [0.0, 10.0]}, {"z_A": [8.0, 20.0]})
    model = koopman.fit(placed, examples.SETTINGS)
    empty = reactive_flux.analyse(placed, model, examples.ENDPOINTS | {"source": {"z_A": [3.0, 4.0]}})
    assert not empty.supported
    assert "no ion is ever in" in empty.note


# tables and network


def test_sensitivity_table_holds_the_flux_that_is_used(states):
    model = koopman.fit(states, examples.SETTINGS)
    found = reactive_flux.analyse(states, model, examples.ENDPOINTS)
    rows = kinetics_tables.sensitivity_rows(found)
    used = [row for row in rows if row["used"]]
    assert len(used) == 1
    assert used[0]["total_flux_per_ion_ns"] == pytest.approx(found.estimates["total_flux"]["value"])
    assert len(rows) == 3 * 4
    assert all(row["low"] <= row["total_flux_per_ion_ns"] <= row["high"] for row in rows)


def test_network_is_graphml_with_names_and_all_edges(states, tmp_path):
    model = koopman.fit(states, examples.SETTINGS)
    found = reactive_flux.analyse(states, model, examples.ENDPOINTS)
    network.write_graphml(found, tmp_path / "network.graphml")
    space = {"g": network.NAMESPACE}
    graph = ElementTree.parse(tmp_path / "network.graphml").getroot().find("g:graph", space)
    nodes = graph.findall("g:node", space)
    names = [node.find("g:data[@key='name']", space).text for node in nodes]
    assert names == found.names
    assert [node.get("id") for node in nodes] == ["0", "1", "2", "3", "4", "5"]
    edges = graph.findall("g:edge", space)
    assert len(edges) == len(network.rows(found)) == np.count_nonzero(found.operator) - 6
    total = sum(
        float(edge.find("g:data[@key='net_flux_per_ion_ns']", space).text)
        for edge in edges
        if edge.get("source") == "0"
    )
    assert total == pytest.approx(found.estimates["total_flux"]["value"], rel=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["network.graphml"]


def test_further_tables_of_a_model(states, tmp_path):
    model = koopman.fit(states, examples.SETTINGS)
    model.save(tmp_path / "koopman.h5")
    loaded = KoopmanModel.load(tmp_path / "koopman.h5")
    for name, (columns, rows) in kinetics_tables.TABLES.items():
        tables.write(tmp_path / f"{name}.csv", columns, rows(loaded))
    lines = (tmp_path / "residence.csv").read_text().splitlines()
    assert len(lines) == 1 + 6 * len(model.survival_times)
    assert "escape rate" in (tmp_path / "windows.csv").read_text()


def test_dead_ends_carry_rounding_and_do_not_break_conservation():
    flux = transition_paths.reactive_flux(examples.FIVE_STATES, [0], [4])  # state 3 leads nowhere
    assert transition_paths.imbalance(flux.net, [0], [4]) < transition_paths.CONSERVATION_TOLERANCE
    broken = flux.net.copy()
    broken[0, 1] *= 1.001
    assert transition_paths.imbalance(broken, [0], [4]) > 1e-6


def test_soft_chains_of_resamples(states, resampling):
    data = connected.count(states, 5, resampling)
    pairs = data.pairs[:, 0].astype(float)
    diagonal = np.zeros_like(pairs)
    diagonal[:, np.arange(6), np.arange(6)] = pairs.sum(axis=2)
    hard, share = connected.operators(data, resampling, None, reversible=False)
    soft, same = connected.operators(data, resampling, np.stack([diagonal, pairs]), reversible=False)
    assert share == same
    np.testing.assert_allclose(soft, hard, atol=1e-12)  # memberships of zero and one are the counts
