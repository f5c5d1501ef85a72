import json

import pytest
from getsei import crate
from getsei.errors import UserError

SETTINGS = {"md": {"seed": 3, "production_ps": 1.0}, "gcl": {"seed": 4}}


@pytest.fixture
def run(tmp_path):
    results = tmp_path / "results/lps"
    (results / "r1").mkdir(parents=True)
    (results / "summary.json").write_text("{}")
    (results / "r1/trajectory.h5").write_bytes(b"frames")
    (results / "r1/x.checkpoint").mkdir()
    (results / "r1/x.checkpoint/state.json").write_text("{}")
    (results / ".hidden").write_text("x")
    model = tmp_path / "config/toy.safetensors"
    model.parent.mkdir()
    model.write_bytes(b"weights")
    described = crate.describe(results, "lps", SETTINGS, [model], {"numpy": "2"})
    (results / crate.NAME).write_text(json.dumps(described))
    return results


def entities(run):
    graph = json.loads((run / crate.NAME).read_text())["@graph"]
    assert len({entity["@id"] for entity in graph}) == len(graph)
    return {entity["@id"]: entity for entity in graph}


def test_crate_has_what_the_specification_asks(run):
    found = entities(run)
    assert json.loads((run / crate.NAME).read_text())["@context"] == "https://w3id.org/ro/crate/1.1/context"
    assert found[crate.NAME]["about"] == {"@id": "./"}
    root = found["./"]
    assert root["@type"] == "Dataset"
    assert {"name", "description", "datePublished", "license"} <= set(root)
    parts = {part["@id"] for part in root["hasPart"]}
    assert parts == {"summary.json", "r1/trajectory.h5"}
    for kind in ("object", "result", "instrument"):
        for part in found["#run"][kind]:
            assert part["@id"] in found, f"{part['@id']} is named but not described"


def test_crate_holds_inputs_seeds_and_versions(run):
    found = entities(run)
    assert len(found["../../config/toy.safetensors"]["sha256"]) == 64
    assert found["#seed-md.seed"]["value"] == 3
    assert found["#numpy"]["softwareVersion"] == "2"
    assert json.loads(found["#settings"]["value"]) == SETTINGS


def test_verify_finds_what_changed(run, capsys):
    path = run / crate.NAME
    assert crate.verify(path) == []
    assert crate.main([str(path)]) == 0
    (run / "new.csv").write_text("1")
    assert crate.main([str(path)]) == 0, "an added file is told, not an error"
    assert "new.csv: not in the crate" in capsys.readouterr().out
    (run / "summary.json").write_text("{ }")
    (run / "r1/trajectory.h5").unlink()
    (run.parents[1] / "config/toy.safetensors").write_bytes(b"other")
    said = "\n".join(crate.verify(path))
    assert "toy.safetensors: changed" in said
    assert "summary.json: changed" in said
    assert "trajectory.h5: missing" in said
    assert crate.main([str(path)]) == 1


def test_damaged_crates_and_none_are_said(run, capsys):
    (run / crate.NAME).write_text("{}")
    with pytest.raises(UserError, match="not the RO-Crate"):
        crate.verify(run / crate.NAME)
    assert crate.main([str(run / crate.NAME)]) == 1
    assert crate.main([]) == 1
    assert "run the workflow first" in capsys.readouterr().err
