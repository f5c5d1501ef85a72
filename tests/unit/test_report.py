"""The page holds every number as it stands in the CSV files, whatever failed, and needs no other file."""

import base64
import csv
import functools
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import records_factory
import report_factory as factory
from getsei import comparison
from getsei.report import graphml, numbers, page, scene

DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


class Reader(HTMLParser):
    """Collects <data> with its text, links, pictures and visible text."""

    def __init__(self):
        super().__init__()
        self.data, self.links, self.images, self.ids, self.texts = [], [], [], [], []
        self.inside = None
        self.hidden = 0

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "data":
            self.inside = [found, ""]
        if tag == "a":
            self.links.append(found)
        if tag == "img":
            self.images.append(found)
        if "id" in found:
            self.ids.append(found["id"])
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        if tag == "data":
            self.data.append(self.inside)
            self.inside = None
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if self.inside is not None:
            self.inside[1] += data
        if not self.hidden:
            self.texts.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path, summaries = factory.report(tmp_path_factory.mktemp("results"), failed=[factory.FAILED])
    return path, summaries, read(path)


@functools.cache
def table(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def cell(folder, where):
    """Return what the CSV file says at the place a number names."""

    def rows(name):
        return table(folder / name)

    if "data-table" in where:
        return rows(where["data-table"])[int(where["data-row"])][where["data-column"]]
    part = where["data-part"]
    if "data-rank" in where:
        return next(r for r in rows("compare/ranking.csv") if r["system"] == where["data-rank"])[part]
    if "data-claim" in where:
        keys = (where["data-claim"], where["data-system"])
        return next(r for r in rows("compare/claims.csv") if (r["claim"], r["system"]) == keys)[part]
    keys = (where["data-system"], where["data-quantity"], where.get("data-state", ""))
    found = [r for r in rows("compare/systems.csv") if (r["system"], r["quantity"], r["state"]) == keys]
    assert len(found) == 1, keys
    return found[0][part]


def as_number(text):
    """Return what a reader reads."""
    text = re.sub(r"\s", "", text.translate(DIGITS))
    return float(text.replace("×10", "e"))


def same(where, text, found):
    """Check that a number of the page, in full and as it is read, is that of a cell."""
    assert where["value"] == found, where
    try:
        value = float(found)
    except ValueError:
        assert text == found
        return
    if np.isfinite(value):
        assert as_number(text) == pytest.approx(value, rel=5.1e-3, abs=1e-12), where


def test_every_number_is_that_of_the_csv(made):
    path, _, reader = made
    assert len(reader.data) > 500
    kinds = {key for where, _ in reader.data for key in where}
    assert {"data-table", "data-rank", "data-claim", "data-quantity"} <= kinds
    for where, text in reader.data:
        same(where, text, cell(path.parent, where))


def test_no_number_of_the_summary_stands_outside_a_marked_cell(made):
    path, _, _ = made
    text = path.read_text(encoding="utf-8")
    cards = text[text.index('<div class="cards">') : text.index('id="claims"')]
    cards = re.sub(r"<data .*?</data>", "", cards, flags=re.S)
    cards = re.sub(r'<p class="note">.*', "", re.sub(r'title="[^"]*"', "", cards), flags=re.S)
    shown = re.sub(r"<[^>]*>", " ", cards)
    names = " ".join([*factory.SYSTEMS, *records_factory.names(6), "nm²", "n = "])
    shown = re.sub(r"rank \d|li3ps4\S*|r1", "", shown)
    for word in re.findall(r"\S*\d\S*", shown):
        assert word.strip("():;,→") in names, word


def test_page_needs_no_other_file(made):
    path, _, reader = made
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 20e6
    assert not re.search(r'<(script|link|img|iframe)[^>]*(src|href)="(?!data:)', text)
    assert not re.search(r"url\((?!#)", text)
    sources = [image["src"] for image in reader.images if "src" in image]
    assert len(sources) > 60
    assert all(source.startswith("data:image/png") for source in sources)
    outside = [link["href"] for link in reader.links if not link["href"].startswith(("data:", "#"))]
    for href in outside:
        assert href.startswith("https://arxiv.org") or href.endswith((".svg", ".png", ".extxyz")), href
    for link in reader.links:
        if link["href"].startswith("#"):
            assert link["href"][1:] in reader.ids
    assert len(reader.ids) == len(set(reader.ids))


def test_downloads_are_the_files_themselves(made):
    path, _, reader = made
    embedded = {
        link["download"]: base64.b64decode(link["href"].split(",", 1)[1])
        for link in reader.links
        if link["href"].startswith("data:")
    }
    for name in ("compare/systems.csv", "li6ps5cl/kinetics/flux.csv", "li7la3zr2o12/transport/mobility.csv"):
        assert embedded[name.replace("/", "_")] == (path.parent / name).read_bytes()
    assert "li6ps5cl_flux.graphml" in embedded
    assert embedded["li6ps5cl_last_frame_states.extxyz"].split(b"\n", 1)[0] == b"90"


def test_failed_system_is_named_and_the_others_are_there(made):
    _, summaries, reader = made
    text = "".join(reader.texts)
    assert "atoms <lost> & gone" in text
    assert "Without results: li3ps4" in text
    for summary in summaries:
        assert summary["system"] in reader.ids
    assert sum(identity.startswith("scene-") for identity in reader.ids) == 3


def test_verdicts_and_failed_checks_stand_on_top(made):
    path, _, reader = made
    text = "".join(reader.texts)
    for row in numbers.read(path.parent / "compare/claims.csv"):
        assert row["verdict"] in text
        assert row["rule"] in text
    assert "effective rank" in text[: text.index("Side view of the whole cell")]


def test_provenance_holds_configuration_checksums_and_versions(made):
    text = "".join(made[2].texts)
    assert "compare/systems.csv" in text
    assert re.search(r"[0-9a-f]{64}  li6ps5cl/", text)
    assert "mobile:\n- Li" in text
    assert "numpy:" in text


def test_a_fourth_system_changes_no_code(tmp_path):
    four = {**factory.SYSTEMS, "na3ps4": ("P", "S", "S", "S")}
    path, _ = factory.report(tmp_path, systems=four, size={"n_ions": 16, "n_frames": 60})
    reader = read(path)
    assert "na3ps4" in reader.ids
    assert sum(identity.startswith("scene-") for identity in reader.ids) == 4


def test_nothing_finished_still_makes_a_page(tmp_path):
    path, _ = factory.report(tmp_path, systems={}, failed=[factory.FAILED])
    assert "The sampling supports no ranking" in "".join(read(path).texts)


def test_figures_beyond_the_limit_stay_beside(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MAX_EMBEDDED_BYTES", 5 * len(factory.png()))
    path, _ = factory.report(tmp_path, systems={"li6ps5cl": ("P", "S")}, size={"n_ions": 16, "n_frames": 60})
    sources = [image["src"] for image in read(path).images if "src" in image]
    assert sum(source.startswith("data:") for source in sources) == 5
    beside = [source for source in sources if not source.startswith("data:")]
    assert all((tmp_path / source).is_file() for source in beside)


@pytest.mark.parametrize(
    ("mobile", "said"), [([["Li"], ["Li"]], "lithium"), ([["Na"]], "sodium"), ([["Li"], ["Na"]], "ions")]
)
def test_title_names_what_moves(mobile, said):
    assert page.moving({str(i): {"mobile": elements} for i, elements in enumerate(mobile)}) == said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3.5919e-05", "3.59\u202f×\u202f10⁻⁵"),
        ("0.342467", "0.342"),
        ("464", "464"),
        ("9.0", "9"),
        ("", ""),
        ("true", "true"),
        ("-0.2241", "-0.224"),
        ("123456", "123456"),
        ("nan", "nan"),
    ],
)
def test_numbers_are_short(text, shown):
    assert numbers.short(text) == shown


