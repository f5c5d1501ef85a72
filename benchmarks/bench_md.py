"""Speed and accuracy of the native kernel beside mace-torch: ``benchmarks/bench_md.py [--long] [parts]``.

Times are CPU times of one thread, so that other jobs disturb little. Prints every bar with what it measured
and exits with 1 if one is missed. `--long` adds 100 ps at constant energy and the statistics of 10 ps, which
take a quarter of an hour; `parts` runs some of speed, shapes, accuracy, energy, statistics.
"""

import argparse
import sys
from collections.abc import Sequence

import md_accuracy
import md_long
import md_speed
from md_bars import Bar

PARTS = {
    "speed": md_speed.measure,
    "shapes": md_speed.shapes,
    "accuracy": md_accuracy.measure,
    "energy": md_long.energy,
    "statistics": md_long.statistics,
}
LONG = ("energy", "statistics")


def main(arguments: Sequence[str]) -> int:
    """Run the parts and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--long", action="store_true", help="also run the parts energy and statistics")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="run these parts only")
    chosen = parser.parse_args(arguments)
    names = chosen.parts or [name for name in PARTS if chosen.long or name not in LONG]
    bars: list[Bar] = []
    for name in names:
        print(f"\n== {name}", flush=True)
        bars += PARTS[name]()
    width = max([len(bar.name) for bar in bars], default=0)
    print(f"\n{'bar':{width}}  {'limit':>12}  {'measured':>10}")
    for bar in bars:
        print(bar.line(width))
    missed = sum(not bar.passed for bar in bars)
    print(f"{len(bars) - missed} of {len(bars)} bars passed")
    left = [name for name in PARTS if name not in names]
    if left:
        print(f"not run: {', '.join(left)} (python benchmarks/bench_md.py {' '.join(left)})")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
