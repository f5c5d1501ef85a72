"""Compiled gradients of a training against mace-torch's own."""

import functools
import logging

import mace_batches
import numpy as np
import pytest
import toy_mace
from getsei.potentials.models import torch
from getsei.potentials.native import build, gradients, reading

# isort: split
from mace.modules.loss import UniversalLoss  # after `models`

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # e3nn still scripts its modules
    pytest.mark.filterwarnings("ignore::UserWarning"),  # and mace-torch copies tensors as it likes
    pytest.mark.usefixtures("native_cache"),
]

SCALE = 30.0
FINE, TOLERANCE = 1200.0, 1e-6
"""Knots per Å at which interpolation no longer hides a mistake, and the relative difference left then."""
VARIANTS = {
    "plain first block": {},
    "residual first block": {"first": "RealAgnosticResidualInteractionBlock"},
    "one interaction": {"layers": 1},
    "three interactions": {"layers": 3},
    "lmax 1, correlation 1": {"lmax": 1, "correlation": 1},
    "lmax 3": {"lmax": 3},
    "no repulsion": {"pair_repulsion": False},
    "cutoff after the radial network": {"apply_cutoff": False},
    "last readout only": {"use_last_readout_only": True},
}


@functools.cache
def _model(**options):
    return toy_mace.build(**{"channels": 16, "atomic_inter_scale": SCALE, **options})


@pytest.fixture(autouse=True)
def double():
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(previous)


def _answers(module, function, batch, loss):
    """Return what a function says of a batch, and the gradients of a loss on it."""
    module.zero_grad()
    found = function(batch.to_dict())
    loss(pred=found, ref=batch).backward()
    slopes = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return {key: found[key].detach() for key in ("energy", "forces", "virials", "stress")}, slopes


def _assert_same(found, known, tolerance):
    assert set(found) == set(known)
    for name in known:
        largest = known[name].abs().max()
        assert (found[name] - known[name]).abs().max() <= tolerance * largest, name


def _mace(module):
    return lambda batch: module(
        batch, training=True, compute_force=True, compute_virials=True, compute_stress=True
    )


CELLS = (
    toy_mace.rattled_cell(n_side=2, skew=0.3),
    toy_mace.rattled_cell(n_side=3, symbols=["Li", "S"], seed=5),
)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_answers_and_gradients_are_those_of_mace(options, monkeypatch):
    monkeypatch.setattr(reading, "KNOTS_PER_A", FINE)
    module = _model(**options)
    batch, loss = mace_batches.batch(module, CELLS), UniversalLoss(1.0, 10.0, 10.0)
    known, known_slopes = _answers(module, _mace(module), batch, loss)
    reader = reading.Reader(module)
    found, slopes = _answers(module, functools.partial(gradients.evaluate, reader), batch, loss)
    assert known["forces"].abs().max() > 0.1
    _assert_same(found, known, TOLERANCE)
    _assert_same(slopes, known_slopes, TOLERANCE)


def test_the_knots_in_use_are_close_enough():
    module = _model()
    batch, loss = mace_batches.batch(module, CELLS), UniversalLoss(1.0, 10.0, 10.0)
    known, known_slopes = _answers(module, _mace(module), batch, loss)
    reader = reading.Reader(module)
    found, slopes = _answers(module, functools.partial(gradients.evaluate, reader), batch, loss)
    _assert_same(found, known, gradients.TOLERANCE)
    _assert_same(slopes, known_slopes, 20 * gradients.TOLERANCE)


def test_atoms_that_clash_and_atoms_alone():
    module = _model()
    near = (np.array([[0.0, 0, 0], [0.7, 0, 0]]), 12.0 * np.eye(3), ["Li", "S"])
    alone = (np.zeros((1, 3)), 12.0 * np.eye(3), ["P"])
    batch, loss = mace_batches.batch(module, [near, alone]), UniversalLoss(1.0, 10.0, 10.0)
    known, _ = _answers(module, _mace(module), batch, loss)
    found, _ = _answers(module, functools.partial(gradients.evaluate, reading.Reader(module)), batch, loss)
    assert known["forces"].abs().max() > 10.0
    _assert_same(found, known, gradients.TOLERANCE)


def test_gradients_follow_weights_that_change():
    module = toy_mace.build(channels=16)
    batch = mace_batches.batch(module, CELLS[:1])
    reader = reading.Reader(module)
    before = gradients.evaluate(reader, batch.to_dict())["energy"].item()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.1)
    after = gradients.evaluate(reader, batch.to_dict())["energy"].item()
    assert after == pytest.approx(_mace(module)(batch.to_dict())["energy"].item(), rel=1e-6)
    assert abs(after - before) > 1e-3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"channels": 20}, "multiple of 16"),
        ({"channels": 16, "distance_transform": "Agnesi"}, "differ between pairs"),
        ({"channels": 16, "hidden": "16x0e+16x1o"}, "not scalars"),
    ],
)
def test_models_outside_the_class_are_left_to_mace(options, reason, caplog):
    module = toy_mace.build(**options)
    with caplog.at_level(logging.INFO, logger="getsei"):
        model = gradients.Accelerated(module)
    assert reason in caplog.text
    batch = mace_batches.batch(module, CELLS[:1])
    options = {"training": True, "compute_force": True, "compute_virials": False, "compute_stress": True}
    known = module(batch.to_dict(), **options)
    torch.testing.assert_close(model(batch.to_dict(), **options)["forces"], known["forces"])


def test_a_first_batch_without_forces_says_nothing_against_compiled_gradients():
    module = _model()
    model = gradients.Accelerated(module)
    alone = [(np.zeros((1, 3)), 12.0 * np.eye(3), [symbol]) for symbol in ("Li", "S")]
    options = {"training": True, "compute_force": True, "compute_virials": False, "compute_stress": True}
    assert not model(mace_batches.batch(module, alone).to_dict(), **options)["forces"].any()
    assert model._reader is not None


def test_without_a_compiler_mace_differentiates(monkeypatch, caplog):
    def no_compiler(**_):
        raise build.BuildError("no C++ compiler")

    monkeypatch.setattr(build, "library", no_compiler)
    with caplog.at_level(logging.INFO, logger="getsei"):
        gradients.Accelerated(_model())
    assert "no C++ compiler" in caplog.text


def test_wrong_forces_end_the_use_of_compiled_gradients(monkeypatch, caplog):
    module = _model()
    model = gradients.Accelerated(module)
    monkeypatch.setattr(model._reader, "cutoff_A", 1.001 * model._reader.cutoff_A)
    batch = mace_batches.batch(module, CELLS[:1])
    options = {"training": True, "compute_force": True, "compute_virials": False, "compute_stress": True}
    found = model(batch.to_dict(), **options)
    assert "mace-torch differentiates" in caplog.text
    torch.testing.assert_close(found["forces"], module(batch.to_dict(), **options)["forces"])
    assert model._reader is None
