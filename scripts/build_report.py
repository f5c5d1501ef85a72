"""Put everything a run says onto one HTML page that needs no other file."""

from getsei import job

job.prepare(snakemake)

from pathlib import Path

from getsei import progress
from getsei.report import page

with job.logged(snakemake) as log:
    target, logs = Path(snakemake.output.page), Path(snakemake.log[0]).parent
    paths = {Path(path).parent.name: path for path in snakemake.input.summaries}
    systems = snakemake.params.systems
    statuses = progress.survey(systems, paths, logs, trusted=snakemake.params.trusted)
    text = page.build(target.parent, progress.load(statuses, paths), systems)
    target.write_text(text, encoding="utf-8")
    log.info("%s: %.1f MB", target, len(text.encode()) / 1e6)
