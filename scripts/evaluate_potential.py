"""Put the answers of student and teacher together: model card, page, figures."""

from getsei import job

job.prepare(snakemake)

import json
import shutil
from pathlib import Path

from getsei import json_files
from getsei.figures import potentials as figures
from getsei.figures import style
from getsei.potentials import card
from getsei.potentials.evaluation import bars, digest, learning, measure
from getsei.report import potential as page

with job.logged(snakemake) as log:
    cfg, given, out = snakemake.params.cfg, snakemake.input, snakemake.output
    student, failed = digest.answers_of({Path(path).stem: json_files.load(path) for path in given.answers})
    teacher, _ = digest.answers_of({Path(path).stem: json_files.load(path) for path in given.teacher})
    errors = json_files.load(given.accuracy)
    measured = digest.digest(cfg, student, teacher, measure.formulas(cfg), failed)
    judged = bars.every(errors["found"]["errors_by_kind"], measured)
    rounds = learning.rounds(snakemake.params.folders)
    shutil.copyfile(given.student, out.model)
    card.write(out.card, Path(out.model), cfg, errors, measured, judged)
    report = {"accuracy": errors, "measured": measured, "rounds": rounds}
    Path(out.report).write_text(json.dumps(report, ensure_ascii=False) + "\n", encoding="utf-8")
    style.save(figures.accuracy(errors["found"]), out.png, out.svg)
    style.save(figures.physics(student, teacher, measured), out.physics_png, out.physics_svg)
    style.save(figures.rounds(rounds), out.rounds_png, out.rounds_svg)
    learning.write_table(rounds, out.rounds)
    pictures = [out.png, out.physics_png, *([out.rounds_png] if rounds else [])]
    page.write(out.page, Path(out.model).stem, judged, errors["found"], measured, rounds, pictures)
