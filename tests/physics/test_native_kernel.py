"""The native kernel against mace-torch, finite differences and the symmetries of physics."""

import functools

import matscipy.neighbours
import numpy as np
import pytest
import toy_mace
from getsei.errors import GuardError, UserError
from getsei.potentials import models
from getsei.potentials.native import build, export, kernel, neighbours

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # e3nn still scripts its modules
    pytest.mark.usefixtures("native_cache"),
]

FORCE_TOLERANCE = 5e-5
"""eV/Å, with forces of some eV/Å: interpolation of the radial functions, and rounding in float32."""
ENERGY_TOLERANCE = 1e-6
"""eV per atom."""
VIRIAL_TOLERANCE = 1e-4
"""eV per atom."""
ROUNDING = 1e-9
"""eV and eV/Å, between two orders of the same float64 sums."""
SCALE = 30.0
"""Random weights make weak forces; scaled up they reach some eV/Å, as in a solid."""


@functools.cache
def _model(**options):
    return toy_mace.build(atomic_inter_scale=SCALE, **options)


def _native(module, species, dtype="float64", **options):
    return kernel.NativeEvaluator(export.export(module), species, dtype=dtype, **options)


def _torch(module, species):
    return models.TorchEvaluator(module, species, dtype="float64", device="cpu", threads=1)


def _assert_close(one, reference, n_atoms):
    assert np.abs(reference.forces).max() > 0.1 or n_atoms < 10  # else the comparison says little
    np.testing.assert_allclose(one.forces, reference.forces, atol=FORCE_TOLERANCE, rtol=0)
    assert one.energy == pytest.approx(reference.energy, abs=ENERGY_TOLERANCE * n_atoms)
    np.testing.assert_allclose(one.virial, reference.virial, atol=VIRIAL_TOLERANCE * n_atoms, rtol=0)


