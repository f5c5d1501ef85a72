"""The single-column figures of a system: what each is called and how to read it (standard library only)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """One figure of the report.

    Attributes
    ----------
    name : str
        File name without ending.
    title : str
        What it shows.
    reading : str
        One sentence on how to read it.
    """

    name: str
    title: str
    reading: str


@dataclass(frozen=True)
class Stage:
    """One step of the work: what was done, its figures, and its tables by path in a system's folder."""

    name: str
    title: str
    done: str
    panels: tuple[Panel, ...]
    tables: tuple[str, ...] = ()


STAGES = (
    Stage(
        "run",
        "Interface and dynamics",
        "The atoms were set up and followed by molecular dynamics, or read from a trajectory; which "
        "potential, settings and seeds stands under provenance.",
        (
            Panel(
                "snapshots",
                "The interface before and after",
                "Side view of the whole cell, cut into rows that continue one another along z; where "
                "the colours of the electrolyte enter the metal, it has been consumed.",
            ),
            Panel(
                "energy",
                "Temperature and energy",
                "A level temperature means that the thermostat holds; an energy that still falls "
                "means that the interphase still grows and that rates describe this window only.",
            ),
        ),
    ),
    Stage(
        "interphase",
        "Composition and thickness of the interphase",
        "Each slice across z was told to be metal, interphase or electrolyte by its share of mobile "
        "ions, and the neighbours of every element were counted along the run.",
        (
            Panel(
                "composition",
                "Elements along z",
                "Each line is the number density of one element, thin at the start and thick at the "
                "end; where lines of both sides overlap lies the interphase (shaded).",
            ),
            Panel(
                "growth",
                "Thickness and ion inventory",
                "A rising line means growth; the lower panel tells from which side the ions of the "
                "interphase come.",
            ),
            Panel(
                "bonds",
                "Bonds of the electrolyte",
                "A falling line means that bonds of the electrolyte break; bands are one standard "
                "deviation over the n centre atoms.",
            ),
            Panel(
                "shells",
                "Neighbours of the mobile ions",
                "Rising contacts to one element show which products form around the ions.",
            ),
        ),
        ("interphase/interphase.csv",),
    ),
    Stage(
        "states",
        "Environments and states",
        "The surroundings of every mobile ion at every frame were encoded by contrastive learning "
        "without labels and grouped into states, which keep their number and colour in all figures.",
        (
            Panel(
                "snapshot_states",
                "The interface coloured by state",
                "Mobile ions carry the colour of their state, other atoms are grey; compare the first "
                "with the last frame to see which states spread.",
            ),
            Panel(
                "state_map",
                "States along z over time",
                "Every pixel has the colour of the most frequent state at that height and time; a "
                "border that moves is a front of the reaction.",
            ),
            Panel(
                "embedding",
                "Embedding projection",
                "Each point is one environment; states that form islands are distinct, states that "
                "merge are not.",
            ),
            Panel(
                "coordination",
                "Coordination of the states",
                "Each row is the first shell of a state: bright cells name the elements it is made of.",
            ),
        ),
        ("states/states.csv", "states/gates.csv"),
    ),
    Stage(
        "kinetics",
        "Kinetics between states",
        "A Koopman operator of the changes of state was estimated over one lag time, with intervals "
        "from resampling ions, and tested.",
        (
            Panel(
                "timescales",
                "Implied timescales",
                "Lines that are level where the dashed lag stands mean that the model holds there; in "
                "the grey region processes are faster than the lag and mean nothing.",
            ),
            Panel(
                "chapman",
                "Chapman-Kolmogorov test",
                "Points (observed) on their lines (model) mean that the model predicts longer times.",
            ),
            Panel(
                "escape",
                "Escape rates",
                "The further right a state, the sooner its ions leave it; states far left are traps.",
            ),
        ),
        ("kinetics/koopman.csv",),
    ),
    Stage(
        "pathways",
        "Reactive flux and pathways",
        "Transition path theory gave the flux of ions from the source to the target state, its "
        "pathways and its bottleneck.",
        (
            Panel(
                "flux_map",
                "Flux over the depth of the cell",
                "States stand where they are found between the middle of the metal and the middle of "
                "the electrolyte; an arrow is as wide as its net flux, the bottleneck is red.",
            ),
            Panel(
                "pathways",
                "Pathways",
                "Each bar is one way through the states; several bars of similar length mean "
                "diversity, a double arrow marks the weakest step.",
            ),
        ),
        ("kinetics/flux.csv", "kinetics/pathways.csv"),
    ),
    Stage(
        "transport",
        "Mobility and diffusion",
        "Displacements against a stated reference were averaged by state, by ion and by phase.",
        (
            Panel(
                "mobility",
                "Mobility by state",
                "The higher a state, the further its ions move within the window stated; n counts ions.",
            ),
            Panel(
                "score",
                "Mobility score by state",
                "Escape rate times squared jump: high where ions leave often and far; n counts exits.",
            ),
            Panel(
                "mobility_density",
                "Mobility against ion density",
                "Each point is one ion; the partial correlation says what remains once anion "
                "coordination is accounted for.",
            ),
            Panel(
                "mobility_anions",
                "Mobility against anion coordination",
                "Each point is one ion; a falling cloud means that anions hold ions back.",
            ),
            Panel(
                "diffusion",
                "Diffusion in metal, interphase and electrolyte",
                "Bars are 95 % intervals from resampling ions; a phase without a point did not become "
                "diffusive within the run.",
            ),
        ),
        ("transport/mobility.csv",),
    ),
)

PANELS = tuple(panel.name for stage in STAGES for panel in stage.panels)
COMPARISON = (
    Panel(
        "transport",
        "Transport",
        "Systems from the best down; points with bars that do not overlap differ.",
    ),
    Panel(
        "correlations",
        "What mobility follows",
        "Partial rank correlations over ions: away from zero means that mobility follows this "
        "descriptor once the other is accounted for.",
    ),
    Panel(
        "states",
        "States",
        "Each point is one state in its colour, a row is one system.",
    ),
    Panel(
        "bonds",
        "Stability",
        "The share of the bonds of the electrolyte that outlast the run: the further right, the more inert.",
    ),
)
