rule summarise_system:
    input:
        trajectories=sampled("<results>/{system}/{replica}/trajectory/trajectory.h5"),
        environments=of_replicas(
            "<results>/{system}/{replica}/environments/environments.h5"
        ),
        embedding="<results>/{system}/gcl/embedding.h5",
        states="<results>/{system}/states/states.h5",
        koopman="<results>/{system}/kinetics/koopman.h5",
        flux="<results>/{system}/kinetics/flux.h5",
        transport="<results>/{system}/transport/transport.h5",
        interphase="<results>/{system}/interphase/interphase.h5",
        uncertainty=uncertainty_tables,
    output:
        summary="<results>/{system}/summary.json",
    log:
        "<logs>/{system}/summarise_system.log",
    benchmark:
        "<benchmarks>/{system}/summarise_system.tsv"
    conda:
        "../../envs/summarise_system.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=lookup(dpath="{system}", within=SYSTEMS),
        code=code_digest("summarise_system.py"),
    script:
        "../../scripts/summarise_system.py"


rule compare_systems:
    input:
        summaries=of_systems("<results>/{system}/summary.json"),
    output:
        table=report(
            "<results>/compare/systems.csv",
            caption="../report/compare_table.rst",
            category="Comparison",
            labels={"system": "all", "result": "all numbers"},
        ),
        claims=report(
            "<results>/compare/claims.csv",
            caption="../report/compare_claims.rst",
            category="Comparison",
            labels={"system": "all", "result": "claims"},
        ),
        checks=report(
            "<results>/compare/checks.csv",
            caption="../report/compare_checks.rst",
            category="Comparison",
            labels={"system": "all", "result": "checks"},
        ),
        ranking=report(
            "<results>/compare/ranking.csv",
            caption="../report/compare_ranking.rst",
            category="Comparison",
            labels={"system": "all", "result": "ranking"},
        ),
        headlines="<results>/compare/headlines.txt",
        png=report(
            "<results>/compare/systems.png",
            caption="../report/compare_systems.rst",
            category="Comparison",
            labels={"system": "all", "result": "figure"},
        ),
        svg="<results>/compare/systems.svg",
        panels_png=expand(
            "<results>/compare/panels/{panel.name}.png", panel=captions.COMPARISON
        ),
        panels_svg=expand(
            "<results>/compare/panels/{panel.name}.svg", panel=captions.COMPARISON
        ),
    log:
        "<logs>/compare_systems.log",
    benchmark:
        "<benchmarks>/compare_systems.tsv"
    conda:
        "../../envs/compare_systems.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        systems=SYSTEMS,
        trusted=not FINISHED_ONLY,
        code=code_digest("compare_systems.py"),
    script:
        "../../scripts/compare_systems.py"


rule build_report:
    input:
        summaries=of_systems("<results>/{system}/summary.json"),
        compare=rules.compare_systems.output,
        panels=of_systems(
            f"<results>/{{system}}/figures/panels/{captions.PANELS[0]}.png"
        ),
    output:
        page="<results>/report.html",
    log:
        "<logs>/build_report.log",
    benchmark:
        "<benchmarks>/build_report.tsv"
    conda:
        "../../envs/build_report.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        systems=SYSTEMS,
        trusted=not FINISHED_ONLY,
        code=code_digest("build_report.py"),
    script:
        "../../scripts/build_report.py"


rule finished:
    input:
        "<results>/report.html",
    localrule: True