VARIANTS = {
    "plain first block": {},
    "residual first block": {"first": "RealAgnosticResidualInteractionBlock"},
    "one interaction": {"layers": 1},
    "one residual interaction": {"layers": 1, "first": "RealAgnosticResidualInteractionBlock"},
    "three interactions": {"layers": 3},
    "lmax 1, correlation 1": {"lmax": 1, "correlation": 1},
    "lmax 3": {"lmax": 3},
    "correlation 1": {"correlation": 1},
    "width no multiple of a block": {"channels": 20},
    "no repulsion": {"pair_repulsion": False},
    "distances transformed per pair": {"distance_transform": "Agnesi"},
    "cutoff after the radial network": {"apply_cutoff": False},
    "other cutoff and powers": {"cutoff_A": 5.3, "num_polynomial_cutoff": 6, "num_bessel": 6},
    "last readout only": {"use_last_readout_only": True},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_models_of_the_class_agree_with_torch(options):
    positions, cell, species = toy_mace.rattled_cell(skew=0.2)
    module = _model(**options)
    native, reference = _native(module, species), _torch(module, species)
    _assert_close(native(positions, cell), reference(positions, cell), len(species))


@pytest.mark.parametrize("target", build.TARGETS)
def test_every_instruction_set_agrees_with_torch_in_single_precision(target):
    order = list(build.TARGETS)
    if order.index(target) < order.index(build.best_target()):
        pytest.skip(f"this processor does not run {target} code; run the test on one that does")
    positions, cell, species = toy_mace.rattled_cell(n_side=4)
    module = _model()
    native = _native(module, species, "float32", target=target)
    _assert_close(native(positions, cell), _torch(module, species)(positions, cell), len(species))


@pytest.mark.parametrize(("n_side", "skew"), [(1, 0.0), (1, 0.3), (2, 0.3), (3, 0.6)])
def test_cells_smaller_than_twice_the_cutoff_and_skewed(n_side, skew):
    positions, cell, species = toy_mace.rattled_cell(n_side=n_side, skew=skew)
    module = _model()
    _assert_close(
        _native(module, species)(positions, cell), _torch(module, species)(positions, cell), len(species)
    )


def test_single_element_and_short_distances():
    positions, cell, species = toy_mace.rattled_cell(spacing_A=1.6, symbols=["P"])
    module = _model()
    native, reference = _native(module, species)(positions, cell), _torch(module, species)(positions, cell)
    scale = np.abs(reference.forces).max()
    assert scale > 10.0  # well inside the pair repulsion
    np.testing.assert_allclose(native.forces, reference.forces, atol=1e-6 * scale, rtol=0)
    assert native.energy == pytest.approx(reference.energy, abs=1e-6 * scale)


def test_atoms_that_clash_are_evaluated_in_double_precision():
    positions, cell, species = toy_mace.rattled_cell()
    module = toy_mace.build(atomic_inter_scale=1000.0, pair_repulsion=False)
    native, double = _native(module, species, "float32"), _native(module, species)
    soft = native(positions, cell)
    assert native.doubled == 0
    clash = positions.copy()
    clash[1] = clash[0] + [0.9, 0.5, 0.4]
    hard, truth = native(clash, cell), double(clash, cell)
    assert np.abs(truth.forces).max() > 2.0 * kernel.LARGE_FORCE_eV_per_A
    assert native.doubled == 1
    np.testing.assert_allclose(hard.forces, truth.forces, atol=ROUNDING, rtol=0)
    assert np.abs(native.in_stated_precision(clash, cell).forces - truth.forces).max() > 1e-6
    np.testing.assert_allclose(hard.forces, _torch(module, species)(clash, cell).forces, atol=2e-5, rtol=0)
    np.testing.assert_array_equal(native(positions, cell).forces, soft.forces)
    assert native.doubled == 1
    # What was evaluated before leaves no trace.
    native(clash + 0.3, cell)
    np.testing.assert_array_equal(native(clash, cell).forces, hard.forces)


def test_a_clash_stays_in_single_precision_where_double_cannot_be_compiled(monkeypatch, caplog):
    positions, cell, species = toy_mace.rattled_cell()
    native = _native(_model(), species, "float32")
    positions[1] = positions[0] + [0.9, 0.5, 0.4]

    def refuse(**_):
        raise build.BuildError("no C++ compiler")

    monkeypatch.setattr(build, "library", refuse)
    for _ in range(2):
        found = native(positions, cell)
    np.testing.assert_array_equal(found.forces, native.in_stated_precision(positions, cell).forces)
    assert caplog.text.count("no C++ compiler") == 1


def test_isolated_atoms_feel_nothing_and_a_pair_repels_itself_equally():
    module, cell = _model(), 30.0 * np.eye(3)
    positions = np.array([[1.0, 1.0, 1.0], [3.0, 2.0, 1.0], [15.0, 15.0, 15.0]])
    evaluation = _native(module, ["Li", "S", "P"])(positions, cell)
    reference = _torch(module, ["Li", "S", "P"])(positions, cell)
    np.testing.assert_allclose(evaluation.forces, reference.forces, atol=FORCE_TOLERANCE)
    np.testing.assert_array_equal(evaluation.forces[2], 0.0)
    np.testing.assert_allclose(evaluation.forces[0], -evaluation.forces[1], atol=ROUNDING)
    alone = _native(module, ["P"])(positions[2:], cell)
    pair = _native(module, ["Li", "S"])(positions[:2], cell)
    assert evaluation.energy == pytest.approx(alone.energy + pair.energy, abs=ROUNDING)


def test_forces_and_virial_are_derivatives_of_the_energy():
    positions, cell, species = toy_mace.rattled_cell(n_side=2, skew=0.2)
    native = _native(_model(), species)
    rng, step = np.random.default_rng(3), 1e-4
    here = native(positions, cell)
    direction = rng.normal(size=positions.shape)

    def slope(energy):
        """Fourth-order difference: an error of order step**4."""
        return (8 * (energy(step) - energy(-step)) - (energy(2 * step) - energy(-2 * step))) / (12 * step)

    along = slope(lambda s: native(positions + s * direction, cell).energy)
    assert along == pytest.approx(-np.sum(here.forces * direction), rel=1e-6, abs=1e-6)
    strain = rng.normal(size=(3, 3))
    strain += strain.T

    def strained(s):
        deformation = np.eye(3) + s * strain
        return native(positions @ deformation, cell @ deformation).energy

    assert slope(strained) == pytest.approx(-np.sum(here.virial * strain), rel=1e-6, abs=1e-6)


def test_translation_rotation_permutation_and_images_change_nothing():
    positions, cell, species = toy_mace.rattled_cell(skew=0.3)
    module, rng = _model(), np.random.default_rng(4)
    native = _native(module, species)
    here = native(positions, cell)
    np.testing.assert_allclose(here.forces.sum(axis=0), 0.0, atol=ROUNDING)
    images = rng.integers(-2, 3, size=positions.shape) @ cell
    moved = native(positions + np.array([3.0, -7.0, 11.0]) + images, cell)
    np.testing.assert_allclose(moved.forces, here.forces, atol=1e-8)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = native(positions @ rotation, cell @ rotation)
    assert turned.energy == pytest.approx(here.energy, abs=ROUNDING)
    np.testing.assert_allclose(turned.forces, here.forces @ rotation, atol=1e-8)
    np.testing.assert_allclose(turned.virial, rotation.T @ here.virial @ rotation, atol=1e-7)
    order = rng.permutation(len(species))
    shuffled = _native(module, [species[k] for k in order])(positions[order], cell)
    np.testing.assert_allclose(shuffled.forces, here.forces[order], atol=ROUNDING)


@pytest.mark.parametrize(
    ("n_side", "skew", "vacuum_A", "radius_A"),
    [(4, 0.0, 0.0, 5.0), (3, 0.6, 0.0, 6.0), (1, 0.3, 0.0, 7.0), (2, 0.2, 400.0, 5.0)],
    ids=["wide", "skewed", "one atom", "vacuum"],
)
def test_candidates_are_those_of_matscipy(n_side, skew, vacuum_A, radius_A):
    positions, cell, _ = toy_mace.rattled_cell(n_side=n_side, skew=skew)
    cell = cell + np.diag([0.0, 0.0, vacuum_A])
    positions = positions + np.random.default_rng(8).integers(-3, 4, positions.shape) @ cell
    library = build.library(channels=16, lmax=2, dtype="float64")
    found = neighbours.build(library, positions, cell, radius_A)
    i = np.repeat(np.arange(len(positions)), np.diff(found.first))
    reference = found.fractional @ cell
    vectors = (reference[found.atom] - reference[i]) + found.translations[found.image] @ cell
    expected_i, expected_j, expected = matscipy.neighbours.neighbour_list(
        "ijD", positions=positions, cell=cell, pbc=[True] * 3, cutoff=radius_A
    )

    def rows(first, second, vector):
        return sorted(zip(first.tolist(), second.tolist(), *vector.round(6).T.tolist(), strict=True))

    assert len(expected_i) == len(i) > 0
    np.testing.assert_allclose(
        rows(i, found.atom, vectors + 0.0), rows(expected_i, expected_j, expected + 0.0), atol=2e-6
    )


@pytest.mark.parametrize("n_side", [1, 3])
def test_threads_share_the_work_and_change_nothing(n_side):
    positions, cell, species = toy_mace.rattled_cell(n_side=n_side, skew=0.2)
    tables = export.export(_model(layers=3))
    one = kernel.NativeEvaluator(tables, species, dtype="float64")(positions, cell)
    several = kernel.NativeEvaluator(tables, species, dtype="float64", threads=4)
    for _ in range(5):
        again = several(positions, cell)
        np.testing.assert_allclose(again.forces, one.forces, atol=ROUNDING)
        np.testing.assert_allclose(again.virial, one.virial, atol=ROUNDING)
        assert again.energy == pytest.approx(one.energy, abs=ROUNDING)
    if n_side > 1:
        positions[-1] = positions[0]
        with pytest.raises(GuardError, match=f"atoms 0 and {len(positions) - 1} are"):
            several(positions, cell)


def test_list_with_a_skin_gives_what_a_fresh_one_gives():
    positions, cell, species = toy_mace.rattled_cell()
    tables, rng = export.export(_model()), np.random.default_rng(5)
    kept = kernel.NativeEvaluator(tables, species, dtype="float64", skin_A=1.0)
    drift = rng.normal(size=positions.shape)
    for step in range(16):
        x = positions + 0.05 * step * drift + rng.normal(0.0, 0.01, positions.shape)
        x[step % len(x)] += cell[step % 3]  # an engine may wrap an atom at any step
        fresh = kernel.NativeEvaluator(tables, species, dtype="float64", skin_A=0.0)
        one, other = kept(x, cell), fresh(x, cell)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-8)
        assert one.energy == pytest.approx(other.energy, abs=ROUNDING)
    assert 2 <= kept.rebuilds <= 10


