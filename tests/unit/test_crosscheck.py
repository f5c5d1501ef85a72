"""The cross-check compares what it says and tells when it cannot."""

import dataclasses
from pathlib import Path

import chains as examples
import numpy as np
import pytest
from getsei.errors import UserError
from getsei.kinetics import crosscheck, koopman, reactive_flux

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # deeptime predates this NumPy
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def flux():
    states = examples.states_of(examples.sample(examples.SIX_STATES, 60, 300, seed=3), 6)
    return reactive_flux.analyse(states, koopman.fit(states, examples.SETTINGS), examples.ENDPOINTS)


@pytest.fixture
def one_program(monkeypatch):
    monkeypatch.setattr(crosscheck, "PROGRAMS", {"deeptime": crosscheck.PROGRAMS["deeptime"]})


def test_deeptime_agrees_in_every_quantity(flux, one_program):
    rows = crosscheck.compare(flux)
    assert len(rows) == 7
    assert all(row["passed"] for row in rows)
    total = next(row for row in rows if row["quantity"] == "total flux")
    assert total["getsei"] == pytest.approx(flux.estimates["total_flux"]["value"])


def test_another_matrix_is_noticed(flux, one_program, monkeypatch):
    theirs = crosscheck.PROGRAMS["deeptime"]

    def skewed(operator, source, target):
        other = 0.999 * operator + 0.001 * np.roll(np.eye(len(operator)), 1, axis=1)
        return theirs(other, source, target)

    monkeypatch.setitem(crosscheck.PROGRAMS, "deeptime", skewed)
    assert not any(row["passed"] for row in crosscheck.compare(flux))


def test_missing_program_is_named_with_the_remedy(flux, monkeypatch):
    def missing(*_):
        raise ModuleNotFoundError("No module named 'pyemma'")

    monkeypatch.setattr(crosscheck, "PROGRAMS", {"PyEMMA": missing})
    with pytest.raises(UserError, match=r"PyEMMA is not installed .*make crosscheck"):
        crosscheck.compare(flux)


def test_no_flux_is_said(flux):
    none = dataclasses.replace(flux, forward_committor=np.full(6, np.nan), note="no electrolyte left")
    with pytest.raises(UserError, match="no electrolyte left"):
        crosscheck.compare(none)


def test_program_passes_on_its_own_message(flux, tmp_path):
    flux.save(tmp_path / "flux.h5")
    with pytest.raises(UserError, match="not a readable ReactiveFlux file"):
        crosscheck.run(tmp_path / "absent.h5", tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()


def test_nothing_else_knows_pyemma():
    library = Path(crosscheck.__file__).parents[1]
    knowing = [path.name for path in library.rglob("*.py") if "pyemma" in path.read_text().lower()]
    assert knowing == ["crosscheck.py"]
