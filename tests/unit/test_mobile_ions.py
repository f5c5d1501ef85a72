"""Several kinds of mobile ions: each with its own shells, together and one by one."""

import numpy as np
import pytest
import yaml
from getsei import environments, records, settings
from getsei.errors import UserError
from getsei.states import chemistry

CELL = 7.0 * np.eye(3)


def mixture():
    """One Li and one Na, each between six S in planes at 2.5 and at 2.9 Å, and far from one another."""
    axes = np.vstack([np.eye(3), -np.eye(3)])
    points = [np.zeros(3), np.array([60.0, 0.0, 0.0]), *(2.5 * axes), *([60.0, 0.0, 0.0] + 2.9 * axes)]
    species = np.array(["Li", "Na"] + 12 * ["S"])
    rng = np.random.default_rng(1)
    frames = np.array(points)[None] + rng.normal(0.0, 0.03, (40, len(points), 3))
    return records.Trajectory(
        positions=frames.astype(np.float32),
        cells=np.diag([120.0, 40.0, 40.0])[None],
        species=species,
        stage=np.zeros(40, dtype=int),
        segments=np.array([[0, 40]]),
        temperature=np.full(40, np.nan),
        potential_energy=np.full(40, np.nan),
        stages=["produce"],
        frame_interval_ps=0.1,
        provenance={},
    )


def test_every_ion_has_the_shell_of_its_element():
    together = environments.extract(mixture(), ["Li", "Na"], 5.0)
    assert together.ions == ["Li", "Na"]
    cutoffs = chemistry.shell_cutoffs([together], ["Li", "Na"], ["Li", "Na", "S"])
    assert list(cutoffs) == ["Li-Li", "Li-Na", "Li-S", "Na-Li", "Na-Na", "Na-S"]
    assert cutoffs["Li-S"] == pytest.approx(chemistry.fallback_cutoff("Li", "S"), abs=0.8)
    assert cutoffs["Na-S"] == pytest.approx(chemistry.fallback_cutoff("Na", "S"), abs=0.8)
    edges, around_sodium = chemistry.distance_histograms([together], ["S"], "Na")
    assert around_sodium.sum() == 40 * 6
    middles = 0.5 * (edges[1:] + edges[:-1])
    assert np.average(middles, weights=around_sodium[0]) == pytest.approx(2.9, abs=0.02)
    # A limit between both shells keeps the one of lithium and loses that of sodium, unless each has its own.
    limits = {"Li": [0.0, 0.0, 2.7], "Na": [0.0, 0.0, 3.3]}
    found = chemistry.surroundings(together, ["Li", "Na", "S"], [*limits["Li"], *limits["Na"]], ["Li", "Na"])
    np.testing.assert_array_equal(found.coordination[..., 2], 6)
    lost = chemistry.surroundings(together, ["Li", "Na", "S"], 2 * limits["Li"], ["Li", "Na"])
    assert lost.coordination[:, 1, 2].mean() < 1.0


def test_an_ion_alone_needs_no_list_of_ions(tmp_path):
    alone = environments.extract(mixture(), ["Na"], 5.0)
    assert alone.ions == []
    assert list(chemistry.centres(alone, ["Na"])) == [0]
    together = environments.extract(mixture(), ["Li", "Na"], 5.0)
    together.save(tmp_path / "environments.h5")
    assert records.Environments.load(tmp_path / "environments.h5").ions == ["Li", "Na"]


def test_names_follow_the_ions():
    coordination = np.array([[4.0, 8.0, 0.0], [1.0, 1.0, 4.0], [4.0, 4.0, 3.0]])
    names = chemistry.name_states(coordination, ["Li", "Na", "S"], ["Li", "Na"], mean_mobile=4.0)
    assert names == ["metal-like", "S4", "S3 Li/Na-rich"]
    alone = chemistry.name_states(coordination[:, 1:], ["Na", "S"], ["Na"], mean_mobile=2.0)
    assert alone == ["metal-like", "S4", "S3 Na-rich"]


def test_several_mobile_elements_are_analysed_together_and_one_by_one():
    config = yaml.safe_load((settings.SCHEMA.parents[2] / "config/config.yaml").read_text())
    config["systems"] = {
        "mixed": {"mobile": ["Li", "Na"], "interface": {"electrolyte": "Li3PS4_beta_ordered"}}
    }
    found = settings.resolve(config)
    assert list(found) == ["mixed", "mixed_li", "mixed_na"]
    assert found["mixed_na"]["mobile"] == ["Na"]
    assert found["mixed_na"]["sampled_by"] == "mixed"
    assert "sampled_by" not in found["mixed"]
    config["systems"]["mixed_na"] = config["systems"]["mixed"] | {"mobile": ["Li"]}
    with pytest.raises(UserError, match=r"systems.mixed_na: the analysis of Na in mixed has this name too"):
        settings.resolve(config)
