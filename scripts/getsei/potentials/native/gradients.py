"""Energy, forces and stress of a MACE model of the scalar class, differentiable by its weights.

Training on forces differentiates a derivative. mace-torch does so by reverse over reverse, with a radial
network evaluated on every edge. Two identities make it several times cheaper:

- Radial functions depend on the distance alone. The network is evaluated at a few hundred knots, and edges
  interpolate between them (Hermite's cubics, as the compiled evaluator does), which is linear in its values.
- With g_e = dE/dx_e of every edge vector x_e and a loss S(E, g), the gradient by the weights w is

      dS/dw = (dS/dE) dE/dw + d/dw (d/dt) E(x + t v)  at t = 0,   v_e = dS/dg_e,

  a directional derivative (B. A. Pearlmutter, Neural Comput. 6 (1994) 147): one more forward pass that
  carries rates along and one ordinary backward pass take the place of the second derivative.

Sums over edges are compiled (gradients.cpp); what happens on atoms and on weights is torch, which
differentiates it. The equations of the class are in `export`; maps act on rows, so that values (S = 1) and
their rates (S = 2) pass through them together.
"""

import ctypes
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from getsei.potentials.models import torch
from getsei.potentials.native import build, export
from getsei.potentials.native.reading import Layer, Reader, Weights

log = logging.getLogger("getsei")

TOLERANCE = 1e-3
"""Largest difference of forces from mace-torch, relative to the largest force, with which training begins."""
LEAST_SCALE_eV_per_A = 0.1
"""Smaller forces than this count as this large in that comparison: isolated atoms have none."""

_INT, _REAL, _POINTER = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


class _Graph(ctypes.Structure):
    """Mirror of `Graph` in gradients.cpp."""

    _fields_ = (
        ("atoms", _INT),
        ("intervals", _INT),
        ("cutoff", _REAL),
        ("bend", _REAL),
        *((name, _POINTER) for name in ("first", "sender", "vectors", "rates", "table", "u", "du")),
    )


@dataclass(frozen=True)
class Graphs:
    """A batch of N atoms of E elements in G graphs, atoms sorted by element, edges by receiver.

    Attributes
    ----------
    first : (N + 1,) int64
        Where the edges of each atom begin.
    sender : (edges,) int32
    spans : tuple of (int, slice)
        The elements that occur and their atoms.
    element, graph : (N,) int64
        Element and graph of each atom.
    graphs : int
        G.
    """

    first: torch.Tensor
    sender: torch.Tensor
    spans: tuple[tuple[int, slice], ...]
    element: torch.Tensor
    graph: torch.Tensor
    graphs: int


