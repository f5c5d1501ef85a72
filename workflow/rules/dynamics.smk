rule run_md:
    input:
        structure="<results>/{system}/{replica}/interface/structure.extxyz",
        report="<results>/{system}/{replica}/interface/report.json",
        model=potential_file,
        previous=previous_restart,
    output:
        frames="<results>/{system}/{replica}/md/{segment}.h5",
        restart="<results>/{system}/{replica}/md/{segment}.restart",
        thermo="<results>/{system}/{replica}/md/{segment}_thermo.csv",
    log:
        "<logs>/{system}/{replica}/run_md_{segment}.log",
    benchmark:
        "<benchmarks>/{system}/{replica}/run_md_{segment}.tsv"
    conda:
        "../../envs/run_md.yaml"
    threads: 1
    resources:
        mem_mb=growing(2500),
        runtime=growing(720),
        gpu=gpus,
    params:
        cfg=segment_parameters,
        potential=lookup(dpath="{system}/potential", within=SYSTEMS),
        code=code_digest("run_md.py"),
    script:
        "../../scripts/run_md.py"
