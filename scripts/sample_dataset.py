"""Sample the frames of one round of active learning."""

from getsei import job

job.prepare(snakemake)

from pathlib import Path

from getsei.potentials import active, dataset, teachers

with job.logged(snakemake) as log:
    cfg, number = snakemake.params.cfg, int(snakemake.wildcards.round)
    if number == 0:
        frames = list(active.first_round(cfg, teachers.load(cfg["teacher"])))
    else:
        frames = list(active.later_round(cfg, number, Path(snakemake.input.student), None))
    known = [frame for path in snakemake.input.known for frame in dataset.load(path)]
    kept = dataset.unique(frames, cfg["elements"], known)
    dataset.save(snakemake.output.frames, kept)
    log.info(
        "round %d: %d frames, %d duplicates dropped, %d atoms",
        number,
        len(kept),
        len(frames) - len(kept),
        sum(map(len, kept)),
    )
