rule build_interface:
    input:
        crystals=crystal_files,
        model=potential_file,
    output:
        structure="<results>/{system}/{replica}/interface/structure.extxyz",
        report="<results>/{system}/{replica}/interface/report.json",
    log:
        "<logs>/{system}/{replica}/build_interface.log",
    benchmark:
        "<benchmarks>/{system}/{replica}/build_interface.tsv"
    conda:
        "../../envs/build_interface.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(15),
        gpu=gpus,
    params:
        cfg=lookup(dpath="{system}/interface", within=SYSTEMS),
        potential=lookup(dpath="{system}/potential", within=SYSTEMS),
        code=code_digest("build_interface.py"),
    script:
        "../../scripts/build_interface.py"