def test_graphml_is_read_by_networkx():
    networkx = pytest.importorskip("networkx")
    parts = records_factory.system(n_ions=30, n_frames=120)
    flux = parts["flux"]
    text = graphml.write(flux)
    ElementTree.fromstring(text)
    graph = networkx.parse_graphml(text)
    assert len(graph) == len(flux.active)
    assert {d["role"] for _, d in graph.nodes(data=True)} == {"source", "target", "intermediate"}
    i, j = np.argwhere(flux.net_flux > 0)[0]
    edge = graph.edges[f"s{flux.active[i]}", f"s{flux.active[j]}"]
    assert edge["net_flux_per_ion_ns"] == pytest.approx(flux.net_flux[i, j], rel=1e-6)


def test_scene_holds_the_atoms_where_they_are():
    parts = records_factory.system(n_ions=20, n_frames=60)
    run, states = parts["trajectory"], parts["states"]
    found = json.loads(json.dumps(scene.make(run, states)))
    n, frames = len(run.species), len(found["times"])
    raw = np.frombuffer(base64.b64decode(found["positions"]), dtype="<i2").reshape(frames, n, 3)
    assert frames <= scene.MAX_FRAMES
    box = np.diag(run.cells[0])
    np.testing.assert_allclose(
        np.abs((raw[-1] / scene.SCALE * box - run.positions[-1] + box / 2) % box - box / 2), 0, atol=2e-3
    )
    labels = np.frombuffer(base64.b64decode(found["labels"]), dtype="u1").reshape(frames, 20)
    np.testing.assert_array_equal(labels[-1].astype(int) - 1, states.labels[:, -1])


def test_every_verdict_has_a_colour():
    assert set(page.KINDS) == {comparison.SUPPORTED, comparison.REFUTED, comparison.OPEN}
