rule describe_system:
    input:
        summary="<results>/{system}/summary.json",
        figures=lambda wildcards: expand(
            "<results>/{system}/figures/{figure}.png",
            system=wildcards.system,
            figure=FIGURES,
        ),
        made_from=made_from,
    output:
        crate="<results>/{system}/ro-crate-metadata.json",
    log:
        "<logs>/{system}/describe_system.log",
    benchmark:
        "<benchmarks>/{system}/describe_system.tsv"
    conda:
        "../../envs/describe_system.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=growing(30),
    params:
        cfg=lookup(dpath="{system}", within=SYSTEMS),
        code=code_digest("describe_system.py"),
    script:
        "../../scripts/describe_system.py"
