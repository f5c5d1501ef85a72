"""The configuration: complete, closed, documented."""

import copy
import json
import re

import jsonschema
import pytest
import yaml
from getsei import manual, settings
from getsei.errors import UserError

ROOT = settings.SCHEMA.parents[2]


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def set_key(config, path, value):
    node = config
    *parents, last = path.split(".")
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = value


def test_shipped_systems_are_complete(config):
    systems = settings.resolve(config)
    assert list(systems) == ["li6ps5cl", "li10gep2s12", "li7la3zr2o12"]
    for system in systems.values():
        assert set(settings.STAGES) <= set(system)


def test_shipped_defaults_are_those_of_the_schema(config):
    defaults = settings.default_settings(settings.load_schema())
    for stage, values in config["defaults"].items():
        if isinstance(values, dict):
            for key, value in values.items():
                assert defaults[stage][key] == value, f"{stage}.{key}"
        else:
            assert defaults[stage] == values


def test_every_key_is_described():
    def walk(node, path):
        for key, child in node.get("properties", {}).items():
            assert child.get("description"), f"{path}.{key} has no description"
            walk(child, f"{path}.{key}")

    schema = settings.load_schema()
    for name, node in schema["$defs"].items():
        walk(node, name)


def test_readme_of_the_configuration_is_in_step():
    written = (ROOT / "config/README.md").read_text()
    assert written == manual.document(settings.load_schema()), (
        "run: PYTHONPATH=scripts python -m getsei.manual > config/README.md"
    )


def test_system_entry_overrides_only_itself(config):
    set_key(config, "systems.li6ps5cl.md.production_ps", 320.0)
    systems = settings.resolve(config)
    assert systems["li6ps5cl"]["md"]["production_ps"] == 320.0
    assert systems["li10gep2s12"]["md"]["production_ps"] == config["defaults"]["md"]["production_ps"]
    assert systems["li6ps5cl"]["md"]["timestep_fs"] == config["defaults"]["md"]["timestep_fs"]


def test_fourth_system_is_one_entry(config):
    config["systems"]["li3ps4"] = {"interface": {"electrolyte": "Li3PS4_beta_ordered"}}
    assert len(settings.resolve(config)) == 4


