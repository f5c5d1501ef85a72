"""The flux of a system: ends by rule, units, support, reductions, tables."""

import chains as examples
import numpy as np
import pytest
from getsei import records
from getsei.errors import UserError
from getsei.kinetics import (
    counting,
    endpoints,
    finite_time,
    koopman,
    reactive_flux,
    sampled_flux,
    tables,
    transition_paths,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # deeptime predates this NumPy
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def states():
    return examples.states_of(examples.sample(examples.SIX_STATES, 100, 400, seed=3), 6)


@pytest.fixture(scope="module")
def model(states):
    return koopman.fit(states, examples.SETTINGS)


@pytest.fixture(scope="module")
def flux(states, model):
    return reactive_flux.analyse(states, model, examples.ENDPOINTS)


def changed(states, **fields):
    """Return other states with the same labels."""
    return examples.states_of(np.asarray(states.labels), states.n_states, **fields)


def test_units(states, model, flux):
    per_step = transition_paths.reactive_flux(model.operator, [0], [5])
    value = {name: row["value"] for name, row in flux.estimates.items()}
    assert value["total_flux"] == pytest.approx(float(per_step.total) * 1000 / 0.5)
    assert value["events_per_cell"] == pytest.approx(value["total_flux"] * 100)
    assert value["flux_density"] == pytest.approx(value["events_per_cell"] / 2.0)  # two faces of 1 nm²
    assert value["mfpt"] == pytest.approx(1000.0 / value["rate"])
    assert flux.net_flux.sum(axis=1)[0] == pytest.approx(value["total_flux"])
    units = {name: row["unit"] for name, row in flux.estimates.items()}
    assert (units["total_flux"], units["rate"], units["mfpt"]) == ("1/(ion ns)", "1/ns", "ps")
    assert units["flux_density"] == "ions/(ns nm^2)"
    for row in flux.estimates.values():
        assert row["supported"]
        assert row["low"] <= row["value"] <= row["high"]


def test_replicas_do_not_multiply_the_cell(states):
    replica = np.arange(100) // 50
    twice = changed(states, replica=replica)
    found = reactive_flux.analyse(twice, koopman.fit(twice, examples.SETTINGS), examples.ENDPOINTS)
    value = {name: row["value"] for name, row in found.estimates.items()}
    if value["total_flux"] is not None:
        assert value["events_per_cell"] == pytest.approx(value["total_flux"] * 50)


def test_checks_pass_on_a_chain(flux):
    failed = [check["name"] for check in flux.checks if not check["passed"]]
    assert not [name for name in failed if "probability" not in name]
    names = [check["name"] for check in flux.checks]
    assert "conservation of flux" in names
    assert "total flux over passages counted in the trajectories" in names


def test_deeptime_agrees(flux):
    row = next(check for check in flux.checks if check["name"] == "total flux against deeptime")
    assert row["passed"]


def test_pathways_have_ranks_with_probabilities(flux):
    shares = [path["share"] for path in flux.pathways]
    assert sum(shares) >= 0.99
    assert shares == sorted(shares, reverse=True)
    assert sum(path["probability_first"] for path in flux.pathways) == pytest.approx(1.0)
    for path in flux.pathways:
        assert path["states"][0] == 0
        assert path["states"][-1] == 5
        assert path["low"] <= path["share"] <= path["high"]
    assert {"from", "to", "flux", "share", "narrowest_cut", "minimum_cut"} <= set(flux.bottleneck)


def test_record_survives_the_disk(flux, tmp_path):
    flux.save(tmp_path / "flux.h5")
    loaded = records.ReactiveFlux.load(tmp_path / "flux.h5")
    assert loaded.pathways == flux.pathways
    assert loaded.estimates == flux.estimates
    np.testing.assert_array_equal(loaded.net_flux, flux.net_flux)


def test_tables(flux, tmp_path):
    tables.write(tmp_path / "flux.csv", tables.FLUX_COLUMNS, tables.flux_rows(flux))
    tables.write(tmp_path / "pathways.csv", tables.PATHWAY_COLUMNS, tables.pathway_rows(flux))
    lines = (tmp_path / "flux.csv").read_text().splitlines()
    assert lines[1].startswith("total_flux,state A,state F,")
    assert len((tmp_path / "pathways.csv").read_text().splitlines()) == len(flux.pathways) + 1


def test_metal_like_has_no_anions_and_most_mobile_neighbours(states):
    assert endpoints.metal_like(states).states == (0,)
    coordination = np.array(states.coordination)
    coordination[1] = [14.0, 0.4, 0.0]
    assert endpoints.metal_like(changed(states, coordination=coordination)).states == (1,)
    rare = np.array(states.population)
    rare[1] = 0.005
    both = changed(states, coordination=coordination, population=rare)
    assert endpoints.metal_like(both).states == (0,)
    coordination[:, 1] = 2.0
    none = endpoints.metal_like(changed(states, coordination=coordination))
    assert none.states == ()
    assert "no metal-like state" in none.problem


def test_electrolyte_like_lies_deepest_in_the_electrolyte(states):
    found = endpoints.electrolyte_like(states)
    assert found.states == (5,)
    assert "state F" in found.rule
    inside, core = endpoints.shares_inside(states)
    assert (core <= inside + 1e-12).all()
    assert inside[5] > 0.9 > inside[0]


def test_no_electrolyte_left_is_said_and_not_faked(states):
    reacted = changed(states, regions=np.array([[0.0, 39.0], [39.0, 40.0]]))
    model = koopman.fit(reacted, examples.SETTINGS)
    found = reactive_flux.analyse(reacted, model, examples.ENDPOINTS)
    assert not found.supported
    assert "no unreacted electrolyte is left" in found.note
    assert found.source == [0]
    assert found.target == []
    assert np.isnan(found.net_flux).all()
    assert all(row["value"] is None and not row["supported"] for row in found.estimates.values())
    assert found.pathways == []
    assert tables.pathway_rows(found) == []
    row = tables.flux_rows(found)[0]
    assert row["value"] == ""
    assert "no unreacted electrolyte" in row["note"]


def test_no_region_is_said(states):
    bare = changed(states, regions=np.zeros((0, 2)), region_names=[])
    assert "without an electrolyte region" in endpoints.electrolyte_like(bare).problem


def test_states_by_name_and_by_index(states, model):
    settings = examples.ENDPOINTS | {"source": ["state B", "0"], "target": ["state F", 4]}
    found = reactive_flux.analyse(states, model, settings)
    assert found.supported
    assert found.source == [0, 1]
    assert found.target == [4, 5]


@pytest.mark.parametrize("wanted", [["state Z"], ["9"], "metal like", [-1]])
def test_unknown_states_are_refused_with_the_choice(states, model, wanted):
    with pytest.raises(UserError, match=r"tpt\.source: there is no state .* 'state A', 'state B'"):
        reactive_flux.analyse(states, model, examples.ENDPOINTS | {"source": wanted})


def test_overlapping_ends_are_said(states, model):
    settings = examples.ENDPOINTS | {"source": ["state A", "state F"]}
    found = reactive_flux.analyse(states, model, settings)
    assert not found.supported
    assert found.note == "source and target share state F"


def test_dropped_end_is_said():
    labels = examples.sample(examples.FIVE_STATES, 60, 300, seed=4)
    labels[:10, 200:] = 5
    trapped = examples.states_of(labels, 6)
    model = koopman.fit(trapped, examples.SETTINGS)
    found = reactive_flux.analyse(trapped, model, examples.ENDPOINTS)
    assert not found.supported
    assert "state F does not exchange ions both ways" in found.note
    assert found.target == []
    named = reactive_flux.analyse(trapped, model, examples.ENDPOINTS | {"target": ["state E"]})
    assert named.supported
    assert named.estimates["events_per_cell"]["value"] == pytest.approx(
        named.estimates["total_flux"]["value"] * 60 * (1 - 10 * 100 / labels.size)
    )


def test_rare_edge_supports_no_flux():
    slow = np.array([[0.995, 0.005, 0], [0.005, 0.9949, 0.0001], [0, 0.0001, 0.9999]])
    labels = examples.sample(slow, 60, 300, seed=6)
    few = examples.states_of(labels, 3)
    model = koopman.fit(few, examples.SETTINGS)
    found = reactive_flux.analyse(few, model, examples.ENDPOINTS)
    assert not found.supported
    assert found.note
    assert found.estimates["total_flux"]["value"] is None


def test_flicker_shows_in_the_sensitivity_to_the_dwell(states, model):
    rng = np.random.default_rng(0)
    labels = np.asarray(states.labels)
    raw = np.where(rng.random(labels.shape) < 0.05, rng.integers(0, 6, labels.shape), labels).astype(np.int8)
    noisy = changed(states, raw_labels=raw, dwell_frames=3)
    found = reactive_flux.analyse(noisy, model, examples.ENDPOINTS)
    rows = {check["name"]: check for check in found.checks}
    at = {dwell: rows[f"total flux at a dwell of {dwell} frames, 1/(ion ns)"]["value"] for dwell in (1, 3)}
    assert at[1] > 1.3 * at[3]
    assert not rows["total flux at a dwell of 1 frames, 1/(ion ns)"]["passed"]


def test_changing_window_is_said_beside_the_flux():
    changed_chain = examples.SIX_STATES.copy()
    changed_chain[2] = [0.1, 0.1, 0.4, 0.2, 0.1, 0.1]
    labels = np.hstack(
        [examples.sample(chain, 80, 300, seed=8) for chain in (examples.SIX_STATES, changed_chain)]
    )
    moving = examples.states_of(labels, 6)
    found = reactive_flux.analyse(moving, koopman.fit(moving, examples.SETTINGS), examples.ENDPOINTS)
    assert "not stationary" in found.note


def test_changes_within_the_lag_are_events(model):
    seen = sampled_flux.edge_events(model)
    assert (seen >= model.events).all()
    assert (seen <= np.maximum(model.events, model.counts.sum(axis=0))).all()
    np.testing.assert_array_equal(np.diagonal(seen), 0)
    assert seen[0, 5] > model.events[0, 5] == 0  # no hop from A to F, but many passages within five frames


def test_passages_expected_in_a_window_match_simulated_ones():
    operator = np.array([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.05, 0.05, 0.9]])
    start = np.array([40, 30, 30])
    rng = np.random.default_rng(5)
    steps, repeats = 25, 300
    seen = []
    for _ in range(repeats):
        state = np.repeat(np.arange(3), start)
        path = [state]
        for _ in range(steps):
            state = (rng.random(len(state))[:, None] > np.cumsum(operator, axis=1)[state]).sum(axis=1)
            path.append(state)
        labels = np.array(path).T.astype(np.int8)
        events, _ = counting.reactive_events(labels, np.array([[0, steps + 1]]), [0], [2], 3)
        seen.append(events.sum())
    expected = finite_time.passages(operator[None], np.array([steps]), start, [0], [2]).sum()
    error = np.std(seen) / np.sqrt(repeats)
    assert abs(np.mean(seen) - expected) < 4 * error
    # The stationary flux times the window would overestimate: ions that start between the ends do not count.
    assert finite_time.passages(operator[None], np.array([1]), np.array([0, 100, 0]), [0], [2]).sum() == 0.0


