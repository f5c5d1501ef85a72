"""Train one member of the committee of a student, on a bootstrap resample of its data."""

from getsei import job

job.prepare(snakemake)

from pathlib import Path

from getsei.potentials import dataset, training

with job.logged(snakemake) as log:
    cfg, member = snakemake.params.cfg, int(snakemake.wildcards.member)
    committee, student = cfg["committee"], Path(snakemake.input.student)
    parts = dataset.split([frame for path in snakemake.input.labelled for frame in dataset.load(path)])
    seed = training.member_seed(cfg["seed"], member)
    training.train(
        parts | {"train": training.resampled(parts["train"], seed)},
        Path(snakemake.output.member).with_suffix(""),
        Path(snakemake.output.member),
        architecture=training.Architecture(**cfg["architecture"]),
        schedule=training.Schedule(**committee["schedule"]),
        seed=seed,
        device=cfg["device"],
        start=student.parent / "training" if committee["start"] == "student" else None,
    )
