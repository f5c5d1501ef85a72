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
    chemistry,
    choice,
    cleaning,
    clustering,
    export,
    gates,
    matching,
    tables,
)

WHOLE = np.array([[0, 12]])
ELEMENTS = ["Li", "Cl", "P", "S"]


def blobs(n_clusters=3, per_cluster=150, apart=6.0, seed=0):
    rng = np.random.default_rng(seed)
    centres = apart * np.eye(6)[:n_clusters]  # all equally far from one another
    labels = np.repeat(np.arange(n_clusters), per_cluster)
    return centres[labels] + rng.normal(size=(len(labels), 6)), labels


# --- label cleaning


@pytest.mark.parametrize(
    ("before", "dwell", "after"),
    [
        ("000000000000", 3, "000000000000"),
        ("000010000000", 3, "000000000000"),  # a spike is removed
        ("000011110000", 3, "000011110000"),  # a visit is kept, switched at its first frame
        ("000012211110", 3, "000000011111"),  # what lies between two cores belongs to the first
        ("120000011111", 3, "000000011111"),  # before the first core: that core
        ("010101010101", 3, "------------"),  # no core at all
        ("000---000111", 3, "000000000111"),
        ("0101-1010101", 1, "010111010101"),
    ],
)
def test_dwell_filter(before, dwell, after):
    def parse(text):
        return np.array([[UNASSIGNED if c == "-" else int(c) for c in text]], dtype=np.int8)

    np.testing.assert_array_equal(cleaning.dwell_filter(parse(before), WHOLE, dwell), parse(after))


def test_dwell_filter_carries_nothing_across_segments_or_ions():
    labels = np.array([[0, 0, 0, 1, 1, 1, 0, 1, 2, 2, 2, 2], [3, 3, 3, 4, 4, 4, 5, 5, 5, 5, 5, 5]])
    cleaned = cleaning.dwell_filter(labels, np.array([[0, 5], [5, 12]]), 3)
    assert cleaned.dtype == np.int8
    assert cleaned.tolist() == [[0] * 5 + [2] * 7, [3] * 5 + [5] * 7]


def test_dwell_filter_equals_its_definition_on_random_labels():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, size=(6, 80))
    labels = np.where(rng.random(labels.shape) < 0.6, np.roll(labels, 1, axis=1), labels)
    segments = np.array([[0, 30], [30, 80]])
    expected = np.full(labels.shape, UNASSIGNED)
    for ion in range(6):
        for start, stop in segments:
            cores = []
            frame = start
            while frame < stop:
                end = frame
                while end < stop and labels[ion, end] == labels[ion, frame]:
                    end += 1
                if end - frame >= 2:
                    cores.append((frame, labels[ion, frame]))
                frame = end
            for number, (frame, state) in enumerate(cores):
                expected[ion, (frame if number else start) : stop] = state
    np.testing.assert_array_equal(cleaning.dwell_filter(labels, segments, 2), expected)


def test_rates_of_change_and_return():
    labels = np.array([[0, 0, 1, 0, 0, 2, 2, 2, 2, 2, 2, 0]])
    assert cleaning.change_rate(labels, WHOLE) == pytest.approx(4 / 11)
    # Changes 0-1, 1-0 and 0-2 can be judged; only the first is undone within two frames.
    assert cleaning.return_rate(labels, WHOLE) == pytest.approx(1 / 3)
    assert cleaning.change_rate(labels, np.array([[0, 2], [2, 3], [3, 5], [5, 11]])) == 0.0
    assert cleaning.return_rate(labels, np.array([[0, 3]])) == 0.0
    both = np.concatenate([labels, np.zeros_like(labels)])
    assert cleaning.moving_share(both, WHOLE) == 0.5
    assert cleaning.moving_share(labels, np.array([[0, 2], [2, 3], [3, 5], [5, 11]])) == 0.0


# --- chemistry


def test_shell_cutoffs_come_from_the_run_where_it_shows_a_minimum():
    record = synthetic.environments(20, 40, seed=1).environments
    cutoffs = chemistry.shell_cutoffs([record], ["Li"], ELEMENTS)
    assert list(cutoffs) == ["Li-Li", "Li-Cl", "Li-P", "Li-S"]
    assert 2.9 < cutoffs["Li-S"] < 3.6  # between the shells at 2.5 and 4.2 Å
    assert 2.8 < cutoffs["Li-P"] < 3.3  # between 2.5 and 3.6 Å


