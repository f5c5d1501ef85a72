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

import copy
import ctypes
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from getsei.potentials.models import torch
from getsei.potentials.native import build, export

log = logging.getLogger("getsei")

KNOTS_PER_A = 64.0
"""Of the radial tables at `export.CONTACT_A`; the cubics then err by less than single precision does."""
TOLERANCE = 1e-4
"""Largest difference of forces from mace-torch, relative to the largest force, with which training begins."""

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
class Layer:
    """Weights of one interaction; L = lmax + 1 degrees, K channels, E elements that share a map or 1.

    Attributes
    ----------
    table : (knots, 2, L, K)
        Radial functions and their slopes per interval between knots.
    up : (K, K) or (E, K)
        Sources of the messages: a map of the features, in the first layer those of the elements.
    skip : (E, K, K) or (E, K) or None
        Residual map, in the first layer the residual itself.
    mix : (E or 1, L, K, K)
    linear : (E, K)
    quadratic : (E, L, K)
    update : (K, K)
    readout : (K,) or None
        Linear readout in eV.
    """

    table: torch.Tensor
    up: torch.Tensor
    skip: torch.Tensor | None
    mix: torch.Tensor
    linear: torch.Tensor
    quadratic: torch.Tensor
    update: torch.Tensor
    readout: torch.Tensor | None


