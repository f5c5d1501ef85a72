rule store_trajectory:
    input:
        segments=segment_files,
    output:
        trajectory="<results>/{system}/{replica}/trajectory/trajectory.h5",
        extxyz="<results>/{system}/{replica}/trajectory/trajectory.extxyz",
    log:
        "<logs>/{system}/{replica}/store_trajectory.log",
    benchmark:
        "<benchmarks>/{system}/{replica}/store_trajectory.tsv"
    wildcard_constraints:
        system=any_of(BUILT),
    conda:
        "../../envs/store_trajectory.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        md=lookup(dpath="{system}/md", within=SYSTEMS),
        interface=lookup(dpath="{system}/interface", within=SYSTEMS),
        potential=lookup(dpath="{system}/potential", within=SYSTEMS),
        code=code_digest("store_trajectory.py"),
    script:
        "../../scripts/store_trajectory.py"


rule measure_uncertainty:
    input:
        trajectory="<results>/{system}/{replica}/trajectory/trajectory.h5",
        model=potential_file,
        uncertainty=uncertainty_file,
    output:
        table="<results>/{system}/{replica}/trajectory/uncertainty.csv",
        facts="<results>/{system}/{replica}/trajectory/uncertainty.json",
    log:
        "<logs>/{system}/{replica}/measure_uncertainty.log",
    benchmark:
        "<benchmarks>/{system}/{replica}/measure_uncertainty.tsv"
    wildcard_constraints:
        system=any_of(BUILT),
    conda:
        "../../envs/measure_uncertainty.yaml"
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        cfg=lookup(dpath="{system}/uncertainty", within=SYSTEMS),
        cutoff_A=lookup(dpath="{system}/environments/cutoff_A", within=SYSTEMS),
        potential=lookup(dpath="{system}/potential", within=SYSTEMS),
        code=code_digest("measure_uncertainty.py"),
    script:
        "../../scripts/measure_uncertainty.py"


rule read_trajectory:
    input:
        files=own_files,
    output:
        trajectory="<results>/{system}/{replica}/trajectory/trajectory.h5",
        extxyz="<results>/{system}/{replica}/trajectory/trajectory.extxyz",
        report="<results>/{system}/{replica}/trajectory/report.json",
    log:
        "<logs>/{system}/{replica}/read_trajectory.log",
    benchmark:
        "<benchmarks>/{system}/{replica}/read_trajectory.tsv"
    wildcard_constraints:
        system=any_of(OWN),
    conda:
        "../../envs/read_trajectory.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        cfg=lookup(dpath="{system}/trajectory", within=SYSTEMS),
        code=code_digest("read_trajectory.py"),
    script:
        "../../scripts/read_trajectory.py"
