"""Label one part of the frames of a round with the teacher; drop those on which it means nothing."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei.potentials import dataset, pairs, starts, teachers

with job.logged(snakemake) as log:
    cfg = snakemake.params.cfg
    teacher = teachers.load(cfg["teacher"])
    every = dataset.load(snakemake.input.frames)
    rows = starts.share([len(frame) for frame in every], int(snakemake.wildcards.part), cfg["parts"])
    frames = [every[row] for row in sorted(rows)]
    labels = pairs.repelled(frames, teachers.label_all(teacher, frames))
    kept, dropped = dataset.usable(frames, labels)
    dataset.save(snakemake.output.labelled, kept)
    counts = {
        "teacher": teacher.name,
        "version": teacher.version,
        "kept": len(kept),
        "dropped": dict(dropped),
    }
    Path(snakemake.output.counts).write_text(json.dumps(counts, indent=2, ensure_ascii=False) + "\n")
    log.info("%d frames kept, dropped: %s", len(kept), dict(dropped) or "none")