@dataclass(frozen=True)
class Weights:
    """All that training changes, as maps that are plain tensors; H hidden units of the readout.

    Attributes
    ----------
    layers : tuple of Layer
    mlp_in : (K, H)
    mlp_out : (H,)
        In eV.
    """

    layers: tuple[Layer, ...]
    mlp_in: torch.Tensor
    mlp_out: torch.Tensor

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor there is, in an order of its own."""
        return [x for layer in self.layers for x in vars(layer).values() if x is not None] + [
            self.mlp_in,
            self.mlp_out,
        ]

    def like(self, tensors: Sequence[torch.Tensor]) -> "Weights":
        """Return weights with `tensors` in place of those of `Weights.tensors`."""
        left = iter(tensors)
        layers = tuple(
            Layer(**{key: None if x is None else next(left) for key, x in vars(layer).items()})
            for layer in self.layers
        )
        return Weights(layers, next(left), next(left))


@dataclass(frozen=True)
class _Mold:
    """What does not change while one block trains.

    Attributes
    ----------
    tensor_product : (L, 1) tensor
        Factor of each degree in the product of sources with harmonics.
    mix : tuple of float
        Factors from stored weights to maps, by degree; of the element's map where the block has one.
    skip : float
        The same of the residual map.
    linear, quadratic : (paths,) and (L, paths) tensors
        Couplings to a scalar: from the stored weights to the coefficients of the polynomial.
    """

    tensor_product: torch.Tensor
    mix: tuple[float, ...]
    skip: float
    linear: torch.Tensor
    quadratic: torch.Tensor


def _views(linear: torch.nn.Module) -> list[torch.Tensor]:
    """Return the stored weights of an e3nn linear map or tensor product, by degree."""
    return [linear.weight_view_for_instruction(n) for n in range(len(linear.instructions))]


def _factor(found: NDArray[np.float64], stored: torch.Tensor) -> float:
    """Return the constant between a map and the stored weights that make it, read where they are largest."""
    weights = stored.numpy()
    largest = np.unravel_index(np.abs(weights).argmax(), weights.shape)
    return float(found[largest] / weights[largest])


def _mold(block: torch.nn.Module, product: torch.nn.Module, channels: int, lmax: int, elements: int) -> _Mold:
    """Measure the constants between the stored weights of a block and its maps, in double precision."""
    scale = torch.as_tensor(export.tensor_product_scale(block, channels, lmax))[:, None]
    maps = export.mixing_maps(block, channels, lmax, elements)
    if type(block).__name__ == export.PLAIN:
        pairs = zip(_views(block.linear), _views(block.skip_tp), strict=True)
        mix = [_factor(maps[:, n], torch.einsum("uv,vew->euw", a, b)) for n, (a, b) in enumerate(pairs)]
        skip = 0.0
    else:
        mix = [_factor(maps[0, n], view) for n, view in enumerate(_views(block.linear))]
        residual = export.residual_terms(block, torch.eye(channels, dtype=torch.float64), elements)
        skip = _factor(np.stack(residual), _views(block.skip_tp)[0].transpose(0, 1))
    contraction = product.symmetric_contractions.contractions[0]
    degrees = [n**2 for n in range(lmax + 1)]
    if contraction.correlation == 2:
        couplings = contraction.U_tensors(2)
        linear, quadratic = contraction.U_tensors(1)[0], couplings[degrees, degrees]
    else:
        linear, quadratic = contraction.U_tensors(1)[0], torch.zeros(lmax + 1, 0)
    return _Mold(scale, tuple(mix), skip, linear, quadratic)


class Reader:
    """Reads the maps of a model of the class from its parameters, so that gradients reach them.

    Parameters
    ----------
    module : torch.nn.Module
        A MACE model; it goes on training afterwards.

    Raises
    ------
    UnsupportedModelError
        If the model is outside the class of the compiled kernel, or its channels fill no SIMD vectors.
    BuildError
        If the library cannot be had on this machine.
    """

    def __init__(self, module: torch.nn.Module):
        self.channels, self.lmax = export.check_class(module)
        if self.channels % build.BLOCK:
            raise export.UnsupportedModelError(f"{self.channels} channels are no multiple of {build.BLOCK}")
        if hasattr(module.radial_embedding, "distance_transform"):
            raise export.UnsupportedModelError("its radial functions differ between pairs of elements")
        self.elements = len(module.atomic_numbers)
        dtype = next(module.parameters()).dtype
        twin = copy.deepcopy(module).double().requires_grad_(False)
        # Outside the class in ways that only numbers show: the exporter looks at all of them.
        tables = export.export(twin)
        self._molds = [
            _mold(block, product, self.channels, self.lmax, self.elements)
            for block, product in zip(twin.interactions, twin.products, strict=True)
        ]
        self.scale = float(module.scale_shift.scale) if hasattr(module, "scale_shift") else 1.0
        self.atom_energy = torch.as_tensor(tables.atom_energy, dtype=dtype)
        self.cutoff_A = float(module.r_max)
        self.knots = torch.as_tensor(export.knots_A(self.cutoff_A, KNOTS_PER_A), dtype=dtype)
        self.library = build.library(
            channels=self.channels,
            lmax=self.lmax,
            dtype=str(dtype).removeprefix("torch."),
            source=build.GRADIENTS,
        )
        self.module, self._dtype = module, dtype

    def _table(self, block: torch.nn.Module, mold: _Mold) -> torch.Tensor:
        module = self.module
        # Without a transform of distances, elements do not matter. The basis is sin(x)/x: finite at 0.
        features, cutoff = module.radial_embedding(
            self.knots.clamp_min(1e-5)[:, None], None, None, module.atomic_numbers
        )
        value = block.conv_tp_weights(features)
        value = value if cutoff is None else value * cutoff
        # Slopes per interval by central differences, which err with the fourth power of the interval, like
        # the cubics. Beyond the cutoff all vanishes; before the origin lies nothing that an edge reaches.
        far = torch.cat([value[:1], value[:1], value, torch.zeros_like(value[:2])])
        slope = (8 * (far[3:-1] - far[1:-3]) - (far[4:] - far[:-4])) / 12
        both = torch.stack([value, slope], dim=1)
        return both.view(-1, 2, self.lmax + 1, self.channels) * mold.tensor_product.to(self._dtype)

    def _mix(self, block: torch.nn.Module, mold: _Mold) -> torch.Tensor:
        maps = [view * factor for view, factor in zip(_views(block.linear), mold.mix, strict=True)]
        if type(block).__name__ == export.RESIDUAL:
            return torch.stack(maps)[None]
        shared = zip(maps, _views(block.skip_tp), strict=True)
        return torch.stack([torch.einsum("uv,vew->euw", a, b) for a, b in shared], dim=1)

    def _polynomial(self, product: torch.nn.Module, mold: _Mold) -> tuple[torch.Tensor, torch.Tensor]:
        contraction = product.symmetric_contractions.contractions[0]
        stored = [contraction.weights_max, *contraction.weights]
        linear = torch.einsum("p,epk->ek", mold.linear.to(self._dtype), stored[-1])
        quadratic = torch.einsum("lp,epk->elk", mold.quadratic.to(self._dtype), stored[0])
        if len(stored) == 1:
            quadratic = linear.new_zeros(len(linear), self.lmax + 1, self.channels)
        return linear.expand(self.elements, -1), quadratic.expand(self.elements, -1, -1)

    def __call__(self) -> Weights:
        """Return the maps as they are now."""
        module, eye = self.module, torch.eye(self.channels, dtype=self._dtype)
        one_hot = torch.eye(self.elements, dtype=self._dtype)
        embedding = module.node_embedding(one_hot)
        readouts = list(module.readouts)
        missing = len(module.interactions) - len(readouts)
        mlp_in, mlp_out = eye[:, :0], eye[0, :0]
        layers = []
        blocks = zip(module.interactions, module.products, self._molds, strict=True)
        for number, (block, product, mold) in enumerate(blocks):
            skip = None
            if type(block).__name__ == export.RESIDUAL and getattr(product, "use_sc", True):
                if number:
                    skip = _views(block.skip_tp)[0].transpose(0, 1) * mold.skip
                else:
                    skip = block.skip_tp(embedding, one_hot)
            readout = readouts[number - missing] if number >= missing else None
            linear_readout = None
            if type(readout).__name__ == "LinearReadoutBlock":
                linear_readout = readout.linear(eye)[:, 0] * self.scale
            elif readout is not None:
                silu = readout.non_linearity.acts[0]
                factor = float(silu(eye[0, :1]) / torch.nn.functional.silu(eye[0, :1]))
                mlp_in = readout.linear_1(eye)
                mlp_out = readout.linear_2(torch.eye(mlp_in.shape[1]).to(eye))[:, 0] * (factor * self.scale)
            linear, quadratic = self._polynomial(product, mold)
            layers.append(
                Layer(
                    table=self._table(block, mold),
                    up=block.linear_up(eye if number else embedding),
                    skip=skip,
                    mix=self._mix(block, mold),
                    linear=linear,
                    quadratic=quadratic,
                    update=product.linear(eye),
                    readout=linear_readout,
                )
            )
        return Weights(tuple(layers), mlp_in, mlp_out)


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

    def room(self, u: torch.Tensor) -> torch.Tensor:
        """Return room for one set of messages."""
        return u.new_empty(*u.shape[:-1], (self.reader.lmax + 1) ** 2, u.shape[-1])


def _pointer(tensor: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


class _Messages(torch.autograd.Function):
    """Messages (1, N, (lmax + 1)^2, K) of sources (1, N, K); differentiable by vectors and sources."""

    @staticmethod
    def forward(ctx: Any, vectors: torch.Tensor, u: torch.Tensor, table: torch.Tensor, edges: _Edges):
        u, table = u.contiguous(), table.contiguous()
        out = edges.room(u)
        edges.reader.library.messages(edges.graph(table, u[0]), _pointer(out))
        ctx.save_for_backward(u, table)
        ctx.edges = edges
        return out

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
        out = edges.room(u)
        edges.reader.library.moving_messages(
            edges.graph(table, u[0], u[1]), _pointer(out[0]), _pointer(out[1])
        )
        ctx.save_for_backward(u, table)
        ctx.edges = edges
        return out

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


def _on_atoms(layer: Layer, graphs: Graphs, messages: torch.Tensor, features: torch.Tensor | None):
    """Return the features (S, N, K) after a layer, from its messages and the features before it."""
    # The rate of a square is twice a product.
    factor = messages.new_tensor([1.0, 2.0])[: len(messages), None, None]
    degrees = [slice(n**2, (n + 1) ** 2) for n in range(layer.mix.shape[1])]
    products, residuals = [], []
    for element, atoms in graphs.spans:
        mine, mix = messages[:, atoms], layer.mix[element % len(layer.mix)]
        total = None
        for degree, orders in enumerate(degrees):
            mixed = mine[:, :, orders] @ mix[degree]
            square = (mixed[:1] * mixed).sum(dim=2) * (factor * layer.quadratic[element, degree])
            total = square + mixed[:, :, 0] * layer.linear[element] if total is None else total + square
        products.append(total)
        if features is not None and layer.skip is not None:
            residuals.append(features[:, atoms] @ layer.skip[element])
    out = torch.cat(products, dim=1) @ layer.update
    return out + torch.cat(residuals, dim=1) if residuals else out


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
            difference = (known["forces"] - found["forces"]).abs().max() / known["forces"].abs().max()
            if not difference.item() < TOLERANCE:
                log.warning(
                    "forces differ by %.1e of the largest: mace-torch differentiates", difference.item()
                )
                self._reader = None
                return known
            log.info("compiled gradients: forces differ by %.1e of the largest", difference.item())
        return found
