"""Pathways of a net flux: decomposition, bottlenecks, cuts, diversity.

The decomposition takes the widest path, subtracts it and repeats (Metzner et al. 2009). It depends on the
order in which ties and shared edges are used up, so shares of states, edges and cuts, which do not, are
given beside it.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

NEGLIGIBLE = 1e-13
"""Share of the total below which a flux is rounding."""


@dataclass(frozen=True)
class Decomposition:
    """A net flux as a sum of paths.

    Attributes
    ----------
    paths : tuple of tuples of int
        States from source to target, by falling flux.
    fluxes : (n_paths,) array
        Flux of each path, in the unit of the net flux.
    total : float
        Flux from source to target.
    circulation : float
        Flux that was removed from closed cycles, which carry nothing to the target.
    """

    paths: tuple[tuple[int, ...], ...]
    fluxes: np.ndarray
    total: float
    circulation: float

    @property
    def shares(self) -> np.ndarray:
        """Share of the total that each path carries."""
        return self.fluxes / self.total if self.total > 0 else np.zeros(len(self.fluxes))


def widest_path(capacity: list[list[float]], source: list[int], target: list[int]) -> tuple[int, ...]:
    """Return the path whose narrowest edge is widest; () if there is none.

    Dijkstra's search with widths in place of lengths. Of equally wide paths, the one with fewer edges,
    then the one through lower states.

    Parameters
    ----------
    capacity : (n, n) nested list of float
        Edges of zero are absent.
    source, target : lists of int
    """
    n = len(capacity)
    width, hops, before = [0.0] * n, [n + 1] * n, [-1] * n
    for state in source:
        width[state], hops[state] = float("inf"), 0
    open_states = list(range(n))
    ends = set(target)
    while open_states:
        here = max(open_states, key=lambda state: (width[state], -hops[state], -state))
        if width[here] == 0.0:
            return ()
        if here in ends:
            path = [here]
            while before[path[-1]] >= 0:
                path.append(before[path[-1]])
            return tuple(reversed(path))
        open_states.remove(here)
        row = capacity[here]
        for there in open_states:
            through = min(width[here], row[there])
            if through > width[there] or (through == width[there] > 0 and hops[here] + 1 < hops[there]):
                width[there], hops[there], before[there] = through, hops[here] + 1, here
    return ()


def without_cycles(net: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a flux without its closed cycles, and what was removed.

    Each cycle found is reduced by its smallest edge, which becomes exactly zero: at most as many rounds
    as edges.
    """
    flux = np.array(net, dtype=np.float64)
    removed = 0.0
    while cycle := _cycle(flux):
        edges = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        smallest = min(flux[edge] for edge in edges)
        removed += smallest
        for edge in edges:
            flux[edge] = 0.0 if flux[edge] == smallest else flux[edge] - smallest
    return flux, float(removed)


def _cycle(flux: np.ndarray) -> list[int]:
    """Return the states of one directed cycle, [] if there is none."""
    # What is left after peeling off states without way in or out holds every cycle.
    alive = np.ones(len(flux), dtype=bool)
    edges = flux > 0
    while True:
        used = edges & alive[:, None] & alive[None]
        kept = alive & used.any(axis=0) & used.any(axis=1)
        if (kept == alive).all():
            break
        alive = kept
    if not alive.any():
        return []
    walk = [int(np.flatnonzero(alive)[0])]
    while True:
        ahead = int(np.flatnonzero(used[walk[-1]])[0])
        if ahead in walk:
            return walk[walk.index(ahead) :]
        walk.append(ahead)


def decompose(net: np.ndarray, source: list[int], target: list[int], fraction: float = 1.0) -> Decomposition:
    """Split a net flux into paths until they carry a fraction of it. Always ends.

    Every path sets at least one edge to exactly zero, so there are at most as many paths as edges. A flux
    of zero has no paths.

    Parameters
    ----------
    net : (n, n) array
        Net flux, conserved between source and target.
    source, target : lists of int
    fraction : float
        Share of the flux at which to stop, up to 1.
    """
    flux, circulation = without_cycles(net)
    total = float(flux[list(source)].sum() - flux[:, list(source)].sum())
    floor = NEGLIGIBLE * max(total, 0.0)
    flux[flux <= floor] = 0.0
    capacity = flux.tolist()
    paths, fluxes, carried = [], [], 0.0
    while total > 0 and carried < fraction * total * (1.0 - NEGLIGIBLE):
        path = widest_path(capacity, source, target)
        if not path:
            break
        edges = list(pairwise(path))
        narrow = min(capacity[i][j] for i, j in edges)
        for i, j in edges:
            left = capacity[i][j] - narrow
            capacity[i][j] = left if left > floor else 0.0
        paths.append(path)
        fluxes.append(narrow)
        carried += narrow
    order = sorted(range(len(paths)), key=lambda rank: (-fluxes[rank], len(paths[rank]), paths[rank]))
    return Decomposition(
        paths=tuple(paths[rank] for rank in order),
        fluxes=np.array([fluxes[rank] for rank in order]),
        total=total,
        circulation=circulation,
    )


