"""Set all systems side by side, in tables, in a figure and against the claims of the study."""

from getsei import job

job.prepare(snakemake)

from pathlib import Path

from getsei import comparison, progress, ranking
from getsei.figures import compare, compare_panels, style

with job.logged(snakemake) as log:
    output, logs = snakemake.output, Path(snakemake.log[0]).parent
    paths = {Path(path).parent.name: path for path in snakemake.input.summaries}
    statuses = progress.survey(snakemake.params.systems, paths, logs, trusted=snakemake.params.trusted)
    summaries = progress.load(statuses, paths)
    finished = [summary for summary in summaries if summary["numbers"]]
    comparison.write_rows(comparison.tidy_rows(summaries), comparison.TIDY, output.table)
    comparison.write_rows(comparison.claims_rows(finished), comparison.CLAIMS, output.claims)
    comparison.write_rows(comparison.checks_rows(finished), comparison.CHECKS, output.checks)
    comparison.write_rows(ranking.rows(summaries), ranking.RANKING, output.ranking)
    text = ranking.terminal(summaries, str(Path(output.table).parents[1]))
    Path(output.headlines).write_text(text, encoding="utf-8")
    style.save(compare.figure(summaries), output.png, output.svg)
    for panel, svg in zip(output.panels_png, output.panels_svg, strict=True):
        style.save(compare_panels.draw(Path(panel).stem, summaries), panel, svg)
    for verdict in comparison.judge(finished):
        log.info("%s, %s: %s", verdict.claim, verdict.system, verdict.verdict)