def test_first_minimum_must_be_clear_and_in_reach():
    r = np.linspace(0.05, 5.0, 100)
    two = np.exp(-(((r - 2.5) / 0.2) ** 2)) + 0.8 * np.exp(-(((r - 4.0) / 0.3) ** 2))
    found = chemistry.first_minimum(r, two, 2.8, 3.9)
    assert found == pytest.approx(3.15, abs=0.25)
    assert chemistry.first_minimum(r, np.exp(-(((r - 4.0) / 0.3) ** 2)), 2.8, 3.9) is None
    assert chemistry.first_minimum(r, 1.0 + 0.01 * np.sin(20 * r), 2.8, 3.9) is None


def test_fallback_cutoffs():
    assert chemistry.fallback_cutoff("Li", "O") == 2.6
    assert 3.2 < chemistry.fallback_cutoff("Na", "S") < 3.8  # Na-S bonds are 2.8-2.9 Å


def test_surroundings_count_shells_and_density():
    truth = synthetic.environments(10, 8, seed=4, noise_A=0.02)
    found = chemistry.surroundings(truth.environments, ELEMENTS, [3.4, 3.2, 3.0, 3.2], ["Li"])
    kind = truth.labels.T
    chlorine = np.array([0, 0, 1, 0, 4, 0])
    assert np.mean(found.coordination[..., 1] == chlorine[kind]) > 0.95
    assert set(found.coordination[..., 2][kind == 5].tolist()) == {0}  # P of a thiophosphate is no neighbour
    volume = 4 / 3 * np.pi * 0.5**3
    lithium = np.array([14, 8, 6, 5, 4, 2])[kind]
    np.testing.assert_allclose(found.density * volume, lithium + 1, atol=1.01)


def test_names_say_what_surrounds_an_ion():
    #                 Li   Cl   P    S
    coordination = np.array(
        [[11.0, 0.1, 0.1, 0.2], [7.0, 0.0, 0.2, 4.1], [4.0, 1.0, 0.0, 2.6], [3.0, 0.4, 0.4, 0.4]]
    )
    assert chemistry.name_states(coordination, ELEMENTS, ["Li"], 6.0) == [
        "metal-like",
        "S4 Li-rich",
        "S3Cl1",
        "Cl1",
    ]


def test_an_atom_of_vapour_is_no_metal():
    alone = np.array([[11.0, 0.1, 0.1, 0.2], [0.3, 0.0, 0.0, 0.1]])
    assert chemistry.name_states(alone, ELEMENTS, ["Li"], 6.0) == ["metal-like", "isolated"]


def test_names_are_unique_and_true_without_any_metal():
    same = np.array([[4.0, 0.9, 0.0, 3.1], [3.5, 0.9, 0.0, 3.0], [3.5, 0.5, 0.0, 3.0], [3.5, 0.5, 0.0, 3.0]])
    names = chemistry.name_states(same, ELEMENTS, ["Li"], 3.9)
    assert len(set(names)) == 4
    assert names[0] == "S3Cl1 Li4.0"
    assert not any("metal" in name for name in names)
    oxide = chemistry.name_states(np.array([[2.0, 4.2, 1.0]]), ["Na", "O", "Zr"], ["Na"], 2.0)
    assert oxide == ["O4"]


def test_z_profile_sums_to_one_over_assigned_environments():
    labels = np.array([0, 0, 1, UNASSIGNED])
    profile = chemistry.z_profile(labels, np.array([0.5, 1.5, 1.5, 0.5]), np.array([0.0, 1.0, 2.0]), 2)
    np.testing.assert_allclose(profile, [[1 / 3, 1 / 3], [0.0, 1 / 3]])


# --- clustering and choice


@pytest.mark.parametrize("method", ["kmeans", "gmm", "ward"])
def test_methods_find_separate_clusters(method):
    points, truth = blobs()
    clusterer = clustering.fit(points, 3, method, seed=1)
    labels = clustering.predict(clusterer, points)
    pairs = {(int(a), int(b)) for a, b in zip(labels, truth, strict=True)}
    assert len(pairs) == 3
    assert clustering.silhouette(points, labels) > 0.6


