"""Make the uncertainty of a student, calibrated on frames that it never saw."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei.potentials import calibration, dataset

with job.logged(snakemake) as log:
    cfg = snakemake.params.cfg
    parts = dataset.split([frame for path in snakemake.input.labelled for frame in dataset.load(path)])
    found = calibration.calibrate(
        Path(snakemake.input.student),
        parts,
        draws=cfg["committee"]["readouts"],
        earlier=[Path(path) for path in snakemake.input.earlier],
        trained=[Path(path) for path in snakemake.input.trained],
        seed=cfg["seed"],
    )
    found.save(snakemake.input.student)
    told = {"members": found.said, "thresholds_eV_per_A": dict(found.thresholds), **found.report}
    text = json.dumps(told, indent=1, allow_nan=False)
    Path(snakemake.output.report).write_text(text + "\n", encoding="utf-8")