def test_flux_that_the_passages_contradict_is_not_supported():
    # Two kinds of ions, one that moves and one that hardly does, look like one chain with memory.
    fast = examples.sample(examples.FIVE_STATES, 30, 60, seed=8)
    frozen = np.repeat(np.arange(5, dtype=fast.dtype), 40)[:, None].repeat(60, axis=1)
    frozen[:, 1::2] = np.minimum(frozen[:, 1::2] + 1, 4)  # rattles between neighbours and goes nowhere
    mixed = examples.states_of(np.vstack([fast, frozen]), 5)
    model = koopman.fit(mixed, examples.SETTINGS)
    found = reactive_flux.analyse(mixed, model, examples.ENDPOINTS)
    assert not found.supported
    assert "were seen" in found.note
    assert found.estimates["total_flux"]["value"] is None
    assert found.estimates["pathway_diversity"]["value"] is None
    assert any(row["name"].startswith("passages seen") and not row["passed"] for row in found.checks)


def test_the_state_deepest_in_a_named_region(states):
    expected = endpoints.electrolyte_like(states).states
    assert endpoints.choose(states, "region:electrolyte", "tpt.target").states == expected
    inside, core = endpoints.shares_inside(states, "metal")
    deepest = int(np.argmax(np.where(inside >= 0.5, core, -1.0)))
    assert endpoints.choose(states, "region:metal", "tpt.source").states == (deepest,)
    with pytest.raises(UserError, match=r"tpt.source: there is no region 'moon'; the cell has"):
        endpoints.choose(states, "region:moon", "tpt.source")
