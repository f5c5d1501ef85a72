rule extract_environments:
    input:
        trajectory=sampled("<results>/{system}/{replica}/trajectory/trajectory.h5"),
        report=regions_report,
    output:
        environments="<results>/{system}/{replica}/environments/environments.h5",
    log:
        "<logs>/{system}/{replica}/extract_environments.log",
    benchmark:
        "<benchmarks>/{system}/{replica}/extract_environments.tsv"
    conda:
        "../../envs/extract_environments.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        cfg=lookup(dpath="{system}/environments", within=SYSTEMS),
        mobile=lookup(dpath="{system}/mobile", within=SYSTEMS),
        code=code_digest("extract_environments.py"),
    script:
        "../../scripts/extract_environments.py"
