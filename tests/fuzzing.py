"""What is fuzzed: the configuration, and every reader of a file that a user may hand in or damage."""

import contextlib
import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trajectory_files
import yaml
from getsei import json_files, preflight, records, settings, strict_yaml, tensors
from getsei.errors import UserError
from getsei.structures import crystals, stored
from getsei.trajectory import intake, readers
from getsei.trajectory.timing import Options
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]
CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text())
CRYSTAL = yaml.safe_load((ROOT / "config/structures/Li6PS5Cl_ordered.yaml").read_text())
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(width=64)
    | st.text(max_size=12)
    | st.sampled_from(["1e-3", "no", "Li", "auto", "../x", "0.1", "metal-like", -1, 0, 1.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@dataclass(frozen=True)
class Target:
    """Something that reads what it must not trust.

    Attributes
    ----------
    name : str
    strategy : hypothesis strategy
    read : callable
        Gets a sample and a folder; raises only what a bug raises.
    """

    name: str
    strategy: Any
    read: Callable[[Any, Path], None]


def paths_of(tree: Any, at: tuple = ()) -> list[tuple]:
    """Return the path of every node of nested settings."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at] * bool(at) + [path for key, child in children for path in paths_of(child, (*at, key))]


def mutated(tree: Any) -> Any:
    """Strategy: nested settings with up to three nodes replaced or misspelt."""
    known = paths_of(tree)

    def apply(changes: list[tuple]) -> Any:
        changed = copy.deepcopy(tree)
        for path, value, rename in changes:
            node = changed
            try:
                for key in path[:-1]:
                    node = node[key]
                if rename and isinstance(node, dict):
                    node[rename] = node.pop(path[-1])
                else:
                    node[path[-1]] = value
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change took this node away
        return changed

    change = st.tuples(st.sampled_from(known), VALUES, st.none() | st.text(max_size=6))
    return st.lists(change, min_size=1, max_size=3).map(apply)


def damaged(make: Callable[[Path], None], name: str) -> Any:
    """Strategy: the bytes of a sound file, cut, overwritten or with some bytes changed."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        make(path)
        sound = path.read_bytes()

    def apply(seed: int, kind: int) -> bytes:
        rng = random.Random(seed)
        if kind == 0:
            return sound[: rng.randrange(len(sound))]
        if kind == 1:
            return rng.randbytes(rng.randrange(200))
        changed = bytearray(sound)
        for _ in range(rng.randrange(1, 30)):
            changed[rng.randrange(min(len(sound), 4000) if kind == 2 else len(sound))] = rng.randrange(256)
        return bytes(changed)

    return st.builds(apply, st.integers(0, 2**32), st.integers(0, 3))


def from_file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes, Path], None]:
    """Return what writes a sample to a file and reads it."""

    def check(sample: bytes, folder: Path) -> None:
        path = folder / name
        path.write_bytes(sample)
        with contextlib.suppress(UserError):
            read(path)

    return check


def read_config(config: Any, folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    with contextlib.suppress(UserError):
        preflight.check_files([path])
        preflight.check(settings.resolve(config if isinstance(config, dict) else {}))


def read_crystal(facts: Any, folder: Path) -> None:
    path = folder / "crystal.yaml"
    path.write_text(yaml.safe_dump(facts), encoding="utf-8")
    with contextlib.suppress(UserError):
        crystals.load(path)


def write_record(path: Path) -> None:
    import records_factory

    labels = records_factory.chain(n_states=2, n_ions=4, n_frames=5)
    records_factory.trajectory(labels).save(path)


def write_tensors(path: Path) -> None:
    tensors.save(path, {"a": np.arange(40.0), "b": np.ones((3, 4), dtype=np.float32)}, {"n": [1, 2]})


XYZ = b'2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\nLi 0 0 0\nS 2 2 2\n'
TRAJECTORIES = {
    "run.dump": trajectory_files.lammps,
    "run.extxyz": trajectory_files.extxyz,
    "XDATCAR": trajectory_files.xdatcar,
}
POSCAR = b"""salt
5.1
1 0 0
0 1 0
0 0 1
Li Cl
1 1
Direct
0 0 0
0.5 0.5 0.5
"""
CIF = b"""data_salt
_cell_length_a 5.14
_cell_length_b 5.14
_cell_length_c 5.14
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li 0 0 0 1
Cl1 Cl 0.5 0.5 0.5 1
"""


def write_trajectory(writer: Callable) -> Callable[[Path], None]:
    return lambda path: writer(path, trajectory_files.make(n_frames=3))


def survey(path: Path) -> None:
    intake.survey([readers.open_source(path)], Options(frame_interval_fs=100.0))


def bytes_target(name: str, content: bytes, read: Callable[[Path], Any]) -> Target:
    return Target(name, damaged(lambda path: path.write_bytes(content), name), from_file(name, read))


TARGETS = [
    Target("configuration", mutated(CONFIG), read_config),
    Target("crystal facts", mutated(CRYSTAL), read_crystal),
    Target("yaml", st.binary(max_size=300), from_file("x.yaml", strict_yaml.read)),
    Target(
        "yaml text",
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
        from_file("y.yaml", strict_yaml.read),
    ),
    Target("weights", damaged(write_tensors, "x.safetensors"), from_file("x.safetensors", tensors.load)),
    Target("record", damaged(write_record, "x.h5"), from_file("x.h5", records.Trajectory.load)),
    bytes_target("x.extxyz", XYZ, stored.load_structure),
    bytes_target("x.cif", CIF, crystals.load),
    bytes_target("POSCAR", POSCAR, crystals.load),
    Target("json", st.binary(max_size=200), from_file("x.json", json_files.load)),
    *[
        Target(name, damaged(write_trajectory(writer), name), from_file(name, survey))
        for name, writer in TRAJECTORIES.items()
    ],
]
