"""Check the report against its bars, on three made-up systems drawn in full; exits 1 where one is missed.

Run it by `make check-report`. The browser is Debian's chromium (apt-get install -y chromium).
"""

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests"), str(ROOT / "tests/unit")]

import browser
import report_factory as factory
import test_report
from test_report_browser import TOO_WIDE

MAX_SECONDS, MAX_MB = 60.0, 20.0
ROWS: list[tuple[str, str, bool]] = []


def row(bar: str, measured: str, passed: bool) -> None:
    """Add a line to the table and print it."""
    ROWS.append((bar, measured, passed))
    print(f"{'pass' if passed else 'MISS':4}  {bar:<58} {measured}", flush=True)


def numbers(path: Path) -> None:
    """Compare every number of the page with its cell."""
    reader = test_report.read(path)
    wrong = 0
    for where, text in reader.data:
        found = test_report.cell(path.parent, where)
        try:
            test_report.same(where, text, found)
        except AssertionError:
            wrong += 1
    bar = "every number on the page is that of its CSV cell"
    row(bar, f"{len(reader.data) - wrong} of {len(reader.data)} equal", not wrong and len(reader.data) > 500)


def in_browser(path: Path, folder: Path) -> None:
    """Open the page at both widths, in both schemes."""
    if browser.PROGRAM is None:
        row("opened in chromium", "not measured: apt-get install -y chromium", False)
        return
    with browser.page(folder) as page:
        for width in (1280, 390):
            page.size(width, 850)
            page.open(path)
            page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
            wide = page.run("document.documentElement.scrollWidth - innerWidth")
            over = page.run(TOO_WIDE)
            row(
                f"nothing overflows at {width} px",
                f"{max(0, wide)} px, {len(over)} elements",
                wide <= 0 and not over,
            )
        broken = page.run("[...document.querySelectorAll('main img')].filter(i => !i.naturalWidth).length")
        count = page.run("document.querySelectorAll('main img').length")
        row("all figures load", f"{count - broken} of {count}", not broken)
        drawn = []
        for number in range(page.run("document.querySelectorAll('.viewer').length")):
            canvas = f"document.querySelectorAll('.viewer canvas')[{number}]"
            page.run(f"{canvas}.scrollIntoView()")
            page.wait(f"+{canvas}.dataset.drawn > 0")
            script = f"{canvas}.toDataURL()"
            before = page.run(script)
            page.run(f"{canvas}.focus()")
            page.press("ArrowRight")
            drawn.append(page.run(script) != before)
        row(
            "the 3D view of each system draws and turns by keyboard",
            f"{sum(drawn)} of {len(drawn)}",
            all(drawn),
        )
        colours = []
        for scheme in ("light", "dark"):
            page.scheme(scheme)
            colours.append(page.run("getComputedStyle(document.body).backgroundColor"))
        row("light and dark differ", " / ".join(colours), len(set(colours)) == 2)
        row("console errors", str(len(page.complaints)), not page.complaints)


def main() -> int:
    """Measure every bar; return 1 where one is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        summaries = factory.results(folder / "prepared")
        started, wall = time.process_time(), time.perf_counter()
        (folder / "drawn").mkdir()
        path, _ = factory.report(folder / "drawn", drawn=True, failed=[factory.FAILED])
        spent = time.process_time() - started
        bar = f"figures, tables and page of three systems in {MAX_SECONDS:g} s"
        row(
            bar,
            f"{spent:.1f} s of CPU ({time.perf_counter() - wall:.0f} s by the clock)",
            spent < MAX_SECONDS,
        )
        size = path.stat().st_size / 1e6
        row(f"one file under {MAX_MB:g} MB", f"{size:.1f} MB", size < MAX_MB)
        numbers(path)
        text = path.read_text(encoding="utf-8")
        named = "Without results" in text and "run_md li3ps4/r1/react" in text
        others = all(f'id="{s["system"]}-transport"' in text for s in summaries)
        row("a failed system shows as such, the others are compared", f"{named} / {others}", named and others)
        four = {**factory.SYSTEMS, "na3ps4": ("P", "S", "S", "S")}
        fourth, _ = factory.report(folder / "four", systems=four)
        there = 'id="na3ps4-transport"' in fourth.read_text(encoding="utf-8")
        row("a fourth system changes no code", f"on the page: {there}", there)
        in_browser(path, folder / "profile")
    return int(not all(passed for _, _, passed in ROWS))


if __name__ == "__main__":
    sys.exit(main())
