"""Let the teacher label one part of the frames of a round."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei.potentials import dataset, starts, teachers

with job.logged(snakemake) as log:
    cfg = snakemake.params.cfg
    teacher = teachers.load(cfg["teacher"])
    every = dataset.load(snakemake.input.frames)
    rows = starts.share([len(frame) for frame in every], int(snakemake.wildcards.part), cfg["parts"])
    frames = [every[row] for row in rows]
    labels = teachers.label_all(teacher, frames)
    dataset.save(snakemake.output.labelled, list(map(dataset.with_label, frames, labels)))
    told = {"teacher": teacher.name, "version": teacher.version}
    Path(snakemake.output.told).write_text(json.dumps(told, ensure_ascii=False) + "\n", encoding="utf-8")
