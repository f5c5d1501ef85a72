"""From a MACE model of the scalar class to tables that a small kernel can evaluate.

The class: every hidden feature is a scalar (K x 0e), the product basis has correlation order at most two, and
the interactions are MACE's "real agnostic" blocks. Then (Batatia et al., arXiv:2206.07697, eqs. 8-13)

    M_i,lmk = sum_j R_lk(r_ij) u_jk Y_lm(r_ij)          u = h W_up
    B_i,lmk = sum_k' M_i,lmk' W_lk'k(element of i)
    P_ik    = c_k B_i,00k + sum_l c_lk sum_m B_i,lmk^2   c of the element of i
    h'_i    = P_i W + (residual blocks) h_i S(element of i)

because two equal irreps couple to a scalar in one way only, their inner product. The weights are read by
probing the model's own linear maps with unit vectors, so that no normalisation is repeated here, and each
assumption about their structure is verified on the numbers. R and its derivative are tabulated on a grid.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from getsei.potentials.models import torch

# isort: split
from e3nn import o3  # after mace, which `models` imports: e3nn cannot read its constants otherwise

BEND_A = 1.0
"""Knots lie at equal steps of x = r / (r + BEND_A): dense where atoms repel, sparse where little changes."""
CONTACT_A, KNOTS_PER_A = 2.0, 300.0
"""At this distance, that of a short bond, there are so many knots per Å: errors fall with the third power."""
MAX_LMAX = 3
SAME = 1e-10
"""Relative tolerance within which a probed map must have the assumed structure (float64 arithmetic)."""

PLAIN = "RealAgnosticInteractionBlock"
RESIDUAL = "RealAgnosticResidualInteractionBlock"


class UnsupportedModelError(Exception):
    """The model is outside the class of the native kernel; the message says why."""


@dataclass(frozen=True)
class Tables:
    """Everything the kernel needs, in eV and Å, float64. T layers, E elements, K channels, L = lmax + 1.

    Attributes
    ----------
    atomic_numbers : (E,) int
    cutoff_A : () float
    pair_table : (E, E) int
        Which radial table a pair of elements uses.
    bend_A : () float
        Knots are uniform in r / (r + bend_A) from 0 to the cutoff.
    radial : (T, tables, knots, 2, L, K)
        R_lk and dR_lk/dr (1/Å) at the knots.
    first_source, first_skip : (E, K)
        u and the residual term of the first layer, which depend on the element alone.
    up : (T - 1, K, K)
        W_up of the later layers.
    skip : (T - 1, E, K, K)
        S of the later layers; zero for blocks without a residual.
    mix : (T, E, L, K, K)
        Linear map from M to B, over the average number of neighbours.
    linear : (T, E, K)
        Coefficient of B_00 in P.
    quadratic : (T, E, L, K)
        Coefficients of sum_m B_lm^2 in P.
    update : (T, K, K)
        W after the product.
    readout : (T, K)
        Linear readouts, scaled to eV.
    mlp_in : (K, H)
    mlp_out : (H,)
        Non-linear readout of the last layer, sum_h mlp_out silu(h mlp_in), in eV; H is zero if there is none.
    atom_energy : (E,)
        Energy of an isolated atom plus the model's shift, in eV.
    zbl : (E, E, 3)
        Prefactor (eV Å), screening length (Å) and range (Å) of the pair repulsion; all 0 without one.
    zbl_terms : (4, 2)
        Weights and exponents of the screening function.
    zbl_power : () int
    """

    atomic_numbers: NDArray[np.int64]
    cutoff_A: NDArray[np.float64]
    pair_table: NDArray[np.int64]
    bend_A: NDArray[np.float64]
    radial: NDArray[np.float64]
    first_source: NDArray[np.float64]
    first_skip: NDArray[np.float64]
    up: NDArray[np.float64]
    skip: NDArray[np.float64]
    mix: NDArray[np.float64]
    linear: NDArray[np.float64]
    quadratic: NDArray[np.float64]
    update: NDArray[np.float64]
    readout: NDArray[np.float64]
    mlp_in: NDArray[np.float64]
    mlp_out: NDArray[np.float64]
    atom_energy: NDArray[np.float64]
    zbl: NDArray[np.float64]
    zbl_terms: NDArray[np.float64]
    zbl_power: NDArray[np.int64]

    @property
    def channels(self) -> int:
        """Number of channels K."""
        return self.update.shape[-1]

    @property
    def lmax(self) -> int:
        """Highest degree of the spherical harmonics."""
        return self.mix.shape[2] - 1


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise UnsupportedModelError(reason)


def _same(a: NDArray, b: NDArray) -> bool:
    return bool(np.abs(a - b).max(initial=0.0) <= SAME * max(1.0, np.abs(a).max(initial=0.0)))


def _numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    return tensor.detach().cpu().double().numpy()


def _scalars(irreps: Any, what: str) -> int:
    irreps = o3.Irreps(irreps).simplify()
    _require(len(irreps) == 1 and str(irreps[0].ir) == "0e", f"{what} are {irreps}, not scalars (K x 0e)")
    return irreps[0].mul


def check_class(module: torch.nn.Module) -> tuple[int, int]:
    """Return the channels and lmax of a model of the class.

    Raises
    ------
    UnsupportedModelError
        If the model is outside the class.
    """
    kind = type(module).__name__
    _require(kind in ("MACE", "ScaleShiftMACE"), f"{kind} is not a plain energy model")
    _require(len(getattr(module, "heads", None) or ["one"]) == 1, "it has several heads")
    _require(not hasattr(module, "joint_embedding"), "it embeds further features of the system")
    _require(
        type(module.radial_embedding).__name__ == "RadialEmbeddingBlock", "its radial embedding is unknown"
    )
    degrees = [ir.l for _, ir in module.spherical_harmonics.irreps_out]
    _require(degrees == list(range(len(degrees))), "its spherical harmonics have gaps")
    _require(len(degrees) - 1 <= MAX_LMAX, f"lmax is {len(degrees) - 1}; at most {MAX_LMAX} is supported")
    channels = _scalars(module.node_embedding.linear.irreps_out, "node features")
    for block, product in zip(module.interactions, module.products, strict=True):
        name = type(block).__name__
        _require(name in (PLAIN, RESIDUAL), f"interaction block {name} is not supported")
        for config in (getattr(block, "cueq_config", None), getattr(block, "oeq_config", None)):
            _require(not getattr(config, "enabled", False), "it was saved for a GPU library")
        _require(_scalars(block.hidden_irreps, "hidden features") == channels, "its layers differ in width")
        _require(
            _scalars(block.node_feats_irreps, "hidden features") == channels, "its layers differ in width"
        )
        _require(
            block.linear_up.irreps_out == block.linear_up.irreps_in, "its edges are narrower than its nodes"
        )
        contraction = type(product.symmetric_contractions).__name__
        _require(contraction == "SymmetricContraction", f"its product basis is a {contraction}")
        _require(
            product.symmetric_contractions.contractions[0].correlation <= 2, "its correlation exceeds two"
        )
    return channels, len(degrees) - 1


def knots_A(cutoff_A: float, per_A: float = KNOTS_PER_A) -> NDArray[np.float64]:
    """Return the distances at which the radial functions are tabulated, from 0 to the cutoff.

    There are `per_A` of them per Å at `CONTACT_A`.
    """
    end = cutoff_A / (cutoff_A + BEND_A)
    steps = math.ceil(end * per_A * (CONTACT_A + BEND_A) ** 2 / BEND_A)
    x = np.linspace(0.0, end, steps + 1)
    return BEND_A * x / (1.0 - x)


def _radial(
    module: torch.nn.Module, block: torch.nn.Module, pair: tuple[int, int], distances: NDArray
) -> NDArray:
    """Return R_lk and its derivative for one pair of elements, shape (knots, 2, L * K)."""
    eye = torch.eye(len(module.atomic_numbers), dtype=torch.float64)
    attrs, edge = eye[list(pair)], torch.tensor([[0], [1]])

    def weights(r: torch.Tensor) -> torch.Tensor:
        edges = edge.expand(2, len(r))
        features, cutoff = module.radial_embedding(r, attrs, edges, module.atomic_numbers)
        out = block.conv_tp_weights(features)
        return out if cutoff is None else out * cutoff

    # The basis is sin(x)/x: finite at the origin, where it cannot be evaluated.
    r = torch.as_tensor(distances).clamp_min(1e-5)[:, None]
    value, slope = torch.func.jvp(weights, (r,), (torch.ones_like(r),))
    return np.stack([_numpy(value), _numpy(slope)], axis=1)


def tensor_product_scale(block: torch.nn.Module, channels: int, lmax: int) -> NDArray[np.float64]:
    """Return the factor of each degree in the model's product of scalars with spherical harmonics."""
    rng = np.random.default_rng(0)
    width, n_lm = (lmax + 1) * channels, (lmax + 1) ** 2
    _require(block.conv_tp.weight_numel == width, "its tensor product has unexpected paths")
    source, y, w = rng.normal(size=channels), rng.normal(size=n_lm), rng.normal(size=width)
    out = _numpy(block.conv_tp(*(torch.as_tensor(a)[None] for a in (source, y, w))))[0]
    factors = np.empty(lmax + 1)
    for degree in range(lmax + 1):
        lm = slice(degree**2, (degree + 1) ** 2)
        expected = (w[degree * channels :][:channels] * source)[:, None] * y[lm]
        got = out[lm.start * channels : lm.stop * channels].reshape(channels, -1)
        factors[degree] = got[0, 0] / expected[0, 0]
        _require(_same(got, factors[degree] * expected), "its tensor product is not the plain one")
    return factors


