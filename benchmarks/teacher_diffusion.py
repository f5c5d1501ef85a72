"""Lithium diffusion under the teacher beside the student, alike in all else, to see whose error it is.

The evaluation compares the student with published DFT, because its teacher is too slow for the cell of that
run. Here both move one conventional cell of the crystal of `potential_training.evaluation.diffusion` by the
same protocol; the student with several seeds, whose spread tells what one run of the teacher is worth.
"""

import argparse
import time

import md_cases as cases
from getsei.potentials import dataset, teachers
from getsei.potentials.evaluation import candidate, conduction, measure

TRIED_STEPS = 20


def expected_min(tested: candidate.Candidate, settings: dict, timestep_fs: float) -> float:
    """Return about how many minutes one run takes."""
    atoms = dataset.cell_of(settings["crystal"], 0)
    atoms.calc = tested.calculator
    start = time.perf_counter()
    for _ in range(TRIED_STEPS):
        atoms.rattle(0.01)
        atoms.get_forces()
    each = (time.perf_counter() - start) / TRIED_STEPS
    return each * 1000 * (settings["equilibrate_ps"] + settings["ps"]) / timestep_fs / 60


def main() -> None:
    """Read the command line; print a line per run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", type=int, default=0, help="of evaluation.diffusion.cases")
    parser.add_argument("--ps", type=float, default=60.0, help="length that counts")
    parser.add_argument("--seeds", type=int, default=5, help="runs of the student")
    parser.add_argument("--model", default=str(cases.ROOT / "config/potentials/getsei-small.safetensors"))
    asked = parser.parse_args()
    cfg = cases.CONFIG["potential_training"]
    checks = cfg["evaluation"]
    settings = {
        **checks["diffusion"],
        "repeat": 1,
        "equilibrate_ps": 5.0,
        "ps": asked.ps,
        "mobile": measure.mobile_of(cfg),
    }
    student = candidate.from_settings({"model": asked.model})
    teacher = candidate.from_teacher(teachers.load(cfg["teacher"]))
    runs = [(student, cfg["seed"] + number) for number in range(asked.seeds)] + [(teacher, cfg["seed"])]
    crystal = dataset.cell_of(settings["crystal"], 0)
    for tested, seed in runs:
        if tested is teacher:
            minutes = expected_min(tested, settings, checks["timestep_fs"])
            print(f"one run of the teacher takes about {minutes:.0f} min", flush=True)
        with candidate.quiet():
            found = conduction.case(
                crystal, tested.evaluator, settings, asked.case, checks["timestep_fs"], seed
            )
        slope = found["apparent_diffusion"]
        print(
            f"{tested.name:28s} seed {seed}: {slope['value']:.2g} [{slope['low']:.2g}, {slope['high']:.2g}] "
            f"cm²/s from {settings['fit_ps'][0]:g} to {settings['fit_ps'][1]:g} ps, MSD grows as "
            f"t^{found['exponent']['value']:.2f}, {found['temperature_K']:.0f} K; {found['ions']} ions, "
            f"{found['ps']:g} ps (DFT {found['dft_cm2_per_s']:.2g})",
            flush=True,
        )


if __name__ == "__main__":
    main()
