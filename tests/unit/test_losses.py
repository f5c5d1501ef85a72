import math

import pytest
import torch
from getsei.contrastive import losses

N = 8


def random_views(n=8, d=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator), torch.randn(n, d, generator=generator)


def one_round(*views):
    return tuple(view[None] for view in views)


def test_nt_xent_equals_its_formula():
    first, second = random_views()
    z = torch.cat([first, second])
    z = z / z.norm(dim=1, keepdim=True)
    similarity = torch.exp(z @ z.T / 0.3)
    total = 0.0
    for i in range(16):
        j = (i + 8) % 16
        denominator = sum(float(similarity[i, k]) for k in range(16) if k != i)
        total -= math.log(float(similarity[i, j]) / denominator)
    assert float(losses.nt_xent(*one_round(first, second), 0.3)) == pytest.approx(total / 16, rel=1e-5)


def test_nt_xent_of_a_collapsed_encoder_is_chance():
    same = torch.ones(8, 5)
    assert float(losses.nt_xent(*one_round(same, same), 0.3)) == pytest.approx(math.log(15), rel=1e-6)
    assert losses.nt_xent_chance(N) == pytest.approx(math.log(15))


def test_views_of_other_rounds_are_no_negatives():
    first, second = random_views()
    rounds = [torch.stack([first[:4], first[4:]]), torch.stack([second[:4], second[4:]])]
    apart = [
        float(losses.nt_xent(*one_round(first[rows], second[rows]), 0.3)) for rows in (slice(4), slice(4, 8))
    ]
    assert float(losses.nt_xent(*rounds, 0.3)) == pytest.approx(sum(apart) / 2, rel=1e-6)
    # The second round is made equal to the first: as a negative it would raise the loss a lot.
    doubled = [side[:1].repeat(2, 1, 1) for side in rounds]
    assert float(losses.nt_xent(*doubled, 0.3)) == pytest.approx(apart[0], rel=1e-6)


def test_barlow_vanishes_for_equal_uncorrelated_views():
    views = torch.linalg.qr(random_views(64, 4)[0] - random_views(64, 4)[0].mean(0)).Q
    views = views - views.mean(0)
    views = torch.linalg.qr(views).Q * 8.0
    low = float(losses.barlow(views, views))
    assert low < 1e-3
    assert float(losses.barlow(views, views.roll(1, 0))) > low + 0.5
    redundant = views[:, :1].expand(-1, 4)
    assert float(losses.barlow(redundant, redundant)) > low + 0.9 * losses.BARLOW_OFF_DIAGONAL * 3


def test_vicreg_punishes_collapse_redundancy_and_distance():
    views = random_views(512, 4)[0] * 2.0
    collapsed = torch.zeros(512, 4)
    invariance, variance, _ = losses.VICREG_WEIGHTS
    expected = variance * 2.0 * (1.0 - math.sqrt(losses.EPSILON))
    assert float(losses.vicreg(collapsed, collapsed)) == pytest.approx(expected, rel=1e-5)
    good = float(losses.vicreg(views, views))
    redundant = views[:, :1].expand(-1, 4)
    assert good < float(losses.vicreg(redundant, redundant))
    shifted = float(losses.vicreg(views, views + 1.0))
    assert shifted == pytest.approx(good + invariance, rel=1e-3)


@pytest.mark.parametrize("name", ["nt_xent", "barlow", "vicreg"])
def test_losses_can_be_minimised(name):
    first, second = one_round(*random_views())
    first.requires_grad_(True)
    value = losses.evaluate(name, first, second, 0.5)
    value.backward()
    stepped = first.detach() - 0.01 * first.grad / first.grad.norm()
    assert float(losses.evaluate(name, stepped, second, 0.5)) < float(value.detach())


def test_chance_is_only_known_for_nt_xent():
    assert losses.chance("nt_xent", N) == pytest.approx(math.log(15))
    assert math.isnan(losses.chance("barlow", N))
