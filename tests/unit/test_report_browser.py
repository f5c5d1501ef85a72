"""The page in a real browser: quiet, whole, within its window, and moved by the keyboard."""

import browser
import pytest
import report_factory as factory

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason=browser.MISSING)
TOO_WIDE = """[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().width
  && e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll,nav,pre,.skip'))
  .map(e => `${e.tagName} ${e.className}`).slice(0, 5)"""
CANVAS = "document.querySelector('.viewer canvas')"
SHOWN = f"{CANVAS}.toDataURL()"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path, _ = factory.report(
        tmp_path_factory.mktemp("results"),
        systems={"li6ps5cl": ("P", "S", "S", "S", "Cl")},
        failed=[factory.FAILED],
        size={"n_ions": 24, "n_frames": 60},
    )
    with browser.page(tmp_path_factory.mktemp("profile")) as found:
        found.size(1280, 900)
        found.open(path)
        found.path = path
        yield found


def test_all_figures_load_and_the_console_is_quiet(page):
    page.wait("[...document.querySelectorAll('main img')].every(i => i.complete)")
    assert page.run("[...document.querySelectorAll('main img')].every(i => i.naturalWidth > 100)")
    assert page.run("document.querySelectorAll('main img').length") > 20
    assert page.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nothing_overflows(page, width, scheme):
    page.size(width, 850)
    page.scheme(scheme)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.run("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.run(TOO_WIDE) == []
    page.run("document.querySelectorAll('details').forEach(d => d.open = false)")
    page.size(1280, 900)
    page.scheme("light")


def test_view_draws_turns_and_plays(page):
    page.run("document.querySelector('.viewer').scrollIntoView()")
    page.wait(f"+{CANVAS}.dataset.drawn > 50")
    first = page.run(SHOWN)
    page.run(f"{CANVAS}.focus()")
    page.press("ArrowRight")
    assert page.run(SHOWN) != first
    page.run("document.querySelector('.key button').click()")
    before = page.run(f"+{CANVAS}.dataset.drawn")
    page.run("document.querySelector('.key button').click()")
    assert page.run(f"+{CANVAS}.dataset.drawn") > before
    time = page.run("document.querySelector('output').textContent")
    page.run(f"{CANVAS}.focus()")
    page.press(" ")
    page.wait(f"document.querySelector('output').textContent !== '{time}'")
    page.press(" ")
    page.run("document.querySelector('input[value=element]').click()")
    assert "Cl" in page.run("document.querySelector('.key').textContent")
    assert page.complaints == []


def test_keyboard_reaches_the_results_and_enlarges_a_figure(page):
    page.open(page.path)
    page.press("Tab")
    assert page.run("document.activeElement.className") == "skip"
    page.press("Enter")
    page.wait("location.hash === '#main'")
    for _ in range(40):
        page.press("Tab")
        if page.run("document.activeElement.className") == "zoom":
            break
    assert page.run("document.activeElement.className") == "zoom"
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.press("Enter")
    assert page.run("document.getElementById('large').open")
    page.press("Escape")
    page.wait("!document.getElementById('large').open")


def test_light_and_dark(page):
    shade = "getComputedStyle(document.body).backgroundColor"
    page.scheme("light")
    light = page.run(shade)
    page.scheme("dark")
    dark = page.run(shade)
    assert light != dark
    page.run("document.getElementById('theme').click()")
    assert page.run(shade) == light
    page.run("delete document.documentElement.dataset.theme")
    page.scheme("light")
