"""A corpus of bad inputs: each must end in one clear message that names the key or the file."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from getsei import json_files, preflight, records, settings, tensors
from getsei.structures import crystals, stored

ROOT = Path(__file__).resolve().parents[1]
CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text())
CRYSTAL = yaml.safe_load((ROOT / "config/structures/Li6PS5Cl_ordered.yaml").read_text())
MODEL = "config/potentials/getsei-small.safetensors"
SYSTEM = "systems.li6ps5cl"


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes
    ----------
    name : str
    stop : callable
        Gets an empty folder; must raise UserError.
    says : str
        Part of the message.
    """

    name: str
    stop: Callable[[Path], Any]
    says: str


def resolve(config: Any, *files: Path) -> None:
    """What happens before any job: the workflow's own checks, in the folder of the workflow."""
    preflight.check_files(files)
    preflight.check(settings.resolve(config))


def edited(tree: Any, path: str, value: Any) -> Any:
    """Return a copy of nested settings with one key set; None as the value removes nothing."""
    changed = copy.deepcopy(tree)
    node = changed
    *parents, last = path.split(".")
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    node[int(last) if isinstance(node, list) else last] = value
    return changed


def setting(path: str, value: Any, says: str) -> Case:
    """A configuration with one key set."""
    return Case(f"{path}={value!r}"[:70], lambda _: resolve(edited(CONFIG, path, value)), says)


def text(name: str, lines: str, says: str) -> Case:
    """A configuration file with some lines added; Snakemake reads it, then getsei checks the file."""

    def stop(folder: Path) -> None:
        path = folder / "config.yaml"
        path.write_text(lines)
        try:
            loaded = {**CONFIG, **(yaml.safe_load(lines) or {})}
        except (yaml.YAMLError, TypeError, ValueError):
            loaded = CONFIG  # Snakemake stops by itself at what is no YAML
        resolve(loaded, path)

    return Case(name, stop, says)


def crystal(path: str, value: Any, says: str) -> Case:
    """A crystal file with one fact changed."""

    def stop(folder: Path) -> None:
        file = folder / "crystal.yaml"
        file.write_text(yaml.safe_dump(edited(CRYSTAL, path, value)))
        crystals.load(file)

    return Case(f"crystal {path}={value!r}"[:70], stop, says)


def content(name: str, data: bytes | str, read: Callable[[Path], Any], says: str) -> Case:
    """A file with the given content."""

    def stop(folder: Path) -> None:
        path = folder / name.split(" ")[0]
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        read(path)

    return Case(name, stop, says)


def load_model(**potential: Any) -> Callable[[Path], Any]:
    def read(path: Path) -> None:
        from getsei.potentials import calculators

        calculators.load({"model": str(path), **potential}, ["Li", "S"])

    return read


def damaged_model(path: Path) -> None:
    shutil.copy(ROOT / MODEL, path)
    data = bytearray(path.read_bytes())
    data[100_000] ^= 1
    path.write_bytes(bytes(data))
    load_model(sha256="d" * 64)(path)