def test_small_strains_keep_the_list_and_large_ones_renew_it():
    positions, cell, species = toy_mace.rattled_cell(skew=0.2)
    tables = export.export(_model())
    kept = kernel.NativeEvaluator(tables, species, dtype="float64", skin_A=1.0)
    for strain, lists in ((0.0, 1), (0.01, 1), (-0.01, 1), (-0.3, 2)):
        deformation = np.eye(3) + strain * np.array([[1.0, 0.5, 0], [0, 1, 0], [0, 0, 1]])
        x, h = positions @ deformation, cell @ deformation
        fresh = kernel.NativeEvaluator(tables, species, dtype="float64", skin_A=0.0)
        np.testing.assert_allclose(kept(x, h).forces, fresh(x, h).forces, atol=1e-7)
        assert kept.rebuilds == lists


def test_energy_is_conserved_in_single_precision():
    positions, cell, species = toy_mace.rattled_cell()
    native = _native(toy_mace.build(atomic_inter_scale=3.0), species, "float32", skin_A=1.0)
    rng, step_fs, mass_u = np.random.default_rng(6), 1.0, 7.0
    acceleration = 9.648533e-3 / mass_u  # eV/(Å u) in Å/fs^2
    velocities = rng.normal(0.0, 0.006, positions.shape)  # Å/fs, about 400 K
    x, now = positions.copy(), native(positions, cell)
    totals = []
    for _ in range(2000):
        velocities += 0.5 * step_fs * acceleration * now.forces
        x = x + step_fs * velocities
        now = native(x, cell)
        velocities += 0.5 * step_fs * acceleration * now.forces
        totals.append((now.energy + 0.5 * np.sum(velocities**2) / acceleration) / len(x))
    totals = np.array(totals)
    assert native.rebuilds > 1
    assert totals.std() < 1e-4  # eV per atom
    assert abs(totals[-500:].mean() - totals[:500].mean()) < 2e-5