def _by_degree(matrix: NDArray, channels: int, lmax: int) -> NDArray[np.float64]:
    """Return the (L, K, K) blocks of an equivariant map given as a (9K, 9K) matrix (for lmax 2)."""
    blocks = np.empty((lmax + 1, channels, channels))
    rebuilt = np.zeros_like(matrix)
    for degree in range(lmax + 1):
        part = slice(degree**2 * channels, (degree + 1) ** 2 * channels)
        m = 2 * degree + 1
        blocks[degree] = matrix[part, part].reshape(channels, m, channels, m)[:, 0, :, 0]
        rebuilt[part, part] = np.kron(blocks[degree], np.eye(m))
    _require(_same(matrix, rebuilt), "a linear map mixes degrees")
    return blocks


def mixing_maps(block: torch.nn.Module, channels: int, lmax: int, elements: int) -> NDArray[np.float64]:
    """Return the map from M to B of each element, (E, L, K, K), over the average number of neighbours."""
    eye = torch.eye((lmax + 1) ** 2 * channels, dtype=torch.float64)
    mixed = block.linear(eye) / block.avg_num_neighbors
    if type(block).__name__ == RESIDUAL:
        return np.stack([_by_degree(_numpy(mixed), channels, lmax)] * elements)
    attrs = torch.eye(elements, dtype=torch.float64)
    maps = [_numpy(block.skip_tp(mixed, attrs[e].expand(len(eye), -1))) for e in range(elements)]
    return np.stack([_by_degree(matrix, channels, lmax) for matrix in maps])


