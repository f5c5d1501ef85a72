"""Measure the last student against the teacher, and write its model card."""

from getsei import job

job.prepare(snakemake)

import json
import shutil
from pathlib import Path

from getsei.figures import potentials as figures
from getsei.potentials import active, card, dataset, evaluation, teachers
from getsei.potentials.ase_calculator import MACEPotential

with job.logged(snakemake) as log:
    cfg, out = snakemake.params.cfg, snakemake.output
    student, teacher = MACEPotential(snakemake.input.student, engine="torch"), teachers.load(cfg["teacher"])
    frames = [frame for path in snakemake.input.labelled for frame in dataset.load(path)]
    parts = dataset.split(frames)
    fast = MACEPotential(snakemake.input.student)
    own = list(active.own_frames(cfg, fast))
    own, _ = dataset.usable(own, teachers.label_all(teacher, own))
    rows = evaluation.residuals([*parts["test"], *own], student)
    elements = cfg["elements"]
    scans = evaluation.pair_scans(elements, student, evaluation.scan_distances())
    both = {"student": student, "teacher": teacher.calculator()}
    lattices = active.lattices(active.materials(cfg), both)
    cohesion = active.cohesion(active.materials(cfg), both)
    runs = active.stability_runs(cfg, fast)
    report = evaluation.report(rows, scans, lattices, cohesion, runs, elements)
    Path(out.report).write_text(json.dumps(report, indent=1) + "\n")
    evaluation.write_table(report, out.table)
    counts = [json.loads(Path(path).read_text()) for path in snakemake.input.counts]
    shutil.copyfile(snakemake.input.student, out.model)
    card.write(out.card, Path(out.model), cfg, teacher, parts, counts, report)
    figures.plot(report, scans, out.png, out.svg)