SETTINGS = [
    # typos and unknown keys
    setting("defaults.md.timestep", 2.0, "defaults.md.timestep: unknown key"),
    setting("defaults.md.timestep_ps", 0.002, "timestep_ps: unknown key"),
    setting("defaults.md.production_ns", 1.0, "production_ns: unknown key"),
    setting("defaults.dynamics", {}, "defaults.dynamics: unknown key"),
    setting("default", {}, "default: unknown key"),
    setting(f"{SYSTEM}.interfaces", {}, "interfaces: unknown key"),
    setting(f"{SYSTEM}.interface.electrolite", "LiCl", "electrolite: unknown key"),
    setting("potential_training.round", 3, "potential_training.round: unknown key"),
    setting("pathvars", {"result": "x"}, "pathvars.result: unknown key"),
    # wrong kinds, YAML's readings of them
    setting("defaults.md.timestep_fs", "2 fs", "timestep_fs: '2 fs'"),
    setting("defaults.md.timestep_fs", "1e-3", "write a decimal point"),
    setting("defaults.md.timestep_fs", True, "yes, no, on and off"),
    setting("defaults.md.timestep_fs", None, "timestep_fs: None"),
    setting("defaults.md.timestep_fs", [2.0], "timestep_fs: [2.0]"),
    setting("defaults.md.timestep_fs", float("nan"), "timestep_fs: nan"),
    setting("defaults.md.production_ps", float("inf"), "production_ps: inf"),
    setting("defaults.md", None, "defaults.md: None"),
    setting("defaults.mobile", "Li", "mobile: 'Li'"),
    setting("defaults.mobile", [False], "mobile.0: False"),
    setting("defaults.mobile", [], "mobile: []"),
    setting("defaults.mobile", ["Li", "Li"], "mobile: ['Li', 'Li']"),
    setting("defaults.mobile", ["lithium"], "mobile.0: 'lithium'"),
    setting("defaults.kinetics.reversible", "no", "reversible: 'no'"),
    setting("defaults.kinetics.scan_lags_ps", [], "scan_lags_ps: []"),
    setting("defaults.kinetics.scan_lags_ps", "0.2, 0.5", "scan_lags_ps: '0.2, 0.5'"),
    setting("defaults.kinetics.bootstrap", 500.5, "bootstrap: 500.5"),
    setting("defaults.states.n_states", "six", "n_states: 'six'"),
    setting("defaults.gcl.loss", "simclr", "loss: 'simclr'"),
    setting("defaults.potential.dtype", "float16", "dtype: 'float16'"),
    setting("defaults.potential.sha256", "abc", "sha256: 'abc'"),
    setting("systems", [], "systems: []"),
    setting("systems", {}, "systems: {}"),
    setting("systems", {1: None}, "systems.1: YAML reads this key as 1"),
    setting("systems", {False: None}, "reads this key as False"),
    # out of range
    setting("defaults.md.production_temperature_K", -300.0, "production_temperature_K: -300.0"),
    setting("defaults.md.production_temperature_K", 0, "production_temperature_K: 0"),
    setting("defaults.md.production_temperature_K", 99999.0, "production_temperature_K: 99999.0"),
    setting("defaults.md.timestep_fs", -2.0, "timestep_fs: -2.0"),
    setting("defaults.md.timestep_fs", 2000.0, "timestep_fs: 2000.0"),
    setting("defaults.md.seed", -1, "seed: -1"),
    setting("defaults.interface.max_strain", 6, "max_strain: 6"),
    setting("defaults.interface.max_strain", -0.06, "max_strain: -0.06"),
    setting("defaults.interface.metal_thickness_A", 0, "metal_thickness_A: 0"),
    setting("defaults.interface.electrolyte_thickness_A", -70.0, "electrolyte_thickness_A: -70.0"),
    setting("defaults.interface.gap_A", 0.0, "gap_A: 0.0"),
    setting("defaults.interface.miller", [0, 0], "miller: [0, 0]"),
    setting("defaults.interface.miller", [0, 0, 0], "[0, 0, 0] is no plane"),
    setting("defaults.transport.diffusion_fit_ps", [25.0, 5.0], "[25.0, 5.0] is no range"),
    setting("defaults.transport.diffusion_fit_ps", [5.0], "transport.diffusion_fit_ps"),
    setting("defaults.interface.miller", [0, 0.5, 1], "miller.1: 0.5"),
    setting("defaults.environments.cutoff_A", 0.5, "cutoff_A: 0.5"),
    setting("defaults.states.n_states", 1, "n_states: 1"),
    setting("defaults.gcl.held_out_fraction", 1.5, "held_out_fraction: 1.5"),
    setting("defaults.replicas", 0, "replicas: 0"),
    setting("defaults.replicas", 1.5, "replicas: 1.5"),
    # keys against one another
    setting("defaults.md.frame_interval_fs", 101.0, "not a multiple of timestep_fs"),
    setting("defaults.md.segment_ps", 0.25001, "segment_ps"),
    setting("defaults.kinetics.lag_ps", 0.25001, "not a multiple of the analysed frame interval"),
    setting("defaults.kinetics.lag_ps", 100000.0, "needs a production of at least"),
    setting("defaults.tpt.target", "metal-like", "source and target"),
    # names
    setting("systems", {"a b": None}, "cannot name a system"),
    setting("systems", {"../x": None}, "cannot name a system"),
    setting("systems", {"li;rm -rf": None}, "cannot name a system"),
    setting("systems", {"{wildcard}": None}, "cannot name a system"),
    setting("systems", {"compare": None}, "cannot name a system"),
    setting("systems", {"Li6PS5Cl": None}, "cannot name a system"),
    setting("systems", {"a" * 60: None}, "cannot name a system"),
    setting("systems", {"li3ps4": None}, "electrolyte: missing"),
    # crystals and potentials that are not there or do not fit
    setting(f"{SYSTEM}.interface.electrolyte", "Li6PS5Cl_orderd", "did you mean Li6PS5Cl_ordered?"),
    setting(f"{SYSTEM}.interface.electrolyte", "../../etc/passwd", "no crystal '../../etc/passwd'"),
    setting(f"{SYSTEM}.interface.electrolyte", "", "electrolyte: ''"),
    setting(f"{SYSTEM}.interface.metal", "Na_bcc", "not Na, which the crystals hold"),
    setting(f"{SYSTEM}.interface.electrolyte", "Li3YCl6", "not Y, which the crystals hold"),
    setting(f"{SYSTEM}.mobile", ["Na"], "mobile: Na is in none of its crystals"),
    setting("defaults.potential.model", "", "model: ''"),
    setting("defaults.potential.model", "no/such.model", "there is no file no/such.model"),
    setting("defaults.potential.model", "README.md", "runs whatever code"),
    setting("defaults.potential.sha256", "0" * 64, "was replaced"),
    setting("defaults.potential.model", "mace:", "is incomplete"),
]
TEXTS = [
    text("two equal keys", "defaults:\n  replicas: 1\n  replicas: 2\n", "line 3: replicas is there twice"),
    text(
        "two equal systems", "systems:\n  a: {interface: {electrolyte: LiCl}}\n  a: {}\n", "a is there twice"
    ),
    text("octal", "defaults: {md: {seed: 010}}", "YAML reads 010 as 8"),
    text("sexagesimal", "defaults: {md: {production_ps: 1:40}}", "YAML reads 1:40 as 100"),
    text("key no", "systems:\n  no: {interface: {electrolyte: LiCl}}\n", "as False, not as text"),
    text("tab", "defaults:\n\treplicas: 1\n", "line 2: not readable as YAML"),
    text("open bracket", "defaults: {md: [1, 2\n", "not readable as YAML"),
    text("python tag", "defaults: !!python/object/apply:os.system [echo]\n", "not readable as YAML"),
    text(
        "endless aliases",
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{n}: &{n} [{', '.join(['*' + p] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "",
    ),
    text("a cycle", "defaults: &d {md: *d}\n", "for themselves"),
    text("too long", "# " + "x" * 1_000_001, "longer than"),
]
CRYSTALS = [
    crystal("formula", "Li6PS5Xx", "crystal.yaml: "),
    crystal("formula", "", "crystal.yaml: "),
    crystal("formula", "Li7PS5Cl", "the formula 28"),
    crystal("space_group", 500, "crystal.yaml: "),
    crystal("space_group", "F-43m", "crystal.yaml: "),
    crystal("cell", [9.86, 9.86, 9.86], "cell needs six positive numbers"),
    crystal("cell", [-9.86, 9.86, 9.86, 90, 90, 90], "cell needs six positive numbers"),
    crystal("cell", [9.86, 9.86, 9.86, 170, 90, 20], "crystal.yaml: "),
    crystal("cell", None, "crystal.yaml: "),
    crystal("charges.Li", 2, "charges"),
    crystal("sites.0.occupancy", {"Xx": 1.0}, "unknown element Xx"),
    crystal("sites.0.occupancy.Li", 1.5, "occupancies must sum to at most 1"),
    crystal("sites.0.occupancy.Li", -1.0, "occupancies"),
    crystal("sites.0.wyckoff", "48h", "generates 24 positions"),
    crystal("sites.0.position", [0.25, 0.25], "crystal.yaml: "),
    crystal("sites.0.position", [0.25, 0.25, float("nan")], "crystal.yaml: "),
    crystal("sites.2.position", [0.0, 0.0, 0.0], "crystal.yaml: "),
    crystal("sites", [], "crystal.yaml: "),
    crystal("colour", "white", "unknown key colour"),
    content("c.yaml empty", "", crystals.load, "c.yaml: expected the keys"),
    content("c.yaml CIF", "data_x\n_cell_length_a 9.86\nloop_\n", crystals.load, "c.yaml: "),
    content("c.yaml binary", b"\xff\xfe\x00\x80", crystals.load, "c.yaml: not a text file"),
]
XYZ = '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\nLi 0 0 0\nS 2 2 {z}\n'
FILES = [
    content("m.safetensors empty", b"", load_model(), "m.safetensors: not a safetensors file"),
    content("m.safetensors text", "not a model", load_model(), "m.safetensors: not a safetensors file"),
    content("m.model pickle", b"\x80\x04N.", load_model(), "runs whatever code"),
    content(
        "m.model of another kind", b"\x80\x04N.", load_model(trust=True), "cannot be read as a MACE model"
    ),
    content("m.safetensors damaged", b"", damaged_model, "potential.sha256 says dddd"),
    content("s.extxyz empty", "", stored.load_structure, "s.extxyz: not a readable structure"),
    content("s.extxyz cut", XYZ.format(z=2)[:-4], stored.load_structure, "s.extxyz: "),
    content(
        "s.extxyz without a cell", "1\n\nLi 0 0 0\n", stored.load_structure, "no volume or is not periodic"
    ),
    content("s.extxyz nan", XYZ.format(z="nan"), stored.load_structure, "finite coordinates"),
    content(
        "s.extxyz unknown element", XYZ.format(z=2).replace("S ", "Qq "), stored.load_structure, "s.extxyz: "
    ),
    content("r.json empty", "", json_files.load, "r.json: not readable as JSON"),
    content("r.json list", json.dumps([1]), json_files.load, "r.json: not readable as JSON"),
    content("t.h5 empty", "", records.Trajectory.load, "t.h5: not a readable Trajectory"),
    content("t.h5 text", "x" * 4096, records.States.load, "t.h5: not a readable States"),
    content("e.safetensors zeros", bytes(64), tensors.load, "e.safetensors: not a safetensors file"),
]
CASES = [*SETTINGS, *TEXTS, *CRYSTALS, *FILES]
