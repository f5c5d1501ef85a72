rule plot_dynamics:
    input:
        trajectories=sampled("<results>/{system}/{replica}/trajectory/trajectory.h5"),
    output:
        png=report(
            "<results>/{system}/figures/dynamics.png",
            caption="../report/plot_dynamics.rst",
            category="Dynamics",
            labels={"system": "{system}", "result": "dynamics figure"},
        ),
        svg="<results>/{system}/figures/dynamics.svg",
    log:
        "<logs>/{system}/plot_dynamics.log",
    benchmark:
        "<benchmarks>/{system}/plot_dynamics.tsv"
    conda:
        "../../envs/plot_dynamics.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(10),
    params:
        cfg=lookup(dpath="{system}/mobile", within=SYSTEMS),
        code=code_digest("plot_dynamics.py"),
    script:
        "../../scripts/plot_dynamics.py"


rule plot_states:
    input:
        states="<results>/{system}/states/states.h5",
    output:
        png=report(
            "<results>/{system}/figures/states.png",
            caption="../report/plot_states.rst",
            category="States",
            labels={"system": "{system}", "result": "states figure"},
        ),
        svg="<results>/{system}/figures/states.svg",
    log:
        "<logs>/{system}/plot_states.log",
    benchmark:
        "<benchmarks>/{system}/plot_states.tsv"
    conda:
        "../../envs/plot_states.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(10),
    params:
        code=code_digest("plot_states.py"),
    script:
        "../../scripts/plot_states.py"


rule plot_kinetics:
    input:
        koopman="<results>/{system}/kinetics/koopman.h5",
    output:
        png=report(
            "<results>/{system}/figures/kinetics.png",
            caption="../report/plot_kinetics.rst",
            category="Kinetics",
            labels={"system": "{system}", "result": "kinetics figure"},
        ),
        svg="<results>/{system}/figures/kinetics.svg",
    log:
        "<logs>/{system}/plot_kinetics.log",
    benchmark:
        "<benchmarks>/{system}/plot_kinetics.tsv"
    conda:
        "../../envs/plot_kinetics.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(10),
    params:
        code=code_digest("plot_kinetics.py"),
    script:
        "../../scripts/plot_kinetics.py"


rule plot_pathways:
    input:
        flux="<results>/{system}/kinetics/flux.h5",
    output:
        png=report(
            "<results>/{system}/figures/pathways.png",
            caption="../report/plot_pathways.rst",
            category="Kinetics",
            labels={"system": "{system}", "result": "pathways figure"},
        ),
        svg="<results>/{system}/figures/pathways.svg",
    log:
        "<logs>/{system}/plot_pathways.log",
    benchmark:
        "<benchmarks>/{system}/plot_pathways.tsv"
    conda:
        "../../envs/plot_pathways.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(10),
    params:
        code=code_digest("plot_pathways.py"),
    script:
        "../../scripts/plot_pathways.py"


rule plot_transport:
    input:
        transport="<results>/{system}/transport/transport.h5",
    output:
        png=report(
            "<results>/{system}/figures/transport.png",
            caption="../report/plot_transport.rst",
            category="Transport",
            labels={"system": "{system}", "result": "transport figure"},
        ),
        svg="<results>/{system}/figures/transport.svg",
    log:
        "<logs>/{system}/plot_transport.log",
    benchmark:
        "<benchmarks>/{system}/plot_transport.tsv"
    conda:
        "../../envs/plot_transport.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(10),
    params:
        code=code_digest("plot_transport.py"),
    script:
        "../../scripts/plot_transport.py"


rule plot_panels:
    input:
        trajectories=sampled("<results>/{system}/{replica}/trajectory/trajectory.h5"),
        states="<results>/{system}/states/states.h5",
        koopman="<results>/{system}/kinetics/koopman.h5",
        flux="<results>/{system}/kinetics/flux.h5",
        transport="<results>/{system}/transport/transport.h5",
        interphase="<results>/{system}/interphase/interphase.h5",
    output:
        png=expand(
            "<results>/{{system}}/figures/panels/{panel}.png", panel=captions.PANELS
        ),
        svg=expand(
            "<results>/{{system}}/figures/panels/{panel}.svg", panel=captions.PANELS
        ),
    log:
        "<logs>/{system}/plot_panels.log",
    benchmark:
        "<benchmarks>/{system}/plot_panels.tsv"
    conda:
        "../../envs/plot_panels.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=code_digest("plot_panels.py"),
    script:
        "../../scripts/plot_panels.py"
