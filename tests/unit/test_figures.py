"""Figures are drawn whole, are the same every time, and say what the sampling does not support."""

import dataclasses
import itertools

import matplotlib as mpl
import numpy as np
import pytest
import records_factory as factory
from getsei import captions, interphase, progress, summary, transport
from getsei.figures import compare, compare_panels, dynamics, kinetics, panels, pathways, states, style
from getsei.figures import transport as transport_figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

LONG = "a name of a state that goes on and on, Li-rich S3.5Cl1.5-coordinated, near the metal"


@pytest.fixture(scope="module")
def system():
    return factory.system(n_ions=30, n_frames=120)


@pytest.fixture(scope="module")
def measured(system):
    return transport.measure(
        system["states"],
        system["koopman"],
        [system["trajectory"]],
        [system["environments"]],
        system["interphase"],
        1.0,
        60,
        1,
    )


@pytest.fixture(scope="module")
def summarised(system, measured):
    inputs = summary.Inputs(
        [system["trajectory"]],
        [system["environments"]],
        system["embedding"],
        system["states"],
        system["koopman"],
        system["flux"],
        measured,
        system["interphase"],
    )
    return summary.plain(summary.summarise("li6ps5cl", inputs, {}))


def texts(figure):
    """Return every text of a figure, one per line."""
    found = [t.get_text() for axes in figure.axes for t in axes.texts]
    found += [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center")]
    found += [t.get_text() for t in figure.texts]
    return "\n".join(found)


def outside(figure):
    """Return the texts that stick out of the page by more than a point."""
    figure.draw_without_rendering()
    page = figure.bbox
    found = []
    for axes in figure.axes:
        low, high = sorted(axes.get_ylim())
        ticks = [t.label1 for t in axes.yaxis.get_major_ticks() if low <= t.get_loc() <= high]
        for item in [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label, *ticks]:
            if not item.get_visible() or not item.get_text().strip():
                continue
            box = item.get_window_extent()
            if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1 or box.y1 > page.y1 + 1:
                found.append(item.get_text())
    return found


def draw(name, system, measured, summarised):
    if name == "dynamics":
        return dynamics.figure(system["trajectory"], ["Li"], "li6ps5cl")
    if name == "states":
        return states.figure(system["states"], "li6ps5cl")
    if name == "kinetics":
        return kinetics.figure(system["koopman"], "li6ps5cl")
    if name == "pathways":
        return pathways.figure(system["flux"], "li6ps5cl")
    if name == "transport":
        return transport_figure.figure(measured, "li6ps5cl")
    return compare.figure([summarised, {**summarised, "system": "other"}])


@pytest.mark.parametrize("name", ["dynamics", "states", "kinetics", "pathways", "transport", "compare"])
def test_figure_fits_its_page_and_has_units(name, system, measured, summarised):
    figure = draw(name, system, measured, summarised)
    assert outside(figure) == []
    assert figure.get_figwidth() <= style.TWO_COLUMNS_IN
    labels = " ".join(axes.get_xlabel() + " " + axes.get_ylabel() for axes in figure.axes)
    assert "(" in labels
    if name != "pathways":
        assert "n = " in texts(figure) or "n = " in str(
            [t.get_text() for a in figure.axes if a.get_legend() for t in a.get_legend().get_texts()]
        )


@pytest.fixture(scope="module")
def found(system, measured):
    return panels.Records(
        system["trajectory"],
        system["states"],
        system["koopman"],
        system["flux"],
        measured,
        system["interphase"],
    )


@pytest.mark.parametrize("name", captions.PANELS)
def test_panel_fits_one_column_in_letters_one_can_read(name, found):
    figure = panels.draw(name, found)
    assert figure.get_figwidth() == style.ONE_COLUMN_IN
    assert outside(figure) == []
    sizes = [t.get_fontsize() for axes in figure.axes for t in axes.texts if t.get_text().strip()]
    assert min(sizes, default=6) >= 6


def test_every_panel_is_described():
    assert set(panels.PANELS) == set(captions.PANELS)
    assert all(panel.reading.endswith(".") for stage in captions.STAGES for panel in stage.panels)


@pytest.mark.parametrize("name", [panel.name for panel in captions.COMPARISON])
def test_comparison_panel_fits_one_column(name, summarised):
    stub = progress.stub(progress.Status("lost", progress.FAILED, "run_md: no"))
    figure = compare_panels.draw(name, [summarised, stub])
    assert figure.get_figwidth() == style.ONE_COLUMN_IN
    assert outside(figure) == []
    assert "failed" in figure.axes[0].get_yticklabels()[1].get_text()


def bulk(system):
    """The same system without a metal, as a trajectory of a crystal alone."""
    found = dataclasses.replace(
        system["environments"], regions=np.array([[0.0, factory.LENGTH_A]]), region_names=["electrolyte"]
    )
    known = dataclasses.replace(system["states"], regions=found.regions, region_names=found.region_names)
    phases = interphase.measure([system["trajectory"]], [found], draws=20)
    return found, known, phases


def test_panels_do_without_a_metal(system):
    found, known, phases = bulk(system)
    assert phases.n_interfaces == 0
    measured = transport.measure(
        known, system["koopman"], [system["trajectory"]], [found], phases, 1.0, 40, 1
    )
    records = panels.Records(system["trajectory"], known, system["koopman"], system["flux"], measured, phases)
    for name in ("composition", "growth", "flux_map", "mobility_anions", "diffusion"):
        assert outside(panels.draw(name, records)) == [], name


def test_same_figure_same_bytes(system, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "DPI", 50)  # fewer pixels, the same marks
    for turn in ("one", "two"):
        figure = pathways.figure(system["flux"], "li6ps5cl")
        style.save(figure, tmp_path / f"{turn}.png", tmp_path / f"{turn}.svg")
    for kind in ("png", "svg"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()
    assert not list(tmp_path.glob(".*.part"))
    assert b"dc:date" not in (tmp_path / "one.svg").read_bytes()


def test_unsupported_flux_says_so(system):
    nothing = factory.flux(system["states"], system["koopman"], supported=False)
    figure = pathways.figure(nothing, "li6ps5cl")
    assert "no reactive flux" in texts(figure)
    assert "share" in texts(figure)


def test_flux_with_numbers_but_without_support_is_marked(system):
    weak = dataclasses.replace(system["flux"], supported=False, note="weakest step seen 2 times")
    shown = texts(pathways.figure(weak, "li6ps5cl"))
    assert "not supported" in shown
    assert "weakest step seen 2 times" in shown.replace("\n", " ")


def test_unsupported_mobility_is_named_not_drawn(system):
    known = system["states"]
    labels = np.where(known.labels == 5, 4, known.labels)
    rare = transport.measure(
        dataclasses.replace(known, labels=labels),
        system["koopman"],
        [system["trajectory"]],
        [system["environments"]],
        system["interphase"],
        1.0,
        60,
        1,
    )
    assert "not supported" in texts(transport_figure.figure(rare, "li6ps5cl"))


def test_missing_numbers_are_marked_in_the_comparison(summarised):
    numbers = {
        key: {**row, "supported": False, "value": None, "low": None, "high": None}
        for key, row in summarised["numbers"].items()
    }
    shown = texts(compare.figure([summarised, {**summarised, "system": "other", "numbers": numbers}]))
    assert "not supported" in shown


@pytest.mark.parametrize("n_states", [2, 10])
def test_other_numbers_of_states_and_long_names(n_states):
    other = factory.system(n_states=n_states, n_ions=30, n_frames=100, framework=("La", "Zr", "O", "O"))
    long_names = [f"{LONG} {number}" for number in range(n_states)]
    renamed = dataclasses.replace(other["states"], names=long_names)
    fitted = dataclasses.replace(other["koopman"], names=[long_names[s] for s in other["koopman"].active])
    flux = dataclasses.replace(other["flux"], names=fitted.names)
    for figure in (
        states.figure(renamed, "system"),
        kinetics.figure(fitted, "system"),
        pathways.figure(flux, "system"),
    ):
        assert outside(figure) == []


def test_colours_differ_and_do_not_depend_on_the_figure():
    colours = [style.state_colour(state) for state in range(16)]
    assert len(set(colours)) == 16
    assert style.element_colour("Y") == style.element_colour("Y")
    assert style.element_colour("Li") != style.element_colour("S")


def test_modal_map_finds_the_majority(system):
    known = system["states"]
    labels = np.zeros_like(known.labels)
    labels[:, 60:] = 3
    grid, times, edges = states.modal_map(dataclasses.replace(known, labels=labels))
    assert grid.shape == (len(times) - 1, len(edges) - 1)
    assert set(np.unique(grid[:59])) <= {-1, 0}
    assert set(np.unique(grid[61:])) <= {-1, 3}
    assert times[-1] == pytest.approx(12.0)


@pytest.mark.parametrize(("low", "high"), [(3.0, 80.0), (15.0, 3e4), (1e-5, 0.06)])
def test_ticks_of_a_logarithmic_axis_do_not_lie_on_each_other(low, high):
    figure = Figure(figsize=(2.2, 1.5))
    canvas = FigureCanvasAgg(figure)
    with mpl.rc_context(style.RC):
        axes = figure.subplots()
        axes.semilogx([low, high], [0.0, 1.0])
        style.plain_log(axes.xaxis)
        canvas.draw()
    boxes = [
        tick.get_window_extent(canvas.get_renderer())
        for tick in axes.get_xticklabels()
        if tick.get_text() and low <= tick.get_position()[0] <= high
    ]
    assert len(boxes) > 1
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
