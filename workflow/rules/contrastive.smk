rule train_gcl:
    input:
        environments=of_replicas(
            "<results>/{system}/{replica}/environments/environments.h5"
        ),
    output:
        embedding="<results>/{system}/gcl/embedding.h5",
        encoder="<results>/{system}/gcl/encoder.safetensors",
    log:
        "<logs>/{system}/train_gcl.log",
    benchmark:
        "<benchmarks>/{system}/train_gcl.tsv"
    conda:
        "../../envs/train_gcl.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        cfg=lookup(dpath="{system}/gcl", within=SYSTEMS),
        code=code_digest("train_gcl.py"),
    script:
        "../../scripts/train_gcl.py"
