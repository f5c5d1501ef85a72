"""Message passing between all neighbours of an ion (torch_geometric)."""

import warnings

import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    # torch_geometric scripts its helpers when it is imported, which torch deprecates.
    warnings.simplefilter("ignore")
    from torch_geometric.nn import MessagePassing

from getsei.contrastive.encoder import (
    ABSENT,
    N_HIDDEN,
    Batch,
    EncoderSettings,
    envelope,
    radial_basis,
)

EDGE_CUTOFF_A = 4.0
"""Neighbours of the ion are joined when closer than this; holds the first shells of solids."""

N_FEATURES = 48
N_LAYERS = 2
N_RADIAL_GRAPH = 12
TYPICAL_NEIGHBOURS = 20.0
"""Scale of the sum over neighbours, so that it enters the head with values near one."""


class ContinuousFilter(MessagePassing):
    """Convolution whose filter is a learned function of distance.

    SchNet (K. T. Schütt et al., J. Chem. Phys. 148 (2018) 241722). Messages are weighted so that a node or
    an edge that leaves its cutoff fades out.
    """

    def __init__(self) -> None:
        super().__init__(aggr="add")
        self.filter = nn.Sequential(
            nn.Linear(N_RADIAL_GRAPH, N_FEATURES), nn.SiLU(), nn.Linear(N_FEATURES, N_FEATURES)
        )
        self.inward = nn.Linear(N_FEATURES, N_FEATURES, bias=False)
        self.outward = nn.Sequential(
            nn.Linear(N_FEATURES, N_FEATURES), nn.SiLU(), nn.Linear(N_FEATURES, N_FEATURES)
        )

    def forward(self, x: Tensor, edge_index: Tensor, radial: Tensor, weight: Tensor) -> Tensor:
        """Return updated (n_nodes, features) from edges (2, n_edges), their basis and their weights."""
        kernel = self.filter(radial) * weight[:, None]
        return x + self.outward(self.propagate(edge_index, x=self.inward(x), kernel=kernel))

    def message(self, x_j: Tensor, kernel: Tensor) -> Tensor:
        """Return the message along each edge."""
        return x_j * kernel


class GraphEncoder(nn.Module):
    """Encodes the graph of an ion, its neighbours, and the edges among them.

    Parameters
    ----------
    settings : EncoderSettings
        Elements, cutoff and dimensions.

    Attributes
    ----------
    block : int
        Environments to embed at once; more fall out of the processor's cache.
    """

    block = 128

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        # One token more than the neighbours need: the ion in the centre.
        self.embed = nn.Embedding(settings.n_tokens + 1, N_FEATURES)
        self.layers = nn.ModuleList(ContinuousFilter() for _ in range(N_LAYERS))
        self.head = nn.Sequential(
            nn.LayerNorm(2 * N_FEATURES),
            nn.Linear(2 * N_FEATURES, N_HIDDEN),
            nn.SiLU(),
            nn.Linear(N_HIDDEN, settings.dimensions),
        )

    def forward(self, batch: Batch) -> Tensor:
        """Return (n, dimensions) invariant vectors."""
        n, width = batch.tokens.shape
        tokens = torch.cat([torch.full((n, 1), self.settings.n_tokens), batch.tokens], dim=1)
        points = torch.cat([torch.zeros(n, 1, 3, dtype=batch.vectors.dtype), batch.vectors], dim=1)
        fade = envelope(points.norm(dim=-1), self.settings.cutoff_A) * (tokens != ABSENT)
        edge_index, radial, weight = self._edges(tokens, points, fade)
        features = self.embed(tokens.reshape(-1))
        for layer in self.layers:
            features = layer(features, edge_index, radial, weight)
        features = features.reshape(n, width + 1, N_FEATURES)
        around = (features[:, 1:] * fade[:, 1:, None]).sum(1) / TYPICAL_NEIGHBOURS**0.5
        return self.head(torch.cat([features[:, 0], around], dim=-1))

    @torch.no_grad()  # nothing is learned before this
    def _edges(self, tokens: Tensor, points: Tensor, fade: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Join the centre with all its neighbours, and neighbours with one another when close."""
        size = tokens.shape[1]
        distances = (points[:, :, None, :] - points[:, None, :, :]).norm(dim=-1)
        reach = torch.full((size, size), EDGE_CUTOFF_A)
        reach[0, :] = reach[:, 0] = self.settings.cutoff_A
        real = tokens != ABSENT
        joined = real[:, :, None] & real[:, None, :] & (distances < reach)
        joined &= ~torch.eye(size, dtype=torch.bool)
        graph, source, target = torch.nonzero(joined, as_tuple=True)
        length, limit = distances[graph, source, target], reach[source, target]
        weight = envelope(length / limit, 1.0) * fade[graph, source]
        edge_index = torch.stack([graph * size + source, graph * size + target])
        return edge_index, radial_basis(length, self.settings.cutoff_A, N_RADIAL_GRAPH), weight
