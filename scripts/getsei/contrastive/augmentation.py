"""Views: random changes of an environment that leave its nature alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from getsei.contrastive.encoder import ABSENT, Batch


@dataclass(frozen=True)
class ViewSettings:
    """How strongly a view is changed, beside the displacement of its atoms.

    Attributes
    ----------
    drop_probability : float
        Probability that a neighbour is left out. Coordination is what one wants to learn: keep it low.
    mask_probability : float
        Probability that the element of a neighbour is hidden.
    """

    drop_probability: float
    mask_probability: float


class Amplitudes(NamedTuple):
    """Standard deviation of each coordinate's displacement in Å.

    Attributes
    ----------
    centre : float
        Of the ion, which moves all its neighbours alike.
    neighbours : (n_tokens,) tensor
        Of a neighbour, by token.
    """

    centre: float
    neighbours: Tensor


def amplitudes(
    centre_A: float, neighbours_A: Mapping[int, float], elements: Sequence[int], fraction: float
) -> Amplitudes:
    """Scale measured thermal amplitudes.

    Parameters
    ----------
    centre_A : float
        Thermal amplitude of the ions in Å.
    neighbours_A : mapping of int to float
        Thermal amplitude by atomic number; elements that are not there do not occur.
    elements : sequence of int
        Atomic numbers in the order of the tokens.
    fraction : float
        Displacement over thermal amplitude.
    """
    by_token = [0.0, *(neighbours_A.get(number, 0.0) for number in elements), 0.0]
    return Amplitudes(fraction * centre_A, fraction * torch.tensor(by_token))


def view(
    batch: Batch, masked: int, displacement: Amplitudes, settings: ViewSettings, generator: torch.Generator
) -> Batch:
    """Return a random view of each environment.

    Atoms are displaced, not distances: all distances and angles of a view belong to one possible geometry.

    Parameters
    ----------
    batch : Batch
        Environments.
    masked : int
        Token of a hidden element.
    displacement : Amplitudes
        How far the atoms move.
    settings : ViewSettings
        What else is changed.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    Batch
        The views; the input is left as it was.
    """
    present = batch.tokens != ABSENT
    noise = torch.randn(batch.vectors.shape, generator=generator)
    noise *= displacement.neighbours[batch.tokens][..., None]
    noise += displacement.centre * torch.randn((len(batch.tokens), 1, 3), generator=generator)
    vectors = batch.vectors + noise
    hidden = torch.rand(batch.tokens.shape, generator=generator) < settings.mask_probability
    dropped = torch.rand(batch.tokens.shape, generator=generator) < settings.drop_probability
    # An environment that would lose everything keeps what it has: an empty one says nothing.
    dropped &= (present & ~dropped).any(dim=1, keepdim=True)
    tokens = torch.where(hidden & present, masked, batch.tokens)
    tokens = torch.where(dropped, ABSENT, tokens)
    return Batch(tokens, torch.where((tokens == ABSENT)[..., None], 0.0, vectors))
