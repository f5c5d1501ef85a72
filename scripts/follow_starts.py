"""Let the teacher (round 0) or the student of the round before move one part of the starts of a round."""

from getsei import job

job.prepare(snakemake)

from getsei.potentials import active, dataset, teachers
from getsei.potentials.ase_calculator import MACEPotential
from getsei.potentials.evaluation import candidate

with job.logged(snakemake) as log, candidate.quiet():
    cfg, number = snakemake.params.cfg, int(snakemake.wildcards.round)
    if number == 0:
        calculator = teachers.load(cfg["teacher"]).calculator()
    else:
        calculator = MACEPotential(snakemake.input.student)
    frames = list(active.followed(cfg, number, calculator, int(snakemake.wildcards.part)))
    dataset.save(snakemake.output.moved, frames)
    log.info("%d frames, %d atoms", len(frames), sum(map(len, frames)))