def test_positions_that_mean_nothing_are_refused_and_the_next_call_works():
    positions, cell, species = toy_mace.rattled_cell()
    native = _native(_model(), species, "float32")
    before = native(positions, cell)
    for value in (np.nan, np.inf, 1e300):
        broken = positions.copy()
        broken[5, 2] = value
        with pytest.raises(GuardError, match="blown up"):
            native(broken, cell)
    broken = positions.copy()
    broken[3] = broken[9] + 0.001
    with pytest.raises(GuardError, match=r"atoms 3 and 9 are 0\.0017 Å apart"):
        native(broken, cell)
    with pytest.raises(UserError, match="expected positions"):
        native(positions[:3], cell)
    with pytest.raises(GuardError, match="non-finite"):
        native(positions, np.full((3, 3), np.nan))
    np.testing.assert_array_equal(native(positions, cell).forces, before.forces)


def test_the_kernel_keeps_subnormal_numbers_of_the_process():
    positions, cell, species = toy_mace.rattled_cell(n_side=1)
    _native(_model(), species, "float32")(positions, cell)
    assert np.array([1e-310])[0] * 0.5 > 0.0
    assert np.array([1e-40], dtype=np.float32)[0] * np.float32(0.5) > 0.0


def test_weights_that_decayed_to_nothing_cost_no_accuracy():
    positions, cell, species = toy_mace.rattled_cell()
    module = toy_mace.build(atomic_inter_scale=SCALE)
    with toy_mace.torch.no_grad():
        for product in module.products:
            product.symmetric_contractions.contractions[0].weights_max[:, :, ::2] *= 1e-18
        module.interactions[0].skip_tp.weight[::3] *= 1e-20
    native = _native(module, species, "float32")
    _assert_close(native(positions, cell), _torch(module, species)(positions, cell), len(species))