@dataclass(frozen=True)
class _Edges:
    """What the compiled sums need to know of a batch, and the model's library."""

    reader: Reader
    graphs: Graphs
    vectors: torch.Tensor
    rates: torch.Tensor | None = None

    def graph(self, table: torch.Tensor, u: torch.Tensor, du: torch.Tensor | None = None) -> Any:
        """Return the argument of the library; the tensors must outlive it."""
        pointer = {
            "first": self.graphs.first,
            "sender": self.graphs.sender,
            "vectors": self.vectors,
            "rates": self.rates,
            "table": table,
            "u": u,
            "du": du,
        }
        return ctypes.byref(
            _Graph(
                atoms=u.shape[0],
                intervals=table.shape[0] - 1,
                cutoff=self.reader.cutoff_A,
                bend=export.BEND_A,
                **{name: None if x is None else x.data_ptr() for name, x in pointer.items()},
            )
        )

    def messages(self, u: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """Return messages (1, N, (lmax + 1)^2, K) of sources (1, N, K); or both with rates, (2, ...)."""
        out = u.new_empty(*u.shape[:-1], (self.reader.lmax + 1) ** 2, u.shape[-1])
        library = self.reader.library
        (library.messages if len(u) == 1 else library.moving_messages)(
            self.graph(table, *u), *map(_pointer, out)
        )
        return out


def _pointer(tensor: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


class _Messages(torch.autograd.Function):
    """Messages (1, N, (lmax + 1)^2, K) of sources (1, N, K); differentiable by vectors and sources."""

    @staticmethod
    def forward(ctx: Any, vectors: torch.Tensor, u: torch.Tensor, table: torch.Tensor, edges: _Edges):
        u, table = u.contiguous(), table.contiguous()
        ctx.save_for_backward(u, table)
        ctx.edges = edges
        return edges.messages(u, table)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor):
        u, table = ctx.saved_tensors
        gradient = gradient.contiguous()
        forces, by_source = torch.empty_like(ctx.edges.vectors), torch.zeros_like(u)
        ctx.edges.reader.library.edge_forces(
            ctx.edges.graph(table, u[0]), _pointer(gradient), _pointer(forces), _pointer(by_source)
        )
        return forces, by_source, None, None


class _MovingMessages(torch.autograd.Function):
    """Messages and their rates (2, N, (lmax + 1)^2, K); differentiable by sources (2, N, K) and table."""

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor, table: torch.Tensor, edges: _Edges):
        u, table = u.contiguous(), table.contiguous()
        ctx.save_for_backward(u, table)
        ctx.edges = edges
        return edges.messages(u, table)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor):
        u, table = ctx.saved_tensors
        gradient = gradient.contiguous()
        by_source, by_table = torch.zeros_like(u), torch.zeros_like(table)
        ctx.edges.reader.library.weight_gradients(
            ctx.edges.graph(table, u[0], u[1]),
            *map(_pointer, (gradient[0], gradient[1], by_table, by_source[0], by_source[1])),
        )
        return by_source, by_table, None


def _mapped(rows: torch.Tensor, maps: torch.Tensor, graphs: Graphs) -> torch.Tensor:
    """Return rows (S, N, ..., K) times the maps (E or 1, K, K) of their elements."""
    if len(maps) == 1:
        return rows @ maps[0]
    return torch.cat([rows[:, atoms] @ maps[element] for element, atoms in graphs.spans], dim=1)


def _on_atoms(layer: Layer, graphs: Graphs, messages: torch.Tensor, features: torch.Tensor | None):
    """Return the features (S, N, K) after a layer, from its messages and the features before it."""
    # The rate of a square is twice a product.
    factor = messages.new_tensor([1.0, 2.0])[: len(messages), None, None]
    linear = layer.linear.index_select(0, graphs.element)
    quadratic = layer.quadratic.index_select(0, graphs.element)
    total = torch.zeros_like(messages[:, :, 0])
    for degree in range(layer.mix.shape[1]):
        mixed = _mapped(messages[:, :, degree**2 : (degree + 1) ** 2], layer.mix[:, degree], graphs)
        if degree == 0:
            total = total + mixed[:, :, 0] * linear
        total = total + (mixed[:1] * mixed).sum(dim=2) * (factor * quadratic[:, degree])
    out = total @ layer.update
    return out if features is None or layer.skip is None else out + _mapped(features, layer.skip, graphs)


def _values_first(values: torch.Tensor, count: int) -> torch.Tensor:
    """Return values (N, K) with rates of zero, (count, N, K)."""
    return torch.cat([values[None], values.new_zeros(count - 1, *values.shape)])


def _energies(edges: _Edges, weights: Weights) -> torch.Tensor:
    """Return the energy of every graph in eV, (1, G), and its rate if the edges have rates, (2, G).

    Isolated atoms and pair repulsion are left out. Differentiable by the vectors of edges without rates, and
    by the weights with them.
    """
    graphs, count = edges.graphs, 1 if edges.rates is None else 2
    features, energy = None, 0.0
    for layer in weights.layers:
        sources = _values_first(layer.up[graphs.element], count) if features is None else features @ layer.up
        if count == 1:
            messages = _Messages.apply(edges.vectors, sources, layer.table, edges)
        else:
            messages = _MovingMessages.apply(sources, layer.table, edges)
        fresh = _on_atoms(layer, graphs, messages, features)
        if features is None and layer.skip is not None:
            fresh = fresh + _values_first(layer.skip[graphs.element], count)
        features = fresh
        if layer.readout is not None:
            energy = energy + features @ layer.readout
    hidden = features @ weights.mlp_in
    sigmoid = torch.sigmoid(hidden[:1])
    slope = sigmoid * (1 + hidden[:1] * (1 - sigmoid))
    activated = torch.cat([hidden[:1] * sigmoid, slope * hidden[1:]])
    energy = energy + activated @ weights.mlp_out
    return energy.new_zeros(count, graphs.graphs).index_add(1, graphs.graph, energy)


