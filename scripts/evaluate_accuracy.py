"""Errors of the student on trajectories that no training saw, and on its own dynamics."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei.potentials import card, dataset, teachers
from getsei.potentials.evaluation import accuracy, candidate, measure

with job.logged(snakemake) as log, candidate.quiet():
    cfg = snakemake.params.cfg
    teacher = teachers.load(cfg["teacher"])
    parts = dataset.split([frame for path in snakemake.input.labelled for frame in dataset.load(path)])
    counts = [json.loads(Path(path).read_text(encoding="utf-8")) for path in snakemake.input.counts]
    student = candidate.from_settings({"model": snakemake.input.student})
    found = measure.errors(cfg, parts["test"], student, teacher)
    found |= {"teacher": card.teacher_of(teacher), "data": card.data_of(parts, counts)}
    Path(snakemake.output.found).write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    accuracy.write_table(found["found"], snakemake.output.table)
