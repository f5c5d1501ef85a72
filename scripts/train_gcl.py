"""Train the encoder of one system, or take the shared one, and embed the environments of all replicas."""

from getsei import job

job.prepare(snakemake)

import shutil
from pathlib import Path

from getsei import records
from getsei.contrastive import embedding, training

with job.logged(snakemake) as log:
    replicas = [records.Environments.load(path) for path in snakemake.input.environments]
    checkpoint = Path(snakemake.output.encoder).with_suffix(".checkpoint")
    settings = training.TrainingSettings(**snakemake.params.cfg)
    if snakemake.input.shared:
        trained = embedding.load(snakemake.input.shared)
        shutil.rmtree(Path(snakemake.input.shared).with_suffix(".checkpoint"), ignore_errors=True)
    else:
        trained = training.train_encoders([replicas], settings, checkpoint)
    training.embed_system(trained, replicas, settings).save(snakemake.output.embedding)
    embedding.save(trained, snakemake.output.encoder)
