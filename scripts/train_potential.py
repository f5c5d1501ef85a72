"""Train the student of a round on its frames and all before, or the final one on the frames of all rounds."""

from getsei import job

job.prepare(snakemake)

from pathlib import Path

from getsei.potentials import dataset, training

with job.logged(snakemake) as log:
    cfg, previous = snakemake.params.cfg, [Path(path) for path in snakemake.input.previous]
    frames = [frame for path in snakemake.input.labelled for frame in dataset.load(path)]
    parts = dataset.split(frames)
    for name, chosen in parts.items():
        log.info("%s: %d frames, %d atoms", name, len(chosen), sum(map(len, chosen)))
    training.train(
        parts,
        Path(snakemake.output.student).parent / "training",
        Path(snakemake.output.student),
        architecture=training.Architecture(**cfg["architecture"]),
        schedule=training.Schedule(**snakemake.params.schedule),
        seed=cfg["seed"],
        device=cfg["device"],
        start=previous[0].parent / "training" if previous else None,
    )
