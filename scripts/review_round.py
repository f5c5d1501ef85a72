"""Tell what a round of active learning taught, and whether it is the last."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei import json_files
from getsei.potentials import dataset, rounds, uncertainty
from getsei.potentials.ase_calculator import MACEPotential
from getsei.potentials.evaluation import accuracy, candidate

with job.logged(snakemake) as log, candidate.quiet():
    number, given = int(snakemake.wildcards.round), snakemake.input
    rows = [dataset.load(path) for path in given.labelled]
    before = own = None
    if number:
        before = json_files.load(given.before)
        own = rounds.on_policy(rows[-1], MACEPotential(given.previous), uncertainty.doubt_of(given.previous))
    unseen = dataset.split([frame for frames in rows for frame in frames])["validation"]
    found = rounds.review(
        number,
        rows[-1],
        json_files.load(given.counts),
        json_files.load(given.sampled),
        own,
        accuracy.summary(accuracy.residuals(unseen, MACEPotential(given.student))),
        before,
    )
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
    Path(snakemake.output.review).write_text(text + "\n", encoding="utf-8")
    log.info("round %d: %s", number, found["reason"])
