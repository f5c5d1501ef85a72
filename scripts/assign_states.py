"""Assign every mobile ion of one system to a state at every frame."""

from getsei import job

job.prepare(snakemake)

import shutil
from pathlib import Path

from getsei import records
from getsei.states import assignment, tables

with job.logged(snakemake) as log:
    states = assignment.assign(
        records.Embedding.load(snakemake.input.embedding),
        [records.Environments.load(path) for path in snakemake.input.environments],
        assignment.StateSettings(**snakemake.params.cfg),
    )
    states.save(snakemake.output.states)
    tables.write_csv(tables.state_rows(states), snakemake.output.table)
    tables.write_csv(states.gates, snakemake.output.gates)
    tables.write_csv(states.candidates, snakemake.output.choice)
    tables.write_csv(states.baselines, snakemake.output.baselines)
    shutil.rmtree(Path(snakemake.input.embedding).with_name("encoder.checkpoint"), ignore_errors=True)