class _EnergyAndSlopes(torch.autograd.Function):
    """Energy of every graph and its derivative by every edge vector; differentiable by the weights."""

    @staticmethod
    def forward(
        ctx: Any, reader: Reader, graphs: Graphs, vectors: torch.Tensor, like: Weights, *tensors: Any
    ):
        ctx.reader, ctx.graphs, ctx.like = reader, graphs, like
        ctx.save_for_backward(vectors, *tensors)
        with torch.enable_grad():
            leaf = vectors.detach().requires_grad_()
            weights = like.like([x.detach() for x in tensors])
            energy = _energies(_Edges(reader, graphs, leaf), weights)[0]
            (slopes,) = torch.autograd.grad(energy.sum(), leaf)
        return energy.detach(), slopes

    @staticmethod
    def backward(ctx: Any, by_energy: torch.Tensor, by_slopes: torch.Tensor):
        vectors, *tensors = ctx.saved_tensors
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_() for x in tensors]
            edges = _Edges(ctx.reader, ctx.graphs, vectors, by_slopes.contiguous())
            energy, rate = _energies(edges, ctx.like.like(leaves))
            found = torch.autograd.grad((by_energy * energy).sum() + rate.sum(), leaves)
        return None, None, None, None, *found


def _repulsion(module: torch.nn.Module, batch: Mapping[str, torch.Tensor], vectors: torch.Tensor):
    """Return the pair repulsion of every graph in eV over the model's scale, and its slopes."""
    slopes = torch.zeros_like(vectors)
    energy = vectors.new_zeros(len(batch["ptr"]) - 1)
    if not hasattr(module, "pair_repulsion"):
        return energy, slopes
    numbers = module.atomic_numbers[batch["node_attrs"].argmax(dim=1)]
    radii = module.pair_repulsion_fn.covalent_radii[numbers]
    reach = radii[batch["edge_index"]].sum(dim=0)
    close = torch.nonzero(torch.linalg.vector_norm(vectors, dim=1) < reach)[:, 0]
    with torch.enable_grad():
        leaf = vectors[close].detach().requires_grad_()
        lengths = torch.linalg.vector_norm(leaf, dim=1, keepdim=True)
        pairs = batch["edge_index"][:, close]
        per_atom = module.pair_repulsion_fn(lengths, batch["node_attrs"], pairs, module.atomic_numbers)
        energy = energy.index_add(0, batch["batch"], per_atom)
        if len(close):
            slopes[close] = torch.autograd.grad(energy.sum(), leaf)[0]
    return energy.detach(), slopes


def _graphs(batch: Mapping[str, torch.Tensor]) -> tuple[Graphs, torch.Tensor]:
    """Return a mace-torch batch in the order that the sums need, and the order of its edges."""
    element = batch["node_attrs"].argmax(dim=1)
    atoms = torch.argsort(element, stable=True)
    place = torch.empty_like(atoms)
    place[atoms] = torch.arange(len(atoms))
    sender, receiver = place[batch["edge_index"]]
    edges = torch.argsort(receiver, stable=True)
    count = torch.bincount(receiver, minlength=len(atoms))
    first = torch.cat([count.new_zeros(1), count.cumsum(0)])
    kinds, counts = torch.unique_consecutive(element[atoms], return_counts=True)
    ends = counts.cumsum(0).tolist()
    spans = tuple(
        (kind, slice(end - many, end))
        for kind, end, many in zip(kinds.tolist(), ends, counts.tolist(), strict=True)
    )
    graphs = Graphs(
        first=first,
        sender=sender[edges].to(torch.int32),
        spans=spans,
        element=element[atoms],
        graph=batch["batch"][atoms],
        graphs=len(batch["ptr"]) - 1,
    )
    return graphs, edges


