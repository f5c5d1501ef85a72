"""The maps of a MACE model of the scalar class as tensors that training differentiates.

`export` probes a model once and returns numbers. While it trains, its parameters change at every step and
gradients must reach them, so that here the same maps are put together from the stored weights; only the
constants between the two are measured, once, by the exporter's probes. The equations of the class are in
`export`.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from getsei.potentials.models import torch
from getsei.potentials.native import build, export

KNOTS_PER_A = 64.0
"""Of the radial tables at `export.CONTACT_A`; the cubics then err by less than single precision does."""


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
