"""The whole room: from embeddings and environments to states, their tables and counterparts."""

import csv
import dataclasses

import numpy as np
import pytest
import records_factory
from getsei import environments as extraction
from getsei import records, synthetic
from getsei.contrastive import training
from getsei.errors import UserError
from getsei.records import UNASSIGNED
from getsei.states import (
    assignment,
    baselines,
    export,
    matching,
    tables,
)


@pytest.fixture(scope="module")
def truth():
    return synthetic.environments(n_ions=40, n_frames=80, seed=3)


@pytest.fixture(scope="module")
def embedding(truth):
    settings = training.TrainingSettings(
        "system", "moments", "nt_xent", 0.5, 2, 1.0, 0.1, 0.1, 80, 64, 16, 0.005, 0.2, 1, 1
    )
    return training.train([truth.environments], settings)[0]


SETTINGS = assignment.StateSettings(n_states=6, method="kmeans", dwell_frames=2, sample=600, seed=1)


@pytest.fixture(scope="module")
def states(truth, embedding):
    return assignment.assign(embedding, [truth.environments], SETTINGS)


def test_states_are_complete_and_consistent(states):
    assert states.labels.shape == states.raw_labels.shape == (40, 80)
    assert states.labels.dtype == np.int8
    assert states.population.sum() == pytest.approx(1.0)
    assert states.z_profile.sum() == pytest.approx(1.0)
    for state in range(states.n_states):
        share = np.mean(states.labels == state) / np.mean(states.labels != UNASSIGNED)
        assert states.population[state] == pytest.approx(share)
    lithium = states.coordination[:, states.elements.index("Li")]
    # Ordered by the raw labels, described by the cleaned ones.
    assert np.all(np.diff(lithium) < 0.3)
    assert states.elements[0] == "Li"
    assert states.anions == ["Cl", "P", "S"]
    assert len(set(states.names)) == states.n_states
    assert states.ion_coordination.shape == (40, 4)
    assert states.region_names == ["metal", "electrolyte"]
    assert len(states.projection) == len(states.projection_labels) == 600


def test_baselines_are_judged_on_the_same_environments(states):
    names = [baselines.TRAINED, baselines.UNTRAINED, baselines.COORDINATION, baselines.SOAP]
    assert [row["representation"] for row in states.baselines] == names
    for row in states.baselines:
        assert row["n_states"] == 6
        assert row["excess"] == pytest.approx(row["silhouette_held_out"] - row["silhouette_null"])
        assert 0.0 <= row["explained_S"] <= 1.0
    assert states.baselines[0]["ari_with_states"] > 0.9
    compared = {gate["name"] for gate in states.gates if "excess over null above" in gate["name"]}
    assert {f"excess over null above that of {name}" for name in names[1:]} <= compared


def test_soap_does_not_change_under_rotation(truth):
    record = truth.environments
    rows = (np.array([0, 3]), np.array([1, 2]))
    turn = synthetic.random_rotations(1, np.random.default_rng(2))[0]
    turned = dataclasses.replace(record, vectors=(record.vectors.astype(float) @ turn).astype(np.float32))
    found, again = baselines.soap([record], rows), baselines.soap([turned], rows)
    np.testing.assert_allclose(found, again, rtol=1e-3, atol=1e-3 * np.abs(found).max())
    assert np.abs(found[0] - found[1]).max() > 0.01 * np.abs(found).max()


def test_choice_is_the_scan_of_the_method_used_and_candidates_are_all(states):
    assert [row["n_states"] for row in states.choice] == list(range(2, 11))
    assert {row["method"] for row in states.choice} == {"kmeans"}
    assert len(states.candidates) == 27
    assert all(0.0 <= row["seed_ari"] <= 1.0 for row in states.candidates)
    assert len(states.seed_agreement) == states.n_states


def test_z_profile_lies_where_the_ions_are(truth, states):
    middle = 0.5 * (states.z_edges[1:] + states.z_edges[:-1])
    mean_z = states.z_profile @ middle / states.z_profile.sum(1)
    for state in range(states.n_states):
        ions, frames = np.nonzero(states.labels == state)
        assert mean_z[state] == pytest.approx(truth.environments.positions[frames, ions, 2].mean(), abs=0.5)


def test_same_seed_same_states_and_a_round_trip(truth, embedding, states, tmp_path):
    again = assignment.assign(embedding, [truth.environments], SETTINGS)
    np.testing.assert_array_equal(again.labels, states.labels)
    states.save(tmp_path / "states.h5")
    loaded = records.States.load(tmp_path / "states.h5")
    assert loaded.names == states.names
    assert loaded.gates == states.gates


def test_tables_carry_units_numbers_and_intervals(states, tmp_path):
    rows = tables.state_rows(states)
    tables.write_csv(rows, tmp_path / "states.csv")
    with (tmp_path / "states.csv").open(encoding="utf-8") as handle:
        read = list(csv.DictReader(handle))
    assert [row["name"] for row in read] == states.names
    assert sum(int(row["n_environments"]) for row in read) == int((states.labels >= 0).sum())
    for row in read:
        assert float(row["population_low"]) <= float(row["population"]) <= float(row["population_high"])
    assert {"mobile_density_per_nm3", "most_frequent_z_A", "coordination_S_sd"} <= set(read[0])
    tables.write_csv(states.gates, tmp_path / "gates.csv")
    assert (
        (tmp_path / "gates.csv").read_text(encoding="utf-8").startswith("name,value,limit,passed,meaning\n")
    )


