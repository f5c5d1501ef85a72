"""Contrastive losses of two sets of projected views, row by row of the same environment.

A batch comes in rounds in which every ion occurs once at most.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

BARLOW_OFF_DIAGONAL = 0.005
VICREG_WEIGHTS = (25.0, 25.0, 1.0)
EPSILON = 1e-4


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the normalised temperature-scaled cross entropy.

    T. Chen, S. Kornblith, M. Norouzi, G. Hinton, ICML 2020 (arXiv:2002.05709), eq. 1, within each round.

    Parameters
    ----------
    first, second : (rounds, n, d) tensors
        Projected views; views of different rounds are not compared.
    temperature : float
        Sharpness of the similarity.

    Returns
    -------
    scalar tensor
        Mean over all views.
    """
    rounds, n, _ = first.shape
    views = functional.normalize(torch.cat([first, second], dim=1), dim=-1)
    similarity = views @ views.transpose(1, 2) / temperature
    similarity = similarity.masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    positive = ((torch.arange(2 * n) + n) % (2 * n)).repeat(rounds)
    return functional.cross_entropy(similarity.flatten(0, 1), positive)


def nt_xent_chance(n: int) -> float:
    """Return the loss of an encoder that tells nothing apart, with n pairs per round."""
    return math.log(2 * n - 1)


def barlow(first: Tensor, second: Tensor) -> Tensor:
    """Return the redundancy-reduction loss.

    J. Zbontar et al., ICML 2021 (arXiv:2103.03230), eq. 1: the cross-correlation matrix of the two views
    over the batch shall be the identity.
    """
    n, d = first.shape
    correlation = _standardised(first).T @ _standardised(second) / n
    on = (correlation.diagonal() - 1.0).square().sum()
    off = correlation.square().sum() - correlation.diagonal().square().sum()
    return (on + BARLOW_OFF_DIAGONAL * off) / d


def vicreg(first: Tensor, second: Tensor) -> Tensor:
    """Return the variance-invariance-covariance loss.

    A. Bardes, J. Ponce, Y. LeCun, ICLR 2022 (arXiv:2105.04906), eqs. 1-6.
    """
    invariance, variance, covariance = VICREG_WEIGHTS
    sides = (first, second)
    spread = sum(functional.relu(1.0 - torch.sqrt(side.var(0) + EPSILON)).mean() for side in sides)
    mixed = sum(_off_diagonal_covariance(side) for side in sides)
    return invariance * functional.mse_loss(first, second) + variance * spread + covariance * mixed


def _standardised(values: Tensor) -> Tensor:
    return (values - values.mean(0)) / torch.sqrt(values.var(0, unbiased=False) + EPSILON)


def _off_diagonal_covariance(values: Tensor) -> Tensor:
    n, d = values.shape
    centred = values - values.mean(0)
    covariance = centred.T @ centred / (n - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / d


def chance(loss: str, n: int) -> float:
    """Return the loss without any learning, with n pairs per round, where that is known; NaN otherwise."""
    return nt_xent_chance(n) if loss == "nt_xent" else math.nan


def evaluate(loss: str, first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the loss called ``nt_xent``, ``barlow`` or ``vicreg`` of (rounds, n, d) projected views."""
    if loss == "nt_xent":
        return nt_xent(first, second, temperature)
    return {"barlow": barlow, "vicreg": vicreg}[loss](first.flatten(0, 1), second.flatten(0, 1))
