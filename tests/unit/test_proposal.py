"""`make new`: the entry it writes is valid, commented, and fits the crystal."""

import pytest
import yaml
from getsei import proposal
from getsei.errors import UserError
from getsei.structures import crystals, interfaces
from test_crystal_files import cif_of


def test_sodium_gets_sodium_and_a_potential_that_knows_it():
    text = proposal.propose("na3ps4", "Na3PS4_tetragonal")
    entry = yaml.safe_load(text)["systems"]["na3ps4"]
    assert entry["mobile"] == ["Na"]
    assert entry["potential"] == {"model": "chgnet"}
    assert entry["interface"]["metal"] == "Na_bcc"
    assert entry["environments"]["cutoff_A"] > 5.0
    assert entry["md"]["production_temperature_K"] < 370
    assert "lacks Na" in text
    assert text.count("#   (") >= 4, "a table of alternatives"


def test_the_proposed_match_is_the_one_that_is_built(tmp_path):
    path = cif_of("Li6PS5Cl_ordered", tmp_path / "mine.cif")
    interface = yaml.safe_load(proposal.propose("mine", str(path)))["systems"]["mine"]["interface"]
    assert interface["charges"] == {"Li": 1, "Cl": -1, "S": -2, "P": 5}
    electrolyte = crystals.load(path, interface["charges"])
    metal = crystals.load(interface["metal"])
    found = proposal.options(electrolyte, metal, (10.0, 10.0), interface["min_width_A"])
    chosen = next(option for option in found if list(option.miller) == interface["miller"])
    built = interfaces.build(
        electrolyte,
        metal,
        metal_lattice_A=metal.parameters[0],
        miller=interface["miller"],
        electrolyte_thickness_A=10.0,
        metal_thickness_A=10.0,
        ordering_draws=1,
        min_mobile_distance_A=2.2,
        seed=1,
        **{key: interface[key] for key in ("max_strain", "min_width_A", "gap_A", "termination")},
    )
    assert built.report["metal_strain"]["largest"] == pytest.approx(chosen.strain)
    assert built.report["n_atoms"] == pytest.approx(chosen.n_atoms, rel=0.15)


def test_a_metal_of_another_element_adds_its_ion():
    entry = yaml.safe_load(proposal.propose("a", "Li3PS4_beta_ordered", "Na_bcc"))["systems"]["a"]
    assert entry["mobile"] == ["Li", "Na"]
    alone = yaml.safe_load(proposal.propose("b", "Li3PS4_beta_ordered", "none"))["systems"]["b"]
    assert alone["interface"]["metal"] == "none"


def test_a_disordered_crystal_gets_a_distance_its_ions_can_keep():
    entry = yaml.safe_load(proposal.propose("a", "Li3PS4_beta"))["systems"]["a"]["interface"]
    assert entry["ordering_draws"] == 8
    assert 1.2 <= entry["min_mobile_distance_A"] <= 2.2


def test_the_command_writes_once_and_explains_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    assert proposal.main(["li2s", "Li2S", "none"]) == 0
    assert "written to config/li2s.yaml" in capsys.readouterr().out
    assert yaml.safe_load((tmp_path / "config/li2s.yaml").read_text())["run"] == ["li2s"]
    for arguments, message in (
        (["li2s", "Li2S", "none"], "is there already"),
        (["", "", ""], "say which: make new SYSTEM=name"),
        (["x", "absent.cif", ""], "no crystal 'absent.cif'"),
        (["x", "La2O3", ""], "holds none of Li, Na, K, Mg"),
        (["Big Name", "Li2S", "none"], "cannot name a system"),
    ):
        assert proposal.main(arguments) == 1
        assert message in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["li2s.yaml"]


def test_no_match_is_said(monkeypatch):
    monkeypatch.setattr(proposal, "STRAINS", (0.0001,))
    with pytest.raises(UserError, match="match within 0% on no low-index plane"):
        proposal.propose("x", "Li3InCl6")
