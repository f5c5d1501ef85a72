import pytest
import torch
from getsei.contrastive.augmentation import Amplitudes, ViewSettings, amplitudes, view
from getsei.contrastive.encoder import ABSENT, Batch

MASKED = 5
N, WIDTH = 400, 12


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, MASKED, (N, WIDTH), generator=generator)
    tokens[:, 9:] = ABSENT
    vectors = torch.randn(N, WIDTH, 3, generator=generator) * (tokens != ABSENT)[..., None]
    return Batch(tokens, vectors)


def draw(batch, noise=0.0, drop=0.0, mask=0.0, seed=1, centre=0.0):
    displacement = Amplitudes(centre, torch.full((MASKED + 1,), noise))
    generator = torch.Generator().manual_seed(seed)
    return view(batch, MASKED, displacement, ViewSettings(drop, mask), generator)


def test_nothing_asked_nothing_changed(batch):
    same = draw(batch)
    assert torch.equal(same.tokens, batch.tokens)
    assert torch.equal(same.vectors, batch.vectors)


def test_noise_has_the_amplitude_asked_for_and_spares_empty_places(batch):
    moved = draw(batch, noise=0.2).vectors - batch.vectors
    present = batch.tokens != ABSENT
    assert float(moved[present].std()) == pytest.approx(0.2, rel=0.05)
    assert not moved[~present].any()


def test_each_element_moves_by_its_own_amplitude_and_the_ion_by_its_own(batch):
    displacement = amplitudes(0.3, {3: 0.1, 16: 0.2, 17: 0.05}, (3, 15, 16, 17), fraction=0.5)
    assert displacement.centre == pytest.approx(0.15)
    assert displacement.neighbours.tolist() == pytest.approx([0.0, 0.05, 0.0, 0.1, 0.025, 0.0])
    still = Amplitudes(0.0, displacement.neighbours)
    moved = view(batch, MASKED, still, ViewSettings(0.0, 0.0), torch.Generator().manual_seed(1)).vectors
    for token, expected in ((1, 0.05), (2, 0.0), (3, 0.1)):
        found = float((moved - batch.vectors)[batch.tokens == token].std())
        assert found == pytest.approx(expected, rel=0.1, abs=1e-6)
    # When the ion moves, all its neighbours move alike.
    together = (draw(batch, centre=0.2).vectors - batch.vectors)[:, :9]
    assert float((together - together[:, :1]).abs().max()) < 1e-6
    assert float(together.std()) == pytest.approx(0.2, rel=0.1)


def test_neighbours_are_dropped_as_often_as_asked(batch):
    present = batch.tokens != ABSENT
    left = draw(batch, drop=0.3)
    share = float((left.tokens[present] == ABSENT).float().mean())
    assert share == pytest.approx(0.3, abs=0.03)
    assert not left.vectors[left.tokens == ABSENT].any()


def test_an_environment_is_never_emptied(batch):
    assert (draw(batch, drop=0.9).tokens != ABSENT).any(dim=1).all()


def test_elements_are_hidden_as_often_as_asked(batch):
    present = batch.tokens != ABSENT
    hidden = draw(batch, mask=0.25).tokens
    assert float((hidden[present] == MASKED).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert not (hidden[~present] == MASKED).any()


def test_same_seed_same_view(batch):
    first, again, other = (draw(batch, 0.1, 0.1, 0.1, seed) for seed in (3, 3, 4))
    assert torch.equal(first.vectors, again.vectors)
    assert not torch.equal(first.vectors, other.vectors)


def test_the_input_is_left_alone(batch):
    tokens, vectors = batch.tokens.clone(), batch.vectors.clone()
    draw(batch, 0.3, 0.5, 0.5)
    assert torch.equal(tokens, batch.tokens)
    assert torch.equal(vectors, batch.vectors)