def test_null_is_below_real_clusters_and_equal_to_a_blob():
    points, _ = blobs()
    labels = clustering.predict(clustering.fit(points, 3, "kmeans", 1), points)
    assert clustering.silhouette(points, labels) - clustering.null_silhouette(points, 3, "kmeans", 1) > 0.3
    blob = np.random.default_rng(0).normal(size=(600, 4))
    labels = clustering.predict(clustering.fit(blob, 3, "kmeans", 1), blob)
    excess = clustering.silhouette(blob, labels) - clustering.null_silhouette(blob, 3, "kmeans", 1)
    assert abs(excess) < 0.05


def test_space_ignores_length_and_keeps_distances():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 6))
    space = clustering.fit_space(vectors)
    np.testing.assert_allclose(space(vectors), space(3.0 * vectors), atol=1e-6)
    unit = clustering.unit_length(vectors)
    projected = space(vectors)
    expected = np.linalg.norm(unit[0] - unit[1])
    assert np.linalg.norm(projected[0] - projected[1]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n_clusters", [3, 5])
def test_auto_finds_the_number_of_clusters(n_clusters):
    points, _ = blobs(n_clusters, apart=8.0, seed=2)
    rng = np.random.default_rng(1)
    order = rng.permutation(len(points))
    third = len(points) // 3
    samples = choice.Samples(
        points[order], points[order[: 2 * third]], points[order[2 * third :]], points, [points]
    )
    found = choice.choose(samples, "auto", "kmeans", seed=1)
    assert found.taken.n_states == n_clusters
    assert found.taken.sound
    assert "chosen from the data" in found.note
    assert {(c.method, c.n_states) for c in found.candidates} == {
        (method, k) for method in clustering.METHODS for k in range(2, 11)
    }


def test_configured_number_is_kept_and_the_preferred_one_is_told():
    points, _ = blobs(3)
    found = choice.choose(choice.Samples(points, points, points[:0], points[:0], []), 5, "kmeans", seed=1)
    assert found.taken.n_states == 5
    assert "5 states as configured" in found.note
    assert "prefer 3" in found.note
    assert np.isnan(found.taken.silhouette_held_out)


def candidate(k, excess, ari=0.9, smallest=0.1, seeds=0.9, method="kmeans"):
    return choice.Candidate(method, k, 0.2 + excess, np.nan, 0.2, ari, seeds, smallest)


def first(*candidates):
    return candidates[choice.ranked(candidates)[0]].n_states


def test_unsound_candidates_come_last():
    assert first(candidate(3, 0.3), candidate(4, 0.6, ari=0.5), candidate(5, 0.7, smallest=0.001)) == 3
    assert first(candidate(3, 0.3), candidate(4, 0.6, seeds=0.7)) == 3
    assert first(candidate(3, 0.3, seeds=np.nan), candidate(2, 0.2)) == 3
    assert first(candidate(4, 0.6, ari=0.5), candidate(5, 0.7, ari=0.5)) == 5


def test_equal_excess_goes_to_the_steadier_then_to_the_smaller_number():
    assert first(candidate(7, 0.500), candidate(6, 0.495, seeds=0.99, ari=0.99)) == 6
    assert first(candidate(7, 0.500), candidate(6, 0.495)) == 6
    assert first(candidate(7, 0.500), candidate(6, 0.45, seeds=0.99, ari=0.99)) == 7


def test_method_and_number_are_taken_as_configured():
    points, _ = blobs(3)
    samples = choice.Samples(points, points, points[:0], points, [points])
    assert choice.choose(samples, "auto", "gmm", seed=1).taken.method == "gmm"
    assert choice.choose(samples, 4, "ward", seed=1).taken.n_states == 4


def test_silhouettes_equal_those_of_scikit_learn():
    from sklearn.metrics import silhouette_score

    points, truth = blobs(3, 40)
    labelings = [truth, np.arange(len(points)) % 4, np.where(np.arange(len(points)) == 5, 1, 0)]
    expected = [silhouette_score(points, labels) for labels in labelings]
    np.testing.assert_allclose(clustering.silhouettes(points, labelings), expected, atol=1e-5)
    assert np.isnan(clustering.silhouettes(points, [np.zeros(len(points), dtype=int)])).all()


def test_states_of_other_seeds_are_matched_whatever_their_numbers():
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, UNASSIGNED])
    other = np.array([2, 2, 2, 0, 0, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(matching.agreement(labels, other, 3), [1.0, 2 / 3, 3 / 4])
    assert matching.partners(np.array([[5.0, 1.0], [1.0, 5.0], [9.0, 9.0]])).tolist() == [1, 0, -1]


def test_a_collapsed_embedding_is_refused():
    with pytest.raises(UserError, match="collapsed"):
        clustering.fit(np.zeros((100, 4)), 6, "kmeans", 1)
    with pytest.raises(UserError, match="kmeans, gmm, ward or auto"):
        clustering.fit(blobs()[0], 3, "dbscan", 1)


# --- gates


def test_explained_variance_of_perfect_and_useless_states():
    coordination = np.array([[4, 0, 1], [4, 0, 2], [0, 0, 1], [0, 0, 2]] * 10)
    perfect = gates.explained_variance(np.array([0, 0, 1, 1] * 10), coordination, ["S", "O", "Cl"])
    assert perfect == {"S": 1.0, "Cl": 0.0}  # O does not vary: nothing to explain
    assert gates.explained_variance(np.zeros(40, dtype=int), coordination, ["S", "O", "Cl"])["S"] == 0.0


def excesses(*values):
    names = (baselines.TRAINED, baselines.UNTRAINED, baselines.COORDINATION)
    return [{"representation": n, "excess": v} for n, v in zip(names, values, strict=True)]


def test_gates_fail_where_they_should():
    good = {"effective_rank": 4.0, "mean_cosine": 0.1, "truncated_neighbours": 0.0}
    good |= {"final_loss": 4.0, "chance_loss": 6.2}
    still = gates.Cleaning(0.05, 0.04, 0.1, 0.02, 0.6)
    good_one = choice.Candidate("kmeans", 6, 0.6, 0.55, 0.2, 0.95, 0.9, 0.05)
    table = gates.collect(good_one, excesses(0.4, 0.1, 0.2), good, {"S": 0.8}, still, isolated=0.0)
    assert all(row["passed"] for row in table)
    collapsed = good | {"effective_rank": 1.0, "mean_cosine": 0.9, "final_loss": 6.2}
    poor = choice.Candidate("kmeans", 6, 0.57, 0.3, 0.48, 0.5, 0.6, 0.001)
    wild = gates.Cleaning(0.6, 0.3, 0.7, 0.5, 0.0)
    table = gates.collect(poor, excesses(0.1, 0.3, float("nan")), collapsed, {"S": 0.1}, wild, isolated=0.03)
    passed = [row["name"] for row in table if row["passed"]]
    assert passed == ["silhouette", "truncated neighbours"]
    assert not any("coordination numbers" in row["name"] for row in table)
    assert not gates.at_least("x", float("nan"), 0.0, "")["passed"]


# --- the whole room


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


def test_order_falls_with_mobile_and_then_rises_with_anion_neighbours():
    coordination = np.array([[[2, 3], [5, 4], [5, 1], [9, 0]]], dtype=np.uint8)
    flat = np.zeros((1, 4))
    data = assignment.Data(coordination, flat, flat, flat, ["Li", "S"], {})
    labels = np.array([[0], [1], [2], [3]])
    assert assignment.by_mobile_neighbours(labels, data, ["Li"]).ravel().tolist() == [3, 2, 1, 0]


def test_a_state_nobody_stays_in_is_dropped():
    raw = np.array([[0, 0, 0, 1, 2, 2, 2, 2]], dtype=np.int8)
    cleaned = cleaning.dwell_filter(raw, np.array([[0, 8]]), 3)
    raw, cleaned = assignment.drop_empty(raw, cleaned)
    assert cleaned.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]
    assert raw.tolist() == [[0, 0, 0, UNASSIGNED, 1, 1, 1, 1]]
    with pytest.raises(UserError, match="dwell_frames"):
        assignment.drop_empty(raw, np.full_like(raw, UNASSIGNED))


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
