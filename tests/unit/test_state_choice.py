"""Clusters, how many of them, and the gates that say whether to believe them."""

import numpy as np
import pytest
from getsei.errors import UserError
from getsei.records import UNASSIGNED
from getsei.states import baselines, choice, clustering, gates, matching


def blobs(n_clusters=3, per_cluster=150, apart=6.0, seed=0):
    rng = np.random.default_rng(seed)
    centres = apart * np.eye(6)[:n_clusters]  # all equally far from one another
    labels = np.repeat(np.arange(n_clusters), per_cluster)
    return centres[labels] + rng.normal(size=(len(labels), 6)), labels


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
