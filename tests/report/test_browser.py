"""The page as people meet it: in a browser, at three widths, in light and dark, by keyboard."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leap_audit.report import render_html
from leap_audit.report.matrix import entanglement_matrix
from leap_audit.report.templates import template_folder
from leap_audit.text.names import ClassLabels
from tests.builders.audits import a_model, make_audit, with_pictures
from tests.builders.every_page import EVERY_PAGE
from tests.conftest import ROOT

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

AXE = Path(os.environ.get("LEAP_AUDIT_AXE", ROOT / ".venv" / "axe.min.js"))
WIDTHS = {"phone": (390, 844), "tablet": (768, 1024), "desktop": (1440, 900)}

OUTSIDE = """Array.from(document.querySelectorAll('main *, header *'))
    .filter(e => e.getClientRects().length
        && getComputedStyle(e).clipPath == 'none'
        && !e.closest('.scroll, .contents, .wide thead')
        && e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.outerHTML.slice(0, 80))"""
NARROW = """Array.from(document.querySelectorAll('main p'))
    .filter(e => e.getClientRects().length && e.textContent.trim().length > 80
        && e.getBoundingClientRect().width < 150)
    .map(e => e.outerHTML.slice(0, 80))"""

OF_COLOURS = "runOnly: ['color-contrast', 'link-in-text-block'],"

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Yield one Chromium for all tests here, which may reach nothing."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a page of every kind as a file, by name."""
    return {
        name: kind.write(tmp_path_factory.mktemp(name.replace(" ", "-")))
        for name, kind in EVERY_PAGE.items()
    }


