"""Collect all numbers of one system, each with interval, unit and sample size."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei import extrapolation, records, summary

with job.logged(snakemake) as log:
    source = snakemake.input
    found = summary.summarise(
        snakemake.wildcards.system,
        summary.Inputs(
            trajectories=[records.Trajectory.load(path) for path in source.trajectories],
            environments=[records.Environments.load(path) for path in source.environments],
            embedding=records.Embedding.load(source.embedding),
            states=records.States.load(source.states),
            koopman=records.KoopmanModel.load(source.koopman),
            flux=records.ReactiveFlux.load(source.flux),
            transport=records.Transport.load(source.transport),
            interphase=records.Interphase.load(source.interphase),
            extrapolated=[
                extrapolation.Measured.load(table, Path(table).with_suffix(".json"))
                for table in source.uncertainty
            ],
        ),
        snakemake.params.settings,
    )
    text = json.dumps(summary.plain(found), indent=1, ensure_ascii=False, allow_nan=False)
    Path(snakemake.output.summary).write_text(text + "\n", encoding="utf-8")
    log.info("%d numbers; failed checks: %s", len(found["numbers"]), "; ".join(found["failed"]) or "none")
