"""Which engine runs a model, and what is said when it is not the one asked for."""

import dataclasses
import logging

import numpy as np
import pytest
import toy_mace
from getsei import provenance, tensors
from getsei.errors import UserError
from getsei.potentials import models
from getsei.potentials.native import build, check, export, stored

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn still scripts its modules


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_mace.save(toy_mace.build(), tmp_path_factory.mktemp("model") / "toy.safetensors")


@pytest.fixture(scope="module")
def cell():
    return toy_mace.rattled_cell(n_side=2)


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("GETSEI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)


def test_native_engine_is_chosen_checked_and_logged(native_cache, model, cell, caplog):
    positions, h, species = cell
    with caplog.at_level(logging.INFO, logger="getsei"):
        evaluator = models.load(model, species)
        evaluator(positions, h)
    assert evaluator.name.startswith("native float32")
    assert "agrees with PyTorch on 8 atoms" in caplog.text
    reference = models.load(model, species, engine="torch", dtype="float64")
    np.testing.assert_allclose(evaluator(positions, h).forces, reference(positions, h).forces, atol=5e-5)


def test_without_a_compiler_torch_runs_and_the_log_says_why(no_compiler, model, cell, caplog):
    positions, h, species = cell
    evaluator = models.load(model, species)
    assert evaluator.name == "torch float32"
    assert "no C++ compiler" in caplog.text
    assert np.isfinite(evaluator(positions, h).energy)
    with pytest.raises(UserError, match="no C\\+\\+ compiler"):
        models.load(model, species, engine="native")


def test_a_cached_library_needs_no_compiler(native_cache, model, cell, monkeypatch, tmp_path):
    models.load(model, cell[2], engine="native")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert models.load(model, cell[2], engine="native").name.startswith("native")


def test_a_compiler_that_fails_is_quoted(no_compiler, monkeypatch, model, cell, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'broken.cpp:1: error: out of order' >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(UserError, match="error: out of order"):
        models.load(model, cell[2], engine="native")


SHAPE = {"channels": 16, "lmax": 1, "dtype": "float32", "target": "generic"}


@pytest.fixture
def damaged(native_cache, monkeypatch, tmp_path):
    """Return the path of a cached library of which only the first half is left."""
    # A folder of its own: other tests leave libraries in the shared one, and a process loads a path once.
    monkeypatch.setenv("GETSEI_CACHE", str(tmp_path / "cache"))
    build.library(**SHAPE)
    (path,) = build.cache_folder().glob("*-generic-*.so")
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.unlink()
    path.write_bytes(half)
    return path


def test_a_damaged_library_is_compiled_again(damaged, caplog):
    build.library(**SHAPE)
    assert f"{damaged}: damaged" in caplog.text
    assert provenance.file_digest(damaged) == damaged.with_suffix(".sha256").read_text()


def test_a_damaged_library_is_never_loaded_and_without_a_compiler_torch_runs(
    damaged, model, cell, monkeypatch, tmp_path, caplog
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(build.BuildError, match="no C"):
        build.library(**SHAPE)
    assert models.load(model, cell[2]).name == "torch float32"


def test_a_cache_that_cannot_be_written_is_done_without(native_cache, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("GETSEI_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(build.tempfile, "tempdir", str(tmp_path))
    assert build.library(**SHAPE).edge_size() > 0
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(
    ("machine", "flags", "target"),
    [
        ("aarch64", "fp asimd", "generic"),
        ("x86_64", "sse2 avx", "generic"),
        ("x86_64", "sse2 avx avx2 fma", "avx2"),
        ("x86_64", "avx avx2 fma avx512f", "avx2"),
        ("x86_64", "avx2 fma avx512f avx512vl avx512dq avx512bw", "avx512"),
    ],
)
def test_a_processor_gets_the_best_target_it_runs(monkeypatch, tmp_path, machine, flags, target):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags : {flags}\n", encoding="ascii")
    monkeypatch.setattr(build.platform, "machine", lambda: machine)
    assert build.best_target(cpuinfo) == target
    assert build.best_target(tmp_path / "absent") == "generic"


def _spoil(monkeypatch):
    """Make the tables give forces that are a little wrong."""

    def wrong(model, digest, module):
        tables = export.export(module)
        return dataclasses.replace(tables, readout=tables.readout * 1.01, zbl=tables.zbl * [1.001, 1.0, 1.0])

    monkeypatch.setattr(stored, "tables", wrong)


def test_a_kernel_that_differs_from_torch_is_not_used(native_cache, model, cell, monkeypatch, caplog):
    _spoil(monkeypatch)
    positions, h, species = cell
    evaluator = models.load(model, species)
    reference = models.load(model, species, engine="torch")
    np.testing.assert_array_equal(evaluator(positions, h).forces, reference(positions, h).forces)
    assert evaluator.name == "torch float32"
    assert "differs from PyTorch (" in caplog.text
    with pytest.raises(UserError, match="differs from PyTorch here: energy"):
        models.load(model, species, engine="native")(positions, h)


def test_the_native_engine_has_no_gpu(model, cell):
    with pytest.raises(UserError, match="native runs on the CPU"):
        models.load(model, cell[2], engine="native", device="cuda")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hidden": "8x0e + 8x1o"}, "not scalars"),
        ({"correlation": 3}, "correlation exceeds two"),
        ({"lmax": 4}, "lmax is 4"),
        ({"heads": ["one", "two"], "atomic_energies": np.zeros((2, 4))}, "several heads"),
        ({"first": "RealAgnosticDensityInteractionBlock"}, "RealAgnosticDensityInteractionBlock"),
        ({"gate": toy_mace.torch.tanh}, "not a SiLU"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_models_outside_the_class_are_refused_with_the_reason(options, reason):
    with pytest.raises(export.UnsupportedModelError, match=reason):
        export.export(toy_mace.build(**options))


def test_a_model_outside_the_class_runs_on_torch(tmp_path, cell, caplog):
    path = toy_mace.save(toy_mace.build(hidden="8x0e + 8x1o"), tmp_path / "vectors.safetensors")
    assert models.load(path, cell[2]).name == "torch float32"
    assert "not scalars" in caplog.text


def test_tables_are_stored_beside_the_model_and_used_while_it_is_the_same(
    native_cache, cell, monkeypatch, tmp_path
):
    module = toy_mace.build()
    path = toy_mace.save(module, tmp_path / "toy.safetensors")
    digest = provenance.file_digest(path)
    made = stored.tables(path, digest, module)
    kept = path.with_name("toy.tables.safetensors")
    assert tensors.facts(kept)["model_sha256"] == digest
    monkeypatch.setattr(export, "export", lambda module: pytest.fail("exported again"))
    again = stored.tables(path, digest, module)
    for name in stored.FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
    assert models.load(path, cell[2], engine="native")(*cell[:2]).energy != 0.0


@pytest.mark.parametrize("change", ["another model", "damaged", "another exporter", "not tables"])
def test_stored_tables_that_do_not_fit_are_made_anew(native_cache, change, tmp_path):
    module = toy_mace.build()
    path = toy_mace.save(module, tmp_path / "toy.safetensors")
    stored.tables(path, "digest", module)
    kept = path.with_name("toy.tables.safetensors")
    arrays, facts = tensors.load(kept)
    if change == "another model":
        tensors.save(kept, arrays, facts | {"model_sha256": "other"})
    elif change == "damaged":
        kept.write_bytes(kept.read_bytes()[:-100])
    elif change == "another exporter":
        tensors.save(kept, arrays, facts | {"exporter_sha256": "other"})
    else:
        tensors.save(kept, {"zbl": arrays["zbl"]}, facts)
    before = kept.read_bytes()
    found = stored.tables(path, "digest", module)
    np.testing.assert_array_equal(found.radial, arrays["radial"])
    assert kept.read_bytes() != before
    assert tensors.facts(kept) == facts


def test_tables_go_to_the_cache_where_the_folder_of_the_model_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setenv("GETSEI_CACHE", str(tmp_path / "cache"))
    module, save = toy_mace.build(), tensors.save
    path = tmp_path / "shared" / "toy.safetensors"

    def refuse(to, *content):
        if to.parent == path.parent:
            raise PermissionError("read-only")
        save(to, *content)

    monkeypatch.setattr(tensors, "save", refuse)
    stored.tables(path, "digest", module)
    monkeypatch.setattr(export, "export", lambda module: pytest.fail("exported again"))
    assert stored.tables(path, "digest", module).channels == 8


def test_large_systems_are_compared_on_a_part(monkeypatch):
    monkeypatch.setattr(check, "LARGEST_SAMPLE", 10)
    positions, h, _ = toy_mace.rattled_cell()
    chosen, rattled, box = check.sample(positions, h, 4.0)
    assert len(chosen) == 10
    assert 0.0 < np.abs(rattled - positions[chosen]).max() < 6 * check.RATTLE_A
    assert (np.diag(box) >= np.ptp(rattled, axis=0) + 4.0).all()


def test_deviations_that_are_not_numbers_are_in_excess():
    assert not check.Deviation(energy=0.0, forces=0.0, virial=0.0, largest_force=1.0).excess()
    assert "forces" in check.Deviation(energy=0.0, forces=np.nan, virial=0.0, largest_force=1.0).excess()
