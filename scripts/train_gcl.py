"""Train the encoder of one system and embed the environments of all its replicas."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.contrastive import training

with job.logged(snakemake) as log:
    replicas = [records.Environments.load(path) for path in snakemake.input.environments]
    settings = training.TrainingSettings(**snakemake.params.cfg)
    embedding, encoder = training.train(replicas, settings)
    embedding.save(snakemake.output.embedding)
    training.save_encoder(encoder, snakemake.output.encoder)
