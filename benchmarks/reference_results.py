"""`make reference`: keep the small results of a finished main job in results/reference, and their commit.

Refuses where tracked files differ from the commit: a result counts only if it was measured on what is
committed.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
RESULTS, REFERENCE = ROOT / "results", ROOT / "results/reference"
COMPARED = (
    "checks.csv",
    "claims.csv",
    "headlines.txt",
    "ranking.csv",
    "states.csv",
    "systems.csv",
    "systems.png",
)
TABLES = {
    "interface.json": "r1/interface/report.json",
    "summary.json": "summary.json",
    **{f"{name}.csv": f"states/{name}.csv" for name in ("baselines", "choice", "gates", "states")},
    **{
        f"{name}.csv": f"kinetics/{name}.csv"
        for name in ("flux", "koopman", "network", "pathways", "windows")
    },
    "mobility.csv": "transport/mobility.csv",
}
PANELS = (
    "bonds",
    "coordination",
    "diffusion",
    "embedding",
    "flux_map",
    "growth",
    "mobility_anions",
    "mobility_density",
    "pathways",
    "snapshot_states",
    "snapshots",
    "timescales",
)
COLOURS = 128
"""Of the figures kept: a quarter of their size, and hardly to be seen."""


def keep(source: Path, target: Path) -> None:
    """Copy a file; a figure with fewer colours."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".png":
        with Image.open(source) as image:
            image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    else:
        shutil.copyfile(source, target)


def git(*arguments: str) -> str:
    """Return what git says about this checkout."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> int:
    """Copy, and write the commit beside."""
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!results/reference")
    if changed:
        print(f"commit first, and run the main job on what is committed; changed:\n{changed}")
        return 1
    systems = sorted(path.parent.name for path in RESULTS.glob("*/summary.json"))
    wanted = {f"compare/{name}": f"compare/{name}" for name in COMPARED}
    for system in systems:
        wanted |= {f"{system}/{name}": f"{system}/{source}" for name, source in TABLES.items()}
        wanted |= {f"{system}/figures/{p}.png": f"{system}/figures/panels/{p}.png" for p in PANELS}
    missing = [source for source in wanted.values() if not (RESULTS / source).is_file()]
    if missing or not systems:
        print(f"the main job is not finished: {', '.join(missing[:5]) or 'no results'}; run make")
        return 1
    for target, source in wanted.items():
        keep(RESULTS / source, REFERENCE / target)
    made = {"commit": git("rev-parse", "--short", "HEAD"), "date": git("log", "-1", "--format=%cs")}
    (REFERENCE / "commit.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    print(f"{len(wanted)} files of {', '.join(systems)} at {made['commit']}")
    print("now read results/reference/README.md again")
    return 0


if __name__ == "__main__":
    sys.exit(main())