BAD = [
    ("defaults.md.timestep_fs", -1, "timestep_fs"),
    ("defaults.md.timestep_fs", "2 fs", "timestep_fs"),
    ("defaults.md.timestep_fs", "1e-3", "write a decimal point"),
    ("defaults.md.timestep_ps", 0.002, "timestep_ps: unknown key"),
    ("defaults.md.production_temperature_K", -300, "production_temperature_K"),
    ("defaults.md.production_temperature_K", True, "production_temperature_K"),
    ("defaults.md.frame_interval_fs", 101, "not a multiple of timestep_fs"),
    ("defaults.md.segment_ps", 0.25001, "segment_ps"),
    ("defaults.kinetics.lag_ps", 0.25, "not a multiple of the analysed frame interval"),
    ("defaults.kinetics.lag_ps", 1000.0, "needs a production of at least"),
    ("defaults.kinetics.reversible", "no", "boolean"),
    ("defaults.kinetics.scan_lags_ps", [], "scan_lags_ps"),
    ("defaults.states.n_states", 1, "n_states"),
    ("defaults.states.n_states", "seven", "`auto`"),
    ("defaults.mobile", "Li", "mobile"),
    ("defaults.mobile", ["lithium"], "mobile"),
    ("defaults.interface.miller", [0, 0], "miller"),
    ("defaults.interface.miller", [0, 0, 0], "no plane"),
    ("defaults.interface.max_strain", 6, "max_strain"),
    ("defaults.gcl.loss", "simclr", "nt_xent"),
    ("defaults.tpt.target", "metal-like", "source and target"),
    ("defaults.replicas", 0, "replicas"),
    ("systems", {}, "systems"),
    ("systems", {"a b": None}, "cannot name a system"),
    ("systems", {"../x": None}, "cannot name a system"),
    ("systems", {"compare": None}, "cannot name a system"),
    ("systems", {"li3ps4": None}, "electrolyte: missing"),
    ("systems.li6ps5cl", {"interfaces": {}}, "li6ps5cl.interfaces: unknown key"),
    ("systems.li6ps5cl", [], "li6ps5cl"),
    ("default", {}, "default: unknown key"),
    ("systems.own", {"trajectory": {"files": []}}, "systems.own.trajectory.files"),
    ("systems.own", {"trajectory": {"file": ["a"]}}, "trajectory.file: unknown key"),
    ("systems.own", {"trajectory": {"files": ["a"]}, "interface": {"electrolyte": "b"}}, "keep one"),
    ("systems.own", {"trajectory": {"files": ["a"]}, "replicas": 2}, "{replica}"),
    (
        "systems.own",
        {"trajectory": {"files": ["a"], "frame_interval_fs": 300.0}},
        "trajectory.frame_interval_fs times environments.stride",
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[f"{p}={v}" for p, v, _ in BAD])
def test_mistakes_name_the_key(config, path, value, message):
    config = copy.deepcopy(config)
    set_key(config, path, value)
    with pytest.raises(UserError, match=re.escape(message)):
        settings.resolve(config)


def test_missing_systems(config):
    del config["systems"]
    with pytest.raises(UserError, match="systems: missing"):
        settings.resolve(config)


def test_systems_that_share_an_encoder_agree_on_its_training(config):
    for name in ("li6ps5cl", "li7la3zr2o12"):
        set_key(config, f"systems.{name}.gcl.scope", "shared")
    settings.resolve(config)
    set_key(config, "systems.li7la3zr2o12.gcl.steps", 300)
    set_key(config, "systems.li6ps5cl.environments.cutoff_A", 4.5)
    with pytest.raises(UserError) as caught:
        settings.resolve(config)
    assert "systems.li7la3zr2o12.gcl.steps: 300, but li6ps5cl has 400" in str(caught.value)
    assert "systems.li7la3zr2o12.environments.cutoff_A" in str(caught.value)


def test_run_chooses_among_the_systems(config):
    config["run"] = ["li10gep2s12"]
    assert list(settings.resolve(config)) == ["li10gep2s12"]
    config["run"] = ["li3n"]
    with pytest.raises(UserError, match=r"run: there is no system li3n; there are li6ps5cl, "):
        settings.resolve(config)


EXAMPLES = sorted((ROOT / "config/examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_with_the_default_and_the_quick_protocol(config, path):
    example = yaml.safe_load(path.read_text())
    quick = yaml.safe_load((ROOT / "config/quick.yaml").read_text())
    for protocol in ({}, quick):
        whole = {**config, **example, "systems": {**config["systems"], **example["systems"]}}
        whole["defaults"] = settings._merged(config["defaults"], protocol.get("defaults", {}))
        assert list(settings.resolve(whole)) == example["run"]
    assert example["pathvars"]["results"] == f"results/examples/{path.stem}"
    assert f"--configfile config/examples/{path.name}\n" in path.read_text()


def test_the_schema_of_editors_is_in_step():
    path = settings.SCHEMA.with_suffix(".json")
    assert path.read_text() == manual.editor_schema(settings.load_schema()), (
        "run: PYTHONPATH=scripts python -m getsei.manual --json > workflow/schemas/config.schema.json"
    )
    first = (ROOT / "config/config.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../workflow/schemas/config.schema.json"
    editor = jsonschema.Draft202012Validator(json.loads(path.read_text()))
    for example in EXAMPLES:
        assert "$schema=../../workflow/schemas/config.schema.json" in example.read_text().splitlines()[0]
        editor.validate(yaml.safe_load(example.read_text()))
    assert not editor.is_valid({"systems": {"a": {"interface": {"metall": "Li_bcc"}}}})
