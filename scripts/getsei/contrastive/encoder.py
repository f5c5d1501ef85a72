"""Encoders: environments to vectors that do not change under rotation, reflection or renumbering.

Two encoders share one interface. `MomentEncoder` sums products of density moments and is the default: it
sees angles like the graph encoder and costs a small part of it. `graph_encoder.GraphEncoder` passes
messages between neighbours. Both let a neighbour fade out smoothly at the cutoff.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from getsei.errors import UserError

ABSENT = 0
"""Token of an empty place."""

N_RADIAL = 8
N_CHANNELS = 32
N_HIDDEN = 128


@dataclass(frozen=True)
class EncoderSettings:
    """What is needed to build an encoder again.

    Attributes
    ----------
    kind : str
        ``moments`` or ``graph``.
    elements : tuple of int
        Atomic numbers that the encoder knows.
    cutoff_A : float
        Radius of an environment in Å.
    dimensions : int
        Length of the vectors it returns.
    """

    kind: str
    elements: tuple[int, ...]
    cutoff_A: float
    dimensions: int

    @property
    def masked(self) -> int:
        """Token of a neighbour whose element is hidden."""
        return len(self.elements) + 1

    @property
    def n_tokens(self) -> int:
        """Number of tokens: absent, the elements, masked."""
        return len(self.elements) + 2


class Batch(NamedTuple):
    """Environments as rectangular tensors.

    Attributes
    ----------
    tokens : (n, width) int64
        `ABSENT`, 1 + index of the element, or the token of a hidden element.
    vectors : (n, width, 3) float32
        Å, from the ion to its neighbour.
    """

    tokens: Tensor
    vectors: Tensor


class Tokeniser:
    """Turns atomic numbers into tokens.

    Parameters
    ----------
    elements : tuple of int
        Atomic numbers that the encoder knows.
    """

    def __init__(self, elements: tuple[int, ...]) -> None:
        self.elements = elements
        self.table = np.full(256, -1, dtype=np.int64)
        self.table[0] = ABSENT
        self.table[list(elements)] = 1 + np.arange(len(elements))

    def __call__(self, species: np.ndarray, vectors: np.ndarray) -> Batch:
        """Return a batch from (n, width) atomic numbers and (n, width, 3) vectors in Å.

        Raises
        ------
        UserError
            If an element is unknown to the encoder.
        """
        tokens = self.table[species]
        if (tokens < 0).any():
            strange = sorted({chemical_symbols[int(number)] for number in species[tokens < 0]})
            known = ", ".join(chemical_symbols[number] for number in self.elements)
            raise UserError(f"the encoder never saw {', '.join(strange)}; it knows {known}; train a new one")
        return Batch(torch.from_numpy(tokens), torch.from_numpy(np.ascontiguousarray(vectors)))


def envelope(distances: Tensor, cutoff: float) -> Tensor:
    """Return a weight that falls from 1 to 0 at the cutoff with zero slope: (1 + cos(pi r / rc)) / 2.

    J. Behler, M. Parrinello, Phys. Rev. Lett. 98 (2007) 146401.
    """
    return 0.5 * (1.0 + torch.cos(torch.pi * torch.clamp(distances / cutoff, max=1.0)))


def radial_basis(distances: Tensor, cutoff: float, number: int = N_RADIAL) -> Tensor:
    """Expand distances (Å) in `number` Gaussians evenly spaced between 1.2 Å and the cutoff."""
    first = min(1.2, 0.3 * cutoff)
    centres = torch.linspace(first, cutoff, number, dtype=distances.dtype)
    width = (cutoff - first) / (number - 1)
    return torch.exp(-0.5 * ((distances[..., None] - centres) / width) ** 2)


def angular_basis(vectors: Tensor, distances: Tensor) -> Tensor:
    """Return the real spherical harmonics of l = 0, 1, 2 of each direction, up to a factor per l.

    Returns
    -------
    (..., 9) tensor
        One component of l = 0, three of l = 1, five of l = 2; within one l all have the same norm, so that
        sums of squares over m are invariant.
    """
    x, y, z = (vectors / distances.clamp(min=1e-6)[..., None]).unbind(-1)
    root3 = 3.0**0.5
    return torch.stack(
        [
            torch.ones_like(x),
            x,
            y,
            z,
            root3 * x * y,
            root3 * y * z,
            root3 * z * x,
            0.5 * (3.0 * z * z - 1.0),
            0.5 * root3 * (x * x - y * y),
        ],
        dim=-1,
    )


class MomentEncoder(nn.Module):
    """Invariant products of the moments of the neighbour density.

    The density of each element, expanded in radial functions times spherical harmonics up to l = 2, is
    mixed linearly into channels; the channels are multiplied pairwise and summed over m. This is the
    atomic cluster expansion to third body order (R. Drautz, Phys. Rev. B 99 (2019) 014104) with learned
    weights; its products equal sums over pairs of neighbours, so angles are seen without listing pairs.

    Parameters
    ----------
    settings : EncoderSettings
        Elements, cutoff and dimensions.

    Attributes
    ----------
    block : int
        Environments to embed at once.
    """

    block = 512  # more falls out of the processor's cache

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        n_density = (settings.n_tokens - 1) * N_RADIAL
        self.mix = nn.ModuleList(nn.Linear(n_density, N_CHANNELS, bias=False) for _ in range(3))
        self.partner = nn.ModuleList(nn.Linear(N_CHANNELS, N_CHANNELS, bias=False) for _ in range(3))
        self.head = nn.Sequential(
            nn.LayerNorm(4 * N_CHANNELS),
            nn.Linear(4 * N_CHANNELS, N_HIDDEN),
            nn.SiLU(),
            nn.Linear(N_HIDDEN, settings.dimensions),
        )

    def forward(self, batch: Batch) -> Tensor:
        """Return (n, dimensions) invariant vectors."""
        moments = self.moments(batch)
        scalar = self.mix[0](moments[:, 0])
        vector = self.mix[1](moments[:, 1:4])
        tensor = self.mix[2](moments[:, 4:9])
        invariants = [
            scalar,
            scalar * self.partner[0](scalar),
            (vector * self.partner[1](vector)).sum(1),
            (tensor * self.partner[2](tensor)).sum(1),
        ]
        return self.head(torch.cat(invariants, dim=-1))

    @torch.no_grad()  # nothing is learned before the mixing
    def moments(self, batch: Batch) -> Tensor:
        """Return the (n, 9, n_elements * n_radial) moments of the neighbour densities."""
        cutoff, n_kinds = self.settings.cutoff_A, self.settings.n_tokens - 1
        distances = batch.vectors.norm(dim=-1)
        present = (batch.tokens != ABSENT).to(batch.vectors.dtype)
        weights = present * envelope(distances, cutoff)
        angular = angular_basis(batch.vectors, distances) * weights[..., None]
        radial = radial_basis(distances, cutoff)
        kinds = torch.arange(1, n_kinds + 1)
        density = (batch.tokens[..., None] == kinds).to(radial.dtype)[..., None] * radial[:, :, None, :]
        return torch.bmm(angular.transpose(1, 2), density.flatten(2))


def build(settings: EncoderSettings, seed: int) -> nn.Module:
    """Build an encoder with weights drawn from a seed.

    Parameters
    ----------
    settings : EncoderSettings
        Which encoder, for what.
    seed : int
        Seed of the weights.

    Returns
    -------
    torch.nn.Module
        Maps a `Batch` to (n, dimensions).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if settings.kind == "moments":
            return MomentEncoder(settings)
        if settings.kind == "graph":
            # Imported here: torch_geometric takes seconds to load and the default does not need it.
            from getsei.contrastive.graph_encoder import GraphEncoder

            return GraphEncoder(settings)
    raise UserError(f"gcl encoder: expected moments or graph, found {settings.kind!r}")
