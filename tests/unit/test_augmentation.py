import pytest
import torch
from getsei.contrastive.augmentation import ViewSettings, view
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


def draw(batch, noise=0.0, drop=0.0, mask=0.0, seed=1):
    return view(batch, MASKED, ViewSettings(noise, drop, mask), torch.Generator().manual_seed(seed))


def test_nothing_asked_nothing_changed(batch):
    same = draw(batch)
    assert torch.equal(same.tokens, batch.tokens)
    assert torch.equal(same.vectors, batch.vectors)


def test_noise_has_the_amplitude_asked_for_and_spares_empty_places(batch):
    moved = draw(batch, noise=0.2).vectors - batch.vectors
    present = batch.tokens != ABSENT
    assert float(moved[present].std()) == pytest.approx(0.2, rel=0.05)
    assert not moved[~present].any()


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