def residual_terms(
    block: torch.nn.Module, features: torch.Tensor, elements: int
) -> list[NDArray[np.float64]]:
    """Return the residual term of given features (n, K) for each element."""
    if type(block).__name__ == PLAIN:
        return [np.zeros(features.shape)] * elements
    attrs = torch.eye(elements, dtype=torch.float64)
    return [_numpy(block.skip_tp(features, attrs[e].expand(len(features), -1))) for e in range(elements)]


def _product(product: torch.nn.Module, channels: int, lmax: int, elements: int) -> tuple[NDArray, NDArray]:
    """Return the coefficients c (E, K) and c_l (E, L, K) of the polynomial in B."""
    n_lm = (lmax + 1) ** 2
    attrs = torch.eye(1 if getattr(product, "use_agnostic_product", False) else elements, dtype=torch.float64)

    def contract(b: NDArray) -> NDArray:
        """Evaluate B (n, lm) in every channel at once: (n, elements, K)."""
        x = (
            torch.as_tensor(b)[:, None, None, :]
            .expand(-1, len(attrs), channels, -1)
            .reshape(-1, channels, n_lm)
        )
        return _numpy(product.symmetric_contractions(x, attrs.repeat(len(b), 1))).reshape(
            len(b), -1, channels
        )

    units = np.eye(n_lm)[[degree**2 for degree in range(lmax + 1)]]
    plus, minus = contract(units), contract(-units)
    linear, quadratic = (plus - minus) / 2, (plus + minus) / 2
    _require(_same(linear[1:], np.zeros_like(linear[1:])), "its product basis is not invariant")
    b = np.random.default_rng(0).normal(size=(7, n_lm))
    powers = np.stack([(b[:, d**2 : (d + 1) ** 2] ** 2).sum(axis=1) for d in range(lmax + 1)], axis=1)
    expected = b[:, :1, None] * linear[0] + np.einsum("nl,lek->nek", powers, quadratic)
    _require(_same(contract(b), expected), "its product basis is no polynomial in B_00 and |B_l|^2")
    c, c_l = linear[0], quadratic.transpose(1, 0, 2)
    return np.broadcast_to(c, (elements, channels)), np.broadcast_to(c_l, (elements, lmax + 1, channels))


