"""Write the frames of one run with the state of every ion, for OVITO or ASE."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.figures import style
from getsei.states import export
from matplotlib.colors import to_rgb

with job.logged(snakemake) as log:
    states = records.States.load(snakemake.input.states)
    every = export.write_extxyz(
        states,
        records.Trajectory.load(snakemake.input.trajectory),
        snakemake.output.extxyz,
        colours=[to_rgb(style.state_colour(state)) for state in range(-1, states.n_states)],
        replica=snakemake.params.replica,
        stride=snakemake.params.stride,
    )
    log.info("one analysed frame in %d", every)