def surrounded(coordination):
    """Ions at one frame with these numbers of lithium and sulfur neighbours."""
    flat = np.zeros((1, len(coordination)))
    return assignment.Data(np.array([coordination], dtype=np.uint8), flat, flat, flat, ["Li", "S"], {})


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1]])
def test_order_falls_with_mobile_and_then_rises_with_anion_neighbours(order):
    data = surrounded([[2, 3], [5, 4], [5, 1], [9, 0]])
    clusters = np.array(order)[:, None]
    raw, cleaned = assignment.number(clusters, clusters, data, ["Li"])
    assert raw.ravel().tolist() == cleaned.ravel().tolist() == [3, 2, 1, 0]


def test_a_cluster_nobody_stays_in_gets_no_number(caplog):
    data = surrounded([[2, 3], [5, 4], [9, 0]])
    clusters, cleaned = np.array([[0], [1], [2]]), np.array([[0], [UNASSIGNED], [2]])
    raw, cleaned = assignment.number(clusters, cleaned, data, ["Li"])
    assert cleaned.ravel().tolist() == raw.ravel().tolist() == [1, UNASSIGNED, 0]
    assert "1 of 3 clusters are no states" in caplog.text
    with pytest.raises(UserError, match="dwell_frames"):
        assignment.number(clusters, np.full_like(clusters, UNASSIGNED), data, ["Li"])


def test_environments_of_another_run_are_refused(truth, embedding):
    other = synthetic.environments(n_ions=12, n_frames=80, seed=3).environments
    with pytest.raises(UserError, match="run train_gcl again"):
        assignment.assign(embedding, [other], SETTINGS)


def test_replicas_are_gathered_as_further_ions(truth):
    other = synthetic.environments(n_ions=5, n_frames=90, seed=8).environments
    data = assignment.gather([truth.environments, other], 80)
    assert data.coordination.shape == (80, 45, 4)
    np.testing.assert_array_equal(data.positions[:, 40:], other.positions[:80])
    shifted = dataclasses.replace(other, positions=other.positions + np.float32(26.0))
    high = assignment.gather([shifted], 90).heights
    np.testing.assert_allclose(high, other.positions[..., 2] % 26.0, atol=1e-3)


# --- other systems, other programs


def test_states_of_two_systems_are_matched_by_what_surrounds_an_ion(states):
    backwards = dataclasses.replace(
        states,
        coordination=states.coordination[::-1] + 0.05,
        names=states.names[::-1],
        population=states.population[::-1],
    )
    rows = matching.matched_rows({"one": states, "two": backwards})
    other = {row["reference_state"]: row for row in rows if row["system"] == "two"}
    assert [other[state]["name"] for state in range(6)] == states.names
    assert all(row["close"] for row in rows)
    assert {row["reference"] for row in rows} == {"one"}


def test_states_without_a_counterpart_are_listed_alone(states):
    few = dataclasses.replace(
        states, coordination=states.coordination[:2], names=states.names[:2], population=states.population[:2]
    )
    far = dataclasses.replace(states, coordination=states.coordination + 9.0)
    rows = matching.matched_rows({"few": few, "all": states, "far": far})
    assert sum(row["system"] == "few" for row in rows) == 2
    assert not any(row["close"] for row in rows if row["system"] == "far")
    rows = matching.matched_rows({"all": states, "again": states})
    assert all(row["distance"] == pytest.approx(0.0) for row in rows)


def test_export_opens_in_ase_with_the_state_of_every_ion(tmp_path):
    import ase.io

    trajectory, _ = synthetic.trajectory(n_ions=4, n_frames=12, seed=3)
    found = extraction.extract(trajectory, ["Na"], 5.0)
    labels = (np.arange(48).reshape(4, 12) % 3 - 1).astype(np.int8)
    known = records_factory.states(np.abs(labels), found)
    known = dataclasses.replace(known, labels=labels)
    colours = [(0.5, 0.5, 0.5), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)]
    path = tmp_path / "states.extxyz"
    assert export.write_extxyz(known, trajectory, path, colours) == 1
    frames = ase.io.read(path, ":")
    assert len(frames) == 12
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.arrays["state"][:4], labels[:, index])
        assert (frame.arrays["state"][4:] == UNASSIGNED).all()
        expected = [colours[state + 1] for state in labels[:, index]]
        np.testing.assert_allclose(frame.arrays["color"][:4], expected)
        assert frame.pbc.all()
        moved = frame.positions - trajectory.positions[index]
        np.testing.assert_allclose(
            moved, np.rint(moved / frame.cell.lengths()) * frame.cell.lengths(), atol=2e-3
        )
    other = dataclasses.replace(known, labels=np.zeros((4, 40), dtype=np.int8))
    with pytest.raises(UserError, match="do not fit the trajectory"):
        export.write_extxyz(other, trajectory, path, colours)