def _readouts(module: torch.nn.Module, channels: int, scale: float) -> tuple[NDArray, NDArray, NDArray]:
    """Return the linear readouts (T, K) and the matrices of the non-linear one, scaled to eV."""
    layers = len(module.interactions)
    blocks = list(module.readouts)
    linear = np.zeros((layers, channels))
    mlp_in, mlp_out = np.zeros((channels, 0)), np.zeros(0)
    eye = torch.eye(channels, dtype=torch.float64)
    for layer, block in zip(range(layers - len(blocks), layers), blocks, strict=True):
        name = type(block).__name__
        if name == "LinearReadoutBlock":
            linear[layer] = scale * _numpy(block.linear(eye))[:, 0]
            continue
        _require(name == "NonLinearReadoutBlock" and layer == layers - 1, f"readout {name} is not supported")
        acts = block.non_linearity.acts
        _require(len(acts) == 1, "its readout has several activations")
        x = torch.linspace(-3.0, 3.0, 13, dtype=torch.float64)
        factor = acts[0](x[-1:]) / torch.nn.functional.silu(x[-1:])
        _require(
            _same(_numpy(acts[0](x)), _numpy(factor * torch.nn.functional.silu(x))),
            "its readout is not a SiLU",
        )
        mlp_in = _numpy(block.linear_1(eye))
        hidden = torch.eye(mlp_in.shape[1], dtype=torch.float64)
        mlp_out = scale * float(factor) * _numpy(block.linear_2(hidden))[:, 0]
    return linear, mlp_in, mlp_out


