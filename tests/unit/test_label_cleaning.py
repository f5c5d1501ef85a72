"""A visit counts only if it lasts; nothing crosses segments or ions."""

import numpy as np
import pytest
from getsei.records import UNASSIGNED
from getsei.states import cleaning

WHOLE = np.array([[0, 12]])


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
