"""Read a trajectory the user already has into the store, frame by frame checked."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei import records
from getsei.trajectory import own, store

with job.logged(snakemake) as log:
    settings = snakemake.params.cfg
    found = own.store(
        own.sources_of(settings, int(snakemake.wildcards.replica[1:])),
        Path(snakemake.output.trajectory),
        own.options_of(settings),
        settings["equilibration_ps"],
        {"settings": {"trajectory": settings}, **snakemake.wildcards},
    )
    report = {"regions": own.regions_of(settings, found.first_cell), **own.summary(found)}
    text = json.dumps(report, indent=1, ensure_ascii=False)
    Path(snakemake.output.report).write_text(text + "\n", encoding="utf-8")
    stored = records.Trajectory.load(snakemake.output.trajectory)
    stride = store.export_extxyz(stored, Path(snakemake.output.extxyz))
    log.info("%d frames of %d atoms; one in %d is in the extxyz", found.n_frames, len(found.species), stride)
