import argparse
import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import records_factory

PATH = Path(__file__).resolve().parents[2] / "benchmarks/check_states.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("check_states", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def states():
    found = records_factory.system(n_ions=12, n_frames=20)["states"]
    for row in found.choice:
        row |= {"silhouette_held_out": 0.5, "silhouette_null": 0.2, "silhouette": 0.55, "seed_ari": 0.9}
    return found


def test_every_bar_of_a_system_is_judged(script, states):
    bars = list(script.quality("x", states, rank=3.5))
    assert [bar.met for bar in bars if bar.limit] == [True] * 4
    states.choice[4] |= {"silhouette_held_out": 0.28, "silhouette_null": 0.25, "seed_ari": np.nan}
    bars = list(script.quality("x", states, rank=2.9))
    assert [bar.met for bar in bars if bar.limit] == [False] * 4
    assert any("why x falls short" in bar.what for bar in bars)


def test_reasons_tell_a_limit_of_the_data_from_one_of_the_encoder(script, states):
    for rank, says in ((1.5, "no description of these environments has more"), (3.4, "without learning:")):
        rows = [dict(row, effective_rank=rank) for row in states.baselines]
        said = list(script.reasons(dataclasses.replace(states, baselines=rows)))
        assert any(says in line for line in said)
        assert "of all environments are" in said[0]


def test_what_cannot_be_measured_is_not_met_and_says_what_to_run(script, monkeypatch, capsys, tmp_path):
    (bar,) = script.check_own(argparse.Namespace(results=str(tmp_path)))
    assert bar.met is None
    monkeypatch.setattr("sys.argv", ["check_states", "--only", "own", "--results", str(tmp_path)])
    assert script.main() == 1
    assert "run `make` first" in capsys.readouterr().out


def test_the_benchmark_lattice_has_the_neighbours_it_says(script):
    found = script.environments.extract(script.lattice(n_frames=2), ["Li"], 5.0)
    assert len(found.species) / (len(found.offsets) - 1) == pytest.approx(24.5, abs=0.6)
