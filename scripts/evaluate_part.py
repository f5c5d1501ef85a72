"""Ask a student or its teacher one question of the evaluation."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei.potentials import teachers
from getsei.potentials.evaluation import candidate, measure, plan

with job.logged(snakemake) as log, candidate.quiet():
    cfg, wildcards = snakemake.params.cfg, snakemake.wildcards
    if wildcards.who == plan.TEACHER:
        tested = candidate.from_teacher(teachers.load(cfg["teacher"]))
    else:
        tested = candidate.from_settings({"model": snakemake.input.student})
    answer = measure.part(cfg, wildcards.part, tested)
    Path(snakemake.output.found).write_text(json.dumps(answer, ensure_ascii=False) + "\n", encoding="utf-8")
