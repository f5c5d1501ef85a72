"""Set all systems side by side, in a table, in a figure and against the claims of the study."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei import comparison
from getsei.figures import compare, style

with job.logged(snakemake) as log:
    summaries = [json.loads(Path(path).read_text(encoding="utf-8")) for path in snakemake.input.summaries]
    output = snakemake.output
    comparison.write_rows(comparison.tidy_rows(summaries), comparison.TIDY, output.table)
    comparison.write_rows(comparison.claims_rows(summaries), comparison.CLAIMS, output.claims)
    style.save(compare.figure(summaries), output.png, output.svg)
    for verdict in comparison.judge(summaries):
        log.info("%s, %s: %s", verdict.claim, verdict.system, verdict.verdict)