@pytest.fixture
def show(browser: Any, pages: dict[str, Path]) -> Iterator[Open]:
    """Return what opens a page of `pages` and collects what the browser complains of."""
    contexts = []

    def opened(name: str, width: str = "desktop", scheme: str = "light") -> Any:
        across, down = WIDTHS[width]
        context = browser.new_context(
            viewport={"width": across, "height": down}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda said: page.complaints.append(said.text))
        page.on("request", lambda sent: page.complaints.append(sent.url) if _far(sent.url) else 0)
        page.goto(pages[name].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


def test_every_template_has_a_page() -> None:
    made = {path.name for path in template_folder().glob("[!_]*.j2")}
    assert {kind.template for kind in EVERY_PAGE.values()} == made


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_axe_finds_nothing(show: Open, name: str) -> None:
    if not AXE.is_file():
        pytest.skip(f"{AXE} is absent: `make setup` brings axe-core where npm can")
    page = show(name)
    # The page allows no script; what Playwright evaluates is not the page's.
    # In the dark only colours are others.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for across, down in WIDTHS.values():
        page.set_viewport_size({"width": across, "height": down})
        for scheme, rules in (("light", ""), ("dark", OF_COLOURS)):
            page.emulate_media(color_scheme=scheme)
            assert _told(_violations(page, rules)) == [], (across, scheme)
    assert page.complaints == []


def test_axe_notices(show: Open) -> None:
    if not AXE.is_file():
        pytest.skip(f"{AXE} is absent: `make setup` brings axe-core where npm can")
    page = show("usual")
    page.evaluate("document.querySelector('img').removeAttribute('alt')")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert [each["id"] for each in _violations(page)] == ["image-alt"]


def test_axe_notices_colours_of_the_dark(show: Open) -> None:
    if not AXE.is_file():
        pytest.skip(f"{AXE} is absent: `make setup` brings axe-core where npm can")
    page = show("incomplete", "desktop", "dark")
    page.evaluate("document.querySelector('main p').style.color = '#333'")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = _violations(page, OF_COLOURS)
    assert [each["id"] for each in found] == ["color-contrast"]


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_the_page_fits_every_screen(show: Open, name: str) -> None:
    """Nothing lies beyond the right edge, and every sentence has room for some words."""
    page = show(name)
    for across, down in WIDTHS.values():
        page.set_viewport_size({"width": across, "height": down})
        assert page.evaluate("document.documentElement.scrollWidth") <= across
        assert page.evaluate(OUTSIDE) == [], across
        page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
        assert page.evaluate(NARROW) == [], across
        page.evaluate("document.querySelectorAll('details').forEach(e => e.open = false)")


@pytest.mark.parametrize(
    ("planted", "noticed"),
    [
        ("<main><b style='position: absolute; left: 2000px'>far</b></main>", "OUTSIDE"),
        (f"<main><p style='width: 40px'>{'word ' * 20}</p></main>", "NARROW"),
    ],
)
def test_what_does_not_fit_is_noticed(browser: Any, planted: str, noticed: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_content(planted)
    found = {"OUTSIDE": page.evaluate(OUTSIDE), "NARROW": page.evaluate(NARROW)}
    assert [name for name, elements in found.items() if elements] == [noticed]
    page.close()


def test_names_lie_between_the_squares_of_the_matrix_and_its_edge(
    browser: Any, tmp_path: Path
) -> None:
    names = ("mobile home, manu", "WWWWMMMMWWWWMMMMWW", "кошка собака мышь", "犬" * 18, "owl", "x")
    folder = with_pictures(tmp_path)
    for order in (names, names[::-1]):
        audit = make_audit(folder, classes=order, prototypes=6)
        chart = entanglement_matrix(audit, ClassLabels(audit.classes))
        page = browser.new_page()
        page.goto(str(chart.image))
        cut = page.evaluate(
            """Array.from(document.querySelectorAll('text')).filter(words => {
                const [box, all] = [words, document.documentElement].map(
                    e => e.getBoundingClientRect());
                const scale = all.width / document.documentElement.viewBox.baseVal.width;
                const bottom = all.top + document.documentElement.viewBox.baseVal.height * scale;
                return box.left < all.left || box.right > all.right || box.top < all.top
                    || box.bottom > bottom;
            }).map(words => words.textContent)"""
        )
        assert cut == []
        covered = page.evaluate(
            """Array.from(document.querySelectorAll('text[transform]')).filter(words => {
                const first = document.querySelectorAll('rect')[1].getBoundingClientRect();
                return words.getBoundingClientRect().bottom > first.top;
            }).map(words => words.textContent)"""
        )
        assert covered == []
        page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_names_of_files_and_the_alarm_do_not_break_within_words(
    browser: Any, tmp_path: Path, width: str
) -> None:
    model = a_model().model_copy(update={"file": "deeplabv3_mnv2_pascal_quant_f32.onnx"})
    audit = make_audit(with_pictures(tmp_path), status="incomplete", model=model)
    across, down = WIDTHS[width]
    page = browser.new_page(viewport={"width": across, "height": down})
    page.set_content(render_html(audit, tmp_path))
    lines = page.evaluate(
        """(selector) => {
            const words = document.createRange(), lines = {};
            const walk = document.createTreeWalker(document.querySelector(selector), 4);
            for (let node; (node = walk.nextNode()); )
                for (let i = 0; i < node.length; i++) {
                    words.setStart(node, i); words.setEnd(node, i + 1);
                    const top = Math.round(words.getBoundingClientRect().top);
                    lines[top] = (lines[top] || '') + node.data[i];
                }
            return Object.values(lines);
        }""",
        "h1",
    )
    assert "".join(lines) == model.file
    assert all(line.endswith(("_", ".")) for line in lines[:-1])
    alarm = page.locator(".alarm strong").bounding_box()
    assert alarm["height"] < 40
    page.close()


def test_every_picture_is_shown(show: Open) -> None:
    page = show("usual")
    broken = "Array.from(document.images).filter(i => !i.naturalWidth).length"
    assert page.evaluate("document.images.length") > 0
    assert page.evaluate(broken) == 0


def test_the_keyboard_reaches_every_link_and_shows_where_it_is(show: Open) -> None:
    page = show("usual", "phone")
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    assert focused.inner_text() == "Skip to the findings"
    assert focused.bounding_box()["width"] > 50
    reached = 1
    reachable = """Array.from(document.querySelectorAll('a[href], [tabindex], summary'))
        .filter(e => e.checkVisibility()).length"""
    for _ in range(page.evaluate(reachable) - 1):
        page.keyboard.press("Tab")
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid", page.evaluate("document.activeElement.outerHTML")
        reached += 1
    assert reached == page.evaluate(reachable)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "BODY"


def test_the_skip_link_leads_to_the_report(show: Open) -> None:
    page = show("usual")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**#findings")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_printing_a_dark_page_is_dark_on_white(show: Open) -> None:
    page = show("usual", "desktop", "dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(20, 25, 29)"
    page.emulate_media(media="print")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"


def _violations(page: Any, rules: str = "") -> list[dict[str, Any]]:
    said = f"axe.run({{{rules} resultTypes: ['violations']}}).then(found => found.violations)"
    violations: list[dict[str, Any]] = page.evaluate(said)
    return violations


def _far(url: str) -> bool:
    return not url.startswith(("file:", "data:"))


def _told(violations: list[dict[str, Any]]) -> list[str]:
    return [f"{each['id']}: {node['html'][:160]}" for each in violations for node in each["nodes"]]
