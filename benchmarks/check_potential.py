"""Every bar of the embedded potential: ``python benchmarks/check_potential.py``, or ``make check-potential``.

Prints a table of bar, limit, measured value and verdict, and ends with status 1 where a bar is missed or
could not be measured. What needs held-out trajectories is read from the card, after checking that the card
belongs to the weights; everything else is measured anew. Parts, to run some alone with ``--only``:

- ``accuracy``: errors on held-out trajectories and on its own dynamics, from the card;
- ``contacts``: pair scans from 0.5 Å;
- ``solids``: lattice constants and reaction energies, beside the teacher;
- ``energy``: drift at constant energy;
- ``stability``: interfaces without guards;
- ``diffusion``: lithium in the bulk, beside published values;
- ``speed``: time per atom and step, size of the file.

``--quick`` takes the teacher's crystals from the card and runs a hundredth of the dynamics: a look at
whether everything works, which meets no bar of the dynamics. ``--folder`` keeps what was measured, so that a
check that was stopped goes on from there.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import yaml
from getsei import provenance, settings
from getsei.errors import UserError
from getsei.potentials import card, teachers
from getsei.potentials.evaluation import bars, candidate, digest, measure, plan
from getsei.potentials.evaluation.bars import Bar
from getsei.potentials.evaluation.candidate import Candidate

CONFIG = ROOT / "config" / "config.yaml"
ACCURACY = "accuracy"
PARTS = (ACCURACY, plan.CONTACTS, plan.SOLIDS, plan.ENERGY, plan.STABILITY, plan.DIFFUSION, plan.SPEED)
DYNAMICS = (plan.ENERGY, plan.STABILITY, plan.DIFFUSION)
QUICK = 0.01
"""Share of the dynamics that ``--quick`` runs."""


def shortened(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings `potential_training` with short dynamics."""
    checks = cfg["evaluation"]
    short = {
        **checks,
        "stability": [{**stage, "ps": QUICK * stage["ps"]} for stage in checks["stability"]],
        "energy": {**checks["energy"], "ps": 10 * QUICK * checks["energy"]["ps"]},
        "diffusion": {
            **checks["diffusion"],
            "ps": QUICK * checks["diffusion"]["ps"],
            "equilibrate_ps": QUICK * checks["diffusion"]["equilibrate_ps"],
            "fit_ps": [0.3, 1.0],
        },
    }
    return {**cfg, "evaluation": short}


def answer(cfg: Mapping[str, Any], part: str, who: str, tested: Candidate, folder: Path | None) -> Any:
    """Measure one part, or take what an earlier check of the same potential and settings kept of it."""
    kept = folder / f"{who}-{part}.json" if folder else None
    key = {"potential": tested.identity, "evaluation": json.loads(json.dumps(cfg["evaluation"]))}
    if kept and kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["key"] == key:
            print(f"  {who} {part}: kept in {kept}", flush=True)
            return found["answer"]
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = measure.part(cfg, part, tested)
    print(f"  {who} {part}: {time.process_time() - started:.0f} s of CPU", flush=True)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"key": key, "answer": found}), encoding="utf-8")
    return found


def teacher_solids(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the teacher's crystals of a card; nothing where it has none."""
    solids = (found or {}).get(plan.SOLIDS, {})
    return {
        name: both["teacher"] for name, both in solids.items() if isinstance(both, dict) and both["teacher"]
    }


def run(arguments: argparse.Namespace) -> list[Bar]:
    """Measure the chosen parts and return their bars."""
    cfg = settings.of_training(yaml.safe_load(CONFIG.read_text(encoding="utf-8")))
    if arguments.quick:
        cfg = shortened(cfg)
    try:
        known, why = card.read(arguments.model), ""
    except UserError as error:
        known, why = None, str(error)
        print(why, flush=True)
    student = candidate.from_settings({"model": str(arguments.model)})
    print(f"{arguments.model.name}: SHA-256 {provenance.file_digest(arguments.model)}", flush=True)
    chosen = arguments.only or PARTS
    parts = {
        part: answer(cfg, part, plan.STUDENT, student, arguments.folder)
        for part in plan.parts(cfg)
        if plan.question(part)[0] in chosen
    }
    teacher: dict[str, Any] = {}
    if plan.SOLIDS in chosen:
        of_card = teacher_solids(known) if arguments.quick else {}
        if of_card:
            teacher[plan.SOLIDS] = of_card
            print("  teacher solids: from the card", flush=True)
        else:
            with redirect_stdout(StringIO()):
                tested = candidate.from_teacher(teachers.load(cfg["teacher"]))
            teacher[plan.SOLIDS] = answer(cfg, plan.SOLIDS, plan.TEACHER, tested, arguments.folder)["found"]
    answers, failed = digest.answers_of(parts)
    found = digest.digest(cfg, answers, teacher, measure.formulas(cfg), failed)
    judge = {
        ACCURACY: lambda: bars.of_accuracy((known or {}).get("errors", {}).get("errors_by_kind")),
        plan.CONTACTS: lambda: bars.of_contacts(found),
        plan.SOLIDS: lambda: bars.of_solids(found),
        plan.ENERGY: lambda: bars.of_energy(found),
        plan.STABILITY: lambda: bars.of_stability(found),
        plan.DIFFUSION: lambda: bars.of_diffusion(found),
        plan.SPEED: lambda: bars.of_speed(found),
    }
    judged = [
        replace(bar, met=None) if arguments.quick and part in DYNAMICS else bar
        for part in PARTS
        if part in chosen
        for bar in judge[part]()
    ]
    return [*judged, *bars.of_failures(found)]


def table(found: Sequence[Bar]) -> str:
    """Return the bars as text, one line each."""
    width = {
        key: max([len(getattr(bar, key)) for bar in found], default=0) for key in ("verdict", "name", "limit")
    }
    return "\n".join(
        f"{bar.verdict:{width['verdict']}}  {bar.name:{width['name']}}  {bar.limit:{width['limit']}}  "
        f"{bar.measured}"
        for bar in found
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the check and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, help="measure these parts alone")
    parser.add_argument("--quick", action="store_true", help="a look of some minutes")
    parser.add_argument("--folder", type=Path, help="keep what was measured here, and go on from there")
    default = ROOT / "config" / "potentials" / "getsei-small.safetensors"
    parser.add_argument("--model", type=Path, default=default)
    arguments = parser.parse_args(words)
    try:
        with candidate.quiet():
            found = run(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(table(found))
    met = sum(bar.met is True for bar in found)
    print(f"{met} of {len(found)} bars met")
    if arguments.quick:
        print("quick: dynamics a hundredth as long as the bars ask, hence without a verdict")
    return int(met < len(found))


if __name__ == "__main__":
    sys.exit(main())