def evaluate(reader: Reader, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return what mace-torch's model answers to a batch of its data loader, as far as a loss looks at it.

    Parameters
    ----------
    reader : Reader
    batch : mapping
        ``positions`` (N, 3) and ``shifts`` (edges, 3) in Å, ``edge_index`` (2, edges), ``node_attrs`` (N, E),
        ``cell`` (3 G, 3), ``batch`` (N,), ``ptr`` (G + 1,).

    Returns
    -------
    dict
        ``energy`` (G,) in eV, ``forces`` (N, 3) in eV/Å, ``virials`` and ``stress`` (G, 3, 3) in eV and
        eV/Å3, with mace-torch's signs; all differentiable by the parameters of the model.
    """
    module = reader.module
    graphs, order = _graphs(batch)
    sender, receiver = batch["edge_index"]
    positions = batch["positions"].detach()
    vectors = (positions[receiver] - positions[sender] + batch["shifts"].detach()).contiguous()
    weights = reader()
    energy, sorted_slopes = _EnergyAndSlopes.apply(
        reader, graphs, vectors[order].contiguous(), weights, *weights.tensors()
    )
    slopes = torch.empty_like(vectors).index_copy(0, order, sorted_slopes)
    pair_energy, pair_slopes = _repulsion(module, batch, vectors)
    slopes = slopes + reader.scale * pair_slopes
    isolated = energy.new_zeros(graphs.graphs).index_add(0, graphs.graph, reader.atom_energy[graphs.element])
    forces = torch.zeros_like(positions).index_add(0, receiver, -slopes).index_add(0, sender, slopes)
    work = vectors[:, :, None] * slopes[:, None, :]
    strain = energy.new_zeros(graphs.graphs, 3, 3).index_add(0, batch["batch"][receiver], work)
    strain = 0.5 * (strain + strain.transpose(1, 2))
    volume = torch.linalg.det(batch["cell"].view(-1, 3, 3)).abs()[:, None, None]
    stress = strain / volume
    return {
        "energy": energy + reader.scale * pair_energy + isolated,
        "forces": forces,
        "virials": -strain,
        "stress": torch.where(stress.abs() < 1e10, stress, torch.zeros_like(stress)),
    }


class Accelerated:
    """A model in training as mace-torch's loops call it, evaluated by `evaluate` where that is possible.

    The first batch is evaluated by mace-torch as well; where forces differ, or the model, its device or this
    machine do not allow it, all batches are, and the log says why.

    Parameters
    ----------
    module : torch.nn.Module
    """

    def __init__(self, module: torch.nn.Module):
        self.module = module
        self._reader: Reader | None = None
        try:
            if next(module.parameters()).device.type != "cpu":
                raise export.UnsupportedModelError("it trains on a GPU")
            self._reader = Reader(module)
        except (export.UnsupportedModelError, build.BuildError) as error:
            log.info("mace-torch differentiates the model itself: %s", error)
        self._compared = False

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Return the parameters of the model."""
        return self.module.parameters()

    def __call__(self, batch: Mapping[str, torch.Tensor], **options: Any) -> dict[str, torch.Tensor]:
        """Return what mace-torch's model returns."""
        if self._reader is None or not options.get("compute_force", True):
            return self.module(batch, **options)
        found = evaluate(self._reader, batch)
        if not self._compared:
            self._compared = True
            known = self.module(dict(batch), **options)
            scale = known["forces"].abs().max().clamp_min(LEAST_SCALE_eV_per_A)
            difference = ((known["forces"] - found["forces"]).abs().max() / scale).item()
            if not difference < TOLERANCE:
                log.warning("forces differ by %.1e of the largest: mace-torch differentiates", difference)
                self._reader = None
                return known
            log.info("compiled gradients: forces differ by %.1e of the largest", difference)
        return found
