import dataclasses
import itertools

import numpy as np
import pytest
from getsei import environments, records
from getsei.errors import UserError

SKEWED = np.array([[6.0, 0.0, 0.0], [2.8, 5.5, 0.0], [-1.9, 2.1, 6.2]])


def small_trajectory(cell=SKEWED, n_atoms=9, n_frames=6, seed=3):
    rng = np.random.default_rng(seed)
    # Whole cell vectors are added so that unwrapped positions outside the cell are met.
    fractional = rng.random((n_frames, n_atoms, 3)) + rng.integers(-2, 3, size=(1, n_atoms, 3))
    return records.Trajectory(
        positions=(fractional @ cell).astype(np.float32),
        cells=cell[None],
        species=np.array(["S", "Li", "S", "Li", "Cl", "Li", "P", "S", "S"][:n_atoms]),
        stage=np.array([0] + [1] * (n_frames - 1)),
        segments=np.array([[0, 1], [1, 3], [3, n_frames]]),
        temperature=np.full(n_frames, np.nan),
        potential_energy=np.full(n_frames, np.nan),
        stages=["equilibrate", "produce"],
        frame_interval_ps=0.1,
        provenance={},
    )


def brute_force(positions, cell, centre, cutoff):
    """Every image of every atom around one atom: (atom, distance), sorted by distance."""
    found = []
    for shift in itertools.product(range(-4, 5), repeat=3):
        vectors = positions + np.array(shift) @ cell - positions[centre]
        for atom, distance in enumerate(np.linalg.norm(vectors, axis=1)):
            if 1e-6 < distance < cutoff:
                found.append((atom, distance))
    return sorted(found, key=lambda pair: pair[1])


def test_equals_brute_force_on_a_small_skewed_cell():
    trajectory = small_trajectory()
    wrapped_away = np.floor(trajectory.positions @ np.linalg.inv(SKEWED))
    inside = trajectory.positions - wrapped_away @ SKEWED
    cutoff = 5.0  # the smallest height of the cell is below 6 Å: several images of one atom are seen
    found = environments.extract(trajectory, ["Li"], cutoff)
    numbers = {"S": 16, "Li": 3, "Cl": 17, "P": 15}
    assert found.n_frames == 5
    for index, frame in enumerate(range(1, 6)):
        for rank, atom in enumerate([1, 3, 5]):
            expected = brute_force(inside[frame].astype(float), SKEWED, atom, cutoff)
            row = index * 3 + rank
            part = slice(found.offsets[row], found.offsets[row + 1])
            distances = np.linalg.norm(found.vectors[part].astype(float), axis=1)
            np.testing.assert_allclose(distances, [d for _, d in expected], atol=5e-3)
            expected_species = sorted(numbers[trajectory.species[a]] for a, _ in expected)
            assert sorted(found.species[part].tolist()) == expected_species


def test_vectors_point_from_ion_to_neighbour_sorted_by_distance():
    trajectory = small_trajectory(cell=np.diag([20.0, 20.0, 20.0]))
    found = environments.extract(trajectory, ["Li"], 16.0)
    distances = np.linalg.norm(found.vectors.astype(float), axis=1)
    for row in range(len(found.offsets) - 1):
        own = distances[found.offsets[row] : found.offsets[row + 1]]
        assert np.all(np.diff(own) > -2e-2)  # float16 rounding of two close distances
    nearest = found.vectors[found.offsets[0]].astype(float)
    targets = trajectory.positions[1] - trajectory.positions[1, 1]
    targets -= 20.0 * np.rint(targets / 20.0)
    assert np.abs(targets - nearest).sum(1).min() < 2e-2


def test_segments_and_stride_keep_frames_evenly_spaced():
    frames, segments = environments.analysed_frames(small_trajectory(), "produce", 2)
    assert frames.tolist() == [1, 3, 5]
    assert segments.tolist() == [[0, 1], [1, 3]]
    found = environments.extract(small_trajectory(), ["Li"], 5.0, stride=2)
    assert found.frame_interval_ps == pytest.approx(0.2)


def test_thermal_amplitude_is_that_of_vibration_and_not_of_jumps():
    rng = np.random.default_rng(4)
    n_frames = 60
    still = rng.random((40, 3)) * 10.0
    amplitude = np.where(np.arange(40) < 20, 0.25, 0.1)[:, None]
    positions = still + amplitude * rng.normal(size=(n_frames, 40, 3))
    positions[30:, :6] += 3.0  # some of the ions jump half-way
    trajectory = dataclasses.replace(
        small_trajectory(n_frames=n_frames),
        positions=positions.astype(np.float32),
        species=np.array(["Li"] * 20 + ["S"] * 20),
        segments=np.array([[0, 1], [1, n_frames]]),
    )
    found = environments.thermal_amplitudes(trajectory)
    assert found["Li"] == pytest.approx(0.25, rel=0.08)
    assert found["S"] == pytest.approx(0.1, rel=0.08)


def test_without_two_frames_in_a_row_the_amplitude_is_a_typical_one(caplog):
    apart = dataclasses.replace(small_trajectory(), segments=np.array([[i, i + 1] for i in range(6)]))
    found = environments.thermal_amplitudes(apart)
    assert set(found.values()) == {environments.THERMAL_FALLBACK_A}
    assert "no segment holds" in caplog.text


def test_padded_rows_hold_the_same_neighbours():
    found = environments.extract(small_trajectory(), ["Li"], 5.0)
    width = environments.widest(found)
    rows = np.array([4, 0, 11])
    species, vectors, present = environments.padded(found, rows, width)
    for k, row in enumerate(rows):
        part = slice(found.offsets[row], found.offsets[row + 1])
        n = part.stop - part.start
        assert present[k].sum() == n
        assert species[k, :n].tolist() == found.species[part].tolist()
        np.testing.assert_array_equal(vectors[k, :n], found.vectors[part].astype(np.float32))
        assert not species[k, n:].any()
        assert not vectors[k, n:].any()
    truncated = environments.padded(found, rows, 3)[0]
    np.testing.assert_array_equal(truncated, species[:, :3])


def test_survives_a_round_trip(tmp_path):
    region = environments.Region("metal", 0.0, 3.0)
    found = environments.extract(small_trajectory(), ["Li", "P"], 5.0, regions=[region])
    found.save(tmp_path / "e.h5")
    again = records.Environments.load(tmp_path / "e.h5")
    np.testing.assert_array_equal(again.vectors, found.vectors)
    assert again.region_names == ["metal"]
    assert again.n_ions == 4


@pytest.mark.parametrize(
    ("change", "mobile", "cutoff", "message"),
    [
        ({}, ["Na"], 5.0, "no atom of Na"),
        ({}, ["Li"], 0.5, "raise it"),
        ({}, ["Li"], -1.0, "positive"),
        ({"cells": np.zeros((1, 3, 3))}, ["Li"], 5.0, "cell of frame 1: the trajectory has no cell"),
        ({"cells": -SKEWED[None]}, ["Li"], 5.0, "coplanar or left-handed"),
        ({"stage": np.array([0, 0, 0, 0, 0, 1])}, ["Li"], 5.0, "at least two"),
        ({"stages": ["equilibrate", "other"]}, ["Li"], 5.0, "no stage 'produce'"),
    ],
)
def test_mistakes_are_named(change, mobile, cutoff, message):
    trajectory = dataclasses.replace(small_trajectory(), **change)
    with pytest.raises(UserError, match=message):
        environments.extract(trajectory, mobile, cutoff)
