"""Let the teacher (round 0) or the student of the round before move one part of the starts of a round."""

from getsei import job

job.prepare(snakemake)

from getsei.potentials import active, dataset, starts, teachers, uncertainty
from getsei.potentials.ase_calculator import MACEPotential
from getsei.potentials.evaluation import candidate

with job.logged(snakemake) as log, candidate.quiet():
    cfg = snakemake.params.cfg
    if int(snakemake.wildcards.round) == 0:
        motion, calculator, doubt = cfg["teacher_md"], teachers.load(cfg["teacher"]).calculator(), None
    else:
        motion, calculator = cfg["student_md"], MACEPotential(snakemake.input.student)
        doubt = uncertainty.doubt_of(snakemake.input.student)
    begun, part = starts.load(snakemake.input.starts), int(snakemake.wildcards.part)
    frames = list(active.followed(begun, motion, calculator, part, cfg["parts"], doubt))
    dataset.save(snakemake.output.moved, frames)
    log.info("%d frames, %d atoms", len(frames), sum(map(len, frames)))
