import ast
import sys
from pathlib import Path

import pytest
from getsei.dynamics import protocol
from getsei.errors import UserError
from getsei.settings import default_settings, load_schema


@pytest.fixture
def md():
    return default_settings(load_schema())["md"] | {
        "timestep_fs": 2.0,
        "frame_interval_fs": 100.0,
        "segment_ps": 5.0,
        "react_ps": 2.0,
        "equilibrate_ps": 3.0,
        "production_ps": 12.0,
    }


def test_segments_follow_each_other(md):
    plan = protocol.segments(md)
    assert [segment.name for segment in plan] == [
        "react",
        "equilibrate",
        "produce001",
        "produce002",
        "produce003",
    ]
    assert [segment.n_steps for segment in plan] == [1000, 1500, 2500, 2500, 1000]
    assert [segment.start_step for segment in plan] == [0, 1000, 2500, 5000, 7500]
    assert [protocol.previous(md, name) for name in protocol.names(md)] == [None, *protocol.names(md)[:-1]]


def test_longer_production_changes_no_complete_segment(md):
    md["production_ps"] = 10.0
    longer = md | {"production_ps": 25.0}
    assert protocol.names(longer)[:4] == protocol.names(md)
    for name in protocol.names(md):
        assert protocol.parameters(md, name) == protocol.parameters(longer, name)


def test_a_segment_depends_only_on_its_own_settings(md):
    hotter = md | {"production_temperature_K": 600.0}
    assert protocol.parameters(md, "react") == protocol.parameters(hotter, "react")
    assert protocol.parameters(md, "equilibrate") != protocol.parameters(hotter, "equilibrate")
    minimised = md | {"minimise_steps": md["minimise_steps"] + 1}
    assert protocol.parameters(md, "react") != protocol.parameters(minimised, "react")
    assert protocol.parameters(md, "produce001") == protocol.parameters(minimised, "produce001")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"frame_interval_fs": 101.0}, "frame_interval_fs"),
        ({"react_ps": 2.05}, "react_ps"),
        ({"production_ps": 0.01}, "production_ps"),
        ({"segment_ps": 0.33}, "segment_ps"),
    ],
)
def test_durations_are_whole_numbers_of_frames(md, change, key):
    with pytest.raises(UserError, match=f"md.{key}: must be a whole multiple"):
        protocol.segments(md | change)


def test_rounding_of_binary_fractions_is_no_error(md):
    md |= {
        "timestep_fs": 0.1,
        "frame_interval_fs": 0.3,
        "segment_ps": 0.3,
        "react_ps": 0.9,
        "production_ps": 0.6,
    }
    md["equilibrate_ps"] = 0.3
    assert [segment.n_steps for segment in protocol.segments(md)] == [9000, 3000, 3000, 3000]


def test_too_many_segments_and_unknown_ones(md):
    with pytest.raises(UserError, match=r"md.segment_ps.*more than 999"):
        protocol.segments(md | {"production_ps": 5000.0, "segment_ps": 5.0})
    for call in (protocol.parameters, protocol.previous):
        with pytest.raises(UserError, match=r"no segment 'produce009'.*produce003"):
            call(md, "produce009")


def test_seeds_differ_between_replicas_and_steps():
    seeds = {protocol.replica_seed(seed, f"r{n}") for seed in range(5) for n in range(1, 6)}
    assert len(seeds) == 25
    assert len({protocol.draw_seed(1, step) for step in range(0, 5000, 500)}) == 10
    assert protocol.draw_seed(3, 500) == protocol.draw_seed(3, 500)
    assert all(0 < seed <= 900_000_000 for seed in seeds)
    with pytest.raises(UserError, match="not a replica"):
        protocol.replica_seed(1, "../r1")


def test_the_workflow_can_import_it_anywhere():
    tree = ast.parse(Path(protocol.__file__).read_text(encoding="utf-8"))
    modules = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert modules - {"numpy", "getsei"} <= sys.stdlib_module_names
