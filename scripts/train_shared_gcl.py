"""Train one encoder on the environments of all systems that share it."""

from getsei import job

job.prepare(snakemake)

from pathlib import Path

from getsei import records
from getsei.contrastive import embedding, training

with job.logged(snakemake) as log:
    systems = [
        [records.Environments.load(path) for path in getattr(snakemake.input, name)]
        for name in snakemake.params.systems
    ]
    settings = training.TrainingSettings(**snakemake.params.cfg)
    checkpoint = Path(snakemake.output.encoder).with_suffix(".checkpoint")
    embedding.save(training.train_encoders(systems, settings, checkpoint), snakemake.output.encoder)
