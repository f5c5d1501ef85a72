"""Periodic geometry against brute force."""

import itertools

import numpy as np
import pytest
from getsei import cells
from getsei.errors import UserError
from hypothesis import given, settings
from hypothesis import strategies as st

SKEWED = np.array([[4.0, 0.0, 0.0], [3.1, 2.5, 0.0], [-2.7, 1.9, 3.3]])
VERY_SKEWED = np.array([[5.0, 0.0, 0.0], [23.0, 4.0, 0.0], [-31.0, 17.0, 6.0]])


def brute_minimum(vectors, cell, reach):
    shifts = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3))) @ cell
    images = vectors[:, None] + shifts
    return np.linalg.norm(images, axis=2).min(1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_minimum_image_is_the_shortest_of_all_images(seed):
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) * 3 + np.diag([4, 5, 6])
    vectors = rng.normal(size=(20, 3)) * 6
    reach = int(np.ceil(2 * np.linalg.norm(vectors, axis=1).max() / cells.heights(cell).min())) + 1
    if reach > 14:
        return
    found = np.linalg.norm(cells.minimum_image(vectors, cell), axis=1)
    np.testing.assert_allclose(found, brute_minimum(vectors, cell, reach), atol=1e-9)


@pytest.mark.parametrize("cell", [SKEWED, VERY_SKEWED])
def test_reduced_cell_spans_the_same_lattice_with_shorter_vectors(cell):
    basis = cells.reduced(cell)
    change = basis @ np.linalg.inv(cell)
    np.testing.assert_allclose(change, np.rint(change), atol=1e-9)
    assert abs(np.linalg.det(change)) == pytest.approx(1.0)
    assert np.linalg.norm(basis, axis=1).max() <= np.linalg.norm(cell, axis=1).max()


def test_minimum_image_keeps_shape_and_float32():
    vectors = np.zeros((2, 5, 3), np.float32) + np.float32(4.5)
    images = cells.minimum_image(vectors, np.eye(3) * 5)
    assert images.shape == (2, 5, 3)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, -0.5, atol=1e-6)


def test_heights_and_volume():
    assert cells.volume(SKEWED) == pytest.approx(4.0 * 2.5 * 3.3)
    areas = [np.linalg.norm(np.cross(SKEWED[(k + 1) % 3], SKEWED[(k + 2) % 3])) for k in range(3)]
    np.testing.assert_allclose(cells.heights(SKEWED), cells.volume(SKEWED) / np.array(areas))


def test_from_parameters_gives_back_lengths_and_angles():
    cell = cells.from_parameters([6.4, 11.1, 6.3, 80.0, 109.8, 95.0])
    lengths = np.linalg.norm(cell, axis=1)
    np.testing.assert_allclose(lengths, [6.4, 11.1, 6.3])
    cosines = [cell[1] @ cell[2], cell[0] @ cell[2], cell[0] @ cell[1]]
    cosines /= np.array([lengths[1] * lengths[2], lengths[0] * lengths[2], lengths[0] * lengths[1]])
    np.testing.assert_allclose(np.degrees(np.arccos(cosines)), [80.0, 109.8, 95.0])


def test_wrap_puts_everything_in_the_cell():
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(200, 3)) * 30
    positions[0] = [-1e-17, 0.0, 0.0]
    fractional = cells.wrap(positions, SKEWED) @ np.linalg.inv(SKEWED)
    assert fractional.min() > -1e-12
    assert fractional.max() < 1.0 + 1e-12
    centred = cells.wrap(positions, SKEWED, -0.5) @ np.linalg.inv(SKEWED)
    assert centred.min() > -0.5 - 1e-9
    assert centred.max() < 0.5 + 1e-9


def random_walk(seed, frames=60, atoms=7):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(frames, atoms, 3)) * 0.3, axis=0)


def test_unwrap_recovers_a_walk_in_a_skewed_cell():
    walk = random_walk(1)
    unwrapped = cells.unwrap(cells.wrap(walk, SKEWED), SKEWED[None])
    np.testing.assert_allclose(unwrapped - unwrapped[0], walk - walk[0], atol=1e-9)


def test_unwrap_block_by_block_is_the_same():
    wrapped = cells.wrap(random_walk(2), SKEWED)
    whole = cells.unwrap(wrapped, SKEWED[None])
    first = cells.unwrap(wrapped[:25], SKEWED[None])
    second = cells.unwrap(wrapped[25:], SKEWED[None], wrapped[24], first[-1])
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-9)


@pytest.mark.parametrize("image", [0.0, 300.0])
def test_unwrap_in_a_breathing_cell_does_not_invent_diffusion(image):
    frames = 200
    scale = 1 + 0.01 * np.sin(np.arange(frames) * 0.7)
    breathing = scale[:, None, None] * np.eye(3) * 10
    fractional = np.array([[0.02, 0.5, 0.98]])
    wrapped = fractional * scale[:, None, None] * 10 + np.array([image, 0, 0]) * scale[:, None, None]
    unwrapped = cells.unwrap(wrapped, breathing)
    # An atom at rest in fractional coordinates moves with its cell, by 1 % of its position at most.
    assert np.ptp(unwrapped, axis=0).max() < 0.25


def test_unwrap_crosses_boundaries_of_a_changing_cell():
    frames = 40
    breathing = (1 + 0.005 * np.sin(np.arange(frames)))[:, None, None] * np.eye(3) * 8
    walk = np.linspace(0, 30, frames)[:, None, None] * np.array([1.0, 0.5, 0.0])
    wrapped = np.array([cells.wrap(row, cell) for row, cell in zip(walk, breathing, strict=True)])
    end = cells.unwrap(wrapped, breathing)[-1, 0]
    np.testing.assert_allclose(end, [30.0, 15.0, 0.0], atol=0.5)


def test_unwrap_refuses_a_wrong_number_of_cells():
    with pytest.raises(UserError, match="3 cells for 5 frames"):
        cells.unwrap(np.zeros((5, 2, 3)), np.stack([SKEWED] * 3))


def test_pairs_count_every_image_of_a_small_skewed_cell():
    rng = np.random.default_rng(5)
    positions = rng.random((3, 3)) @ SKEWED
    i, j, vectors, distances = cells.pairs(positions, SKEWED, 7.0, full=True)
    shifts = np.array(list(itertools.product(range(-8, 9), repeat=3))) @ SKEWED
    every = positions[None, :, None] + shifts - positions[:, None, None]
    lengths = np.linalg.norm(every, axis=3)
    assert len(distances) == np.count_nonzero((lengths < 7.0) & (lengths > 1e-9))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), distances)
    offsets = (positions[i] + vectors - positions[j]) @ np.linalg.inv(SKEWED)
    np.testing.assert_allclose(offsets, np.rint(offsets), atol=1e-9)


def test_shortest_distances_of_rock_salt():
    positions = np.array(
        [[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [2, 2, 2], [2, 0, 0], [0, 2, 0], [0, 0, 2]]
    )
    species = ["Li"] * 4 + ["Cl"] * 4
    found = cells.shortest_distances(positions.astype(float), np.eye(3) * 4, species)
    assert list(found) == ["Cl-Cl", "Cl-Li", "Li-Li"]
    assert found["Cl-Li"] == pytest.approx(2.0)
    assert found["Li-Li"] == pytest.approx(2 * np.sqrt(2))


@pytest.mark.parametrize(
    "cell", [np.diag([1.0, 1.0, -1.0]), np.ones((3, 3)), np.full((3, 3), np.nan), np.eye(2)]
)
def test_check_refuses_bad_cells(cell):
    with pytest.raises(UserError):
        cells.check(cell)
