"""Views: random changes of an environment that leave its nature alone."""

from dataclasses import dataclass

import torch

from getsei.contrastive.encoder import ABSENT, Batch


@dataclass(frozen=True)
class ViewSettings:
    """How strongly a view is changed.

    Attributes
    ----------
    noise_A : float
        Standard deviation of each coordinate's displacement in Å; thermal amplitudes are 0.1-0.3 Å.
    drop_probability : float
        Probability that a neighbour is left out. Coordination is what one wants to learn: keep it low.
    mask_probability : float
        Probability that the element of a neighbour is hidden.
    """

    noise_A: float
    drop_probability: float
    mask_probability: float


def view(batch: Batch, masked: int, settings: ViewSettings, generator: torch.Generator) -> Batch:
    """Return a random view of each environment.

    Atoms are displaced, not distances: all distances and angles of a view belong to one possible geometry.

    Parameters
    ----------
    batch : Batch
        Environments.
    masked : int
        Token of a hidden element.
    settings : ViewSettings
        Strength of the changes.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    Batch
        The views; the input is left as it was.
    """
    noise = torch.randn(batch.vectors.shape, generator=generator)
    present = batch.tokens != ABSENT
    vectors = batch.vectors + settings.noise_A * noise * present[..., None]
    hidden = torch.rand(batch.tokens.shape, generator=generator) < settings.mask_probability
    dropped = torch.rand(batch.tokens.shape, generator=generator) < settings.drop_probability
    # An environment that would lose everything keeps what it has: an empty one says nothing.
    dropped &= (present & ~dropped).any(dim=1, keepdim=True)
    tokens = torch.where(hidden & present, masked, batch.tokens)
    tokens = torch.where(dropped, ABSENT, tokens)
    return Batch(tokens, torch.where((tokens == ABSENT)[..., None], 0.0, vectors))
