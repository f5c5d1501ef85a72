"""Draw every figure of one system on its own, one column wide."""

from getsei import job

job.prepare(snakemake)

from pathlib import Path

from getsei import records
from getsei.figures import panels, style

with job.logged(snakemake) as log:
    source = snakemake.input
    found = panels.Records(
        trajectory=records.Trajectory.load(source.trajectories[0]),
        states=records.States.load(source.states),
        koopman=records.KoopmanModel.load(source.koopman),
        flux=records.ReactiveFlux.load(source.flux),
        transport=records.Transport.load(source.transport),
        interphase=records.Interphase.load(source.interphase),
    )
    for png, svg in zip(snakemake.output.png, snakemake.output.svg, strict=True):
        style.save(panels.draw(Path(png).stem, found), png, svg)