def weakest_edge(net: np.ndarray, path: tuple[int, ...]) -> tuple[int, int]:
    """Return the edge of a path that carries the smallest net flux; the earlier one of equals."""
    return min(pairwise(path), key=lambda edge: net[edge])


def effective_number(shares: np.ndarray) -> float:
    """Return exp(-sum w ln w): the number of equal shares with the same entropy; NaN without shares."""
    shares = np.asarray(shares, dtype=np.float64)
    used = shares[shares > 0]
    if not len(used):
        return np.nan
    used = used / used.sum()
    return float(np.exp(-(used * np.log(used)).sum()))


def participation(shares: np.ndarray) -> float:
    """Return 1 / sum w², which weighs the large shares more than the entropy does; NaN without shares."""
    shares = np.asarray(shares, dtype=np.float64)
    total = shares.sum()
    return float(total**2 / (shares**2).sum()) if total > 0 else np.nan


@dataclass(frozen=True)
class Cut:
    """A set of edges that separates source from target.

    Attributes
    ----------
    edges : tuple of (int, int)
        By falling capacity.
    shares : (n_edges,) array
        Share of the cut that each edge holds.
    capacity : float
        Sum over the edges.
    """

    edges: tuple[tuple[int, int], ...]
    shares: np.ndarray
    capacity: float


def _cut(capacity: np.ndarray, near: np.ndarray) -> Cut:
    edges = sorted(
        ((int(i), int(j)) for i in np.flatnonzero(near) for j in np.flatnonzero(~near) if capacity[i, j] > 0),
        key=lambda edge: (-capacity[edge], edge),
    )
    sizes = np.array([capacity[edge] for edge in edges])
    total = float(sizes.sum())
    return Cut(tuple(edges), sizes / total if total > 0 else sizes, total)


def committor_cuts(net: np.ndarray, committor: np.ndarray) -> list[Cut]:
    """Return the net flux through the cut at every level of the committor, from source to target.

    Independent of any decomposition: across each cut the edges carry at least the whole flux, and the
    share of the largest tells how few transitions transport depends on there.
    """
    levels = np.unique(np.round(committor, 12))
    return [_cut(net, committor < (low + high) / 2.0) for low, high in pairwise(levels)]


def narrowest_cut(cuts: list[Cut]) -> Cut:
    """Return the cut with the fewest effective edges; the earliest of equals."""
    return min(cuts, key=lambda cut: effective_number(cut.shares))


def minimum_cut(capacity: np.ndarray, source: list[int], target: list[int]) -> Cut:
    """Return the minimum cut of a network of capacities, by augmenting widest paths.

    Parameters
    ----------
    capacity : (n, n) array
        One-way exchange pi_i T_ij: what each edge could carry, whereas through net flux every committor
        cut carries the same. The diagonal is ignored.
    source, target : lists of int
    """
    left = np.array(capacity, dtype=np.float64)
    np.fill_diagonal(left, 0.0)
    floor = NEGLIGIBLE * left.sum()
    while path := widest_path(left.tolist(), source, target):
        edges = list(pairwise(path))
        narrow = min(left[edge] for edge in edges)
        for i, j in edges:
            left[i, j] = left[i, j] - narrow if left[i, j] - narrow > floor else 0.0
            left[j, i] += narrow
    near = np.zeros(len(left), dtype=bool)
    near[list(source)] = True
    while True:
        grown = near | (left[near] > 0).any(axis=0)
        if (grown == near).all():
            break
        near = grown
    clean = np.array(capacity, dtype=np.float64)
    np.fill_diagonal(clean, 0.0)
    return _cut(clean, near)
