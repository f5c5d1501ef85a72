import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from getsei.potentials import dilute

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    before = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("potential_sizes", FOLDER / "potential_sizes.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
    sys.path[:] = before


def test_the_subset_keeps_isolated_atoms_and_the_cap(script):
    alone = [Atoms("Li", info={"kind": dilute.ISOLATED})]
    rest = [Atoms(f"Li{n}", info={"kind": "mixture"}) for n in range(5, 25)]
    chosen = script.subset([*rest, *alone], 60, seed=1)
    assert alone[0] in chosen
    assert 30 < sum(map(len, chosen)) <= 60
    assert chosen == script.subset([*rest, *alone], 60, seed=1)
    assert chosen != script.subset([*rest, *alone], 60, seed=2)


def test_a_uniform_gain_is_seen_through_the_spread_of_trajectories(script):
    rng = np.random.default_rng(1)
    hard = rng.uniform(1e3, 1e6, size=20)
    names = [f"t{n}" for n in range(20)]
    base = script.Errors(names, list(hard), [30] * 20)
    better = script.Errors(names, list(0.81 * hard), [30] * 20)
    assert better.over(base) == pytest.approx((0.9, 0.9, 0.9))
    low, high = script.interval(base)
    assert low < base.rmse() < high
    assert high - low > 20
    with pytest.raises(ValueError, match="different frames"):
        base.over(script.Errors([*names[1:], "other"], list(hard), [30] * 20))


def test_errors_are_summed_over_each_trajectory(script):
    frames = [Atoms("Li2", info={"trajectory": name}) for name in ("a", "b", "a")]
    for frame in frames:
        frame.set_array(script.dataset.FORCES, np.zeros((2, 3)))
    errors = script.Errors.of(frames, [np.full((2, 3), x) for x in (0.1, 0.2, 0.3)])
    assert errors.trajectories == ["a", "b"]
    assert errors.counts == [12, 6]
    assert errors.sums == pytest.approx([6e4 + 54e4, 24e4])
    assert errors.rmse() == pytest.approx(np.sqrt(84e4 / 18))


def test_the_first_candidate_is_the_embedded_shape(script):
    shapes = script.candidates()
    assert next(iter(shapes.values())) == script.BASE
    assert shapes["32-6A"].mean_neighbours == 52