def _repulsion(module: torch.nn.Module, scale: float) -> tuple[NDArray, NDArray, int]:
    """Return the ZBL parameters of each pair (Ziegler, Biersack and Littmark 1985) from the model."""
    z = _numpy(module.atomic_numbers)
    # Exponents of the universal screening function; the model holds only their weights.
    exponents = np.array([3.2, 0.9423, 0.4028, 0.2016])
    if not hasattr(module, "pair_repulsion"):
        return np.zeros((len(z), len(z), 3)), np.stack([np.zeros(4), exponents], axis=1), 6
    zbl = module.pair_repulsion_fn
    power = z ** float(zbl.a_exp)
    screening = float(zbl.a_prefactor) * 0.529 / (power[:, None] + power)
    radii = _numpy(zbl.covalent_radii)[z.astype(int)]
    # Every directed edge carries half of the pair's energy.
    prefactor = 0.5 * scale * 14.3996 * np.outer(z, z)
    pairs = np.stack([prefactor, screening, radii[:, None] + radii], axis=-1)
    return pairs, np.stack([_numpy(zbl.c), exponents], axis=1), int(zbl.p)


def export(module: torch.nn.Module) -> Tables:
    """Tabulate a float64 MACE model.

    Raises
    ------
    UnsupportedModelError
        If the model is outside the class, with the reason.
    """
    channels, lmax = check_class(module)
    elements = len(module.atomic_numbers)
    scale, shift = 1.0, 0.0
    if hasattr(module, "scale_shift"):
        scale = float(module.scale_shift.scale.reshape(-1)[0])
        shift = float(module.scale_shift.shift.reshape(-1)[0])
    transformed = hasattr(module.radial_embedding, "distance_transform")
    pairs = [(a, b) for a in range(elements) for b in range(a, elements)] if transformed else [(0, 0)]
    pair_table = np.zeros((elements, elements), dtype=np.int64)
    for number, (a, b) in enumerate(pairs):
        pair_table[a, b] = pair_table[b, a] = number if transformed else 0
    distances = knots_A(float(module.r_max))
    radial = []
    for block in module.interactions:
        factors = tensor_product_scale(block, channels, lmax)
        per_pair = np.stack([_radial(module, block, pair, distances) for pair in pairs])
        radial.append(per_pair.reshape(len(pairs), len(distances), 2, lmax + 1, channels) * factors[:, None])
    first, *later = module.interactions
    eye = torch.eye(channels, dtype=torch.float64)
    embedding = module.node_embedding(torch.eye(elements, dtype=torch.float64))
    skips = residual_terms(first, embedding, elements)
    coefficients = [_product(product, channels, lmax, elements) for product in module.products]
    use_skip = [getattr(product, "use_sc", True) for product in module.products]
    readout, mlp_in, mlp_out = _readouts(module, channels, scale)
    zbl, zbl_terms, zbl_power = _repulsion(module, scale)
    return Tables(
        atomic_numbers=module.atomic_numbers.cpu().numpy().astype(np.int64),
        cutoff_A=np.array(float(module.r_max)),
        pair_table=pair_table,
        bend_A=np.array(BEND_A),
        radial=np.stack(radial),
        first_source=_numpy(first.linear_up(embedding)),
        first_skip=np.stack([skips[e][e] for e in range(elements)]) * use_skip[0],
        up=np.stack([_numpy(b.linear_up(eye)) for b in later])
        if later
        else np.zeros((0, channels, channels)),
        skip=np.stack(
            [np.stack(residual_terms(b, eye, elements)) * s for b, s in zip(later, use_skip[1:], strict=True)]
        )
        if later
        else np.zeros((0, elements, channels, channels)),
        mix=np.stack([mixing_maps(block, channels, lmax, elements) for block in module.interactions]),
        linear=np.stack([c for c, _ in coefficients]),
        quadratic=np.stack([c_l for _, c_l in coefficients]),
        update=np.stack([_numpy(product.linear(eye)) for product in module.products]),
        readout=readout,
        mlp_in=mlp_in,
        mlp_out=mlp_out,
        atom_energy=_numpy(module.atomic_energies_fn(torch.eye(elements, dtype=torch.float64)))[:, 0] + shift,
        zbl=zbl,
        zbl_terms=zbl_terms,
        zbl_power=np.array(zbl_power),
    )
