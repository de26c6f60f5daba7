"""From the first page along every link, the network cut: nothing fails, is too wide, too heavy or unreadable."""

import re
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import pytest

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 800}
HEAVIEST = 1_500_000  # bytes of a page with its pictures, styles and scripts
RULES = {
    "light": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "dark": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},  # only colours differ there
}
LINKS = "all => all.map(link => link.href)"
WEIGHT = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""
SERIOUS = """async (rules) => {
    // Rows of a table are alike, and so are cells of code: the first three of each table, and the code of plain pages.
    const where = {include: [['article']], exclude: [['tbody tr:nth-child(n+4)'], ['.cell_input']]};
    const found = await axe.run(where, {runOnly: rules, resultTypes: ['violations'], preload: false});
    return found.violations.filter(each => ['serious', 'critical'].includes(each.impact))
        .map(each => `${each.id}: ${each.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(' | ')}`);
}"""


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's script, which comes in a package of the development environment."""
    try:
        return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    except ModuleNotFoundError:
        pytest.skip("axe-playwright-python, which holds axe-core, is not installed; `make env` installs it")


def opened(context: Any, address: str) -> tuple[Any, list[str]]:
    """The page at `address` when it has loaded, and what went wrong: errors, warnings, failed or refused requests."""
    wrong: list[str] = []
    page = context.new_page()
    page.on("console", lambda said: said.type in ("error", "warning") and wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("response", lambda answer: answer.status >= 400 and wrong.append(f"{answer.status}: {answer.url}"))
    page.goto(address)
    page.wait_for_load_state("load")
    return page, wrong


def test_every_page_opens_from_disk_and_its_pictures_say_what_they_show_and_keep_their_greys_in_the_dark(
    site: Path, browser: Any
) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme="dark")
    page, wrong = opened(context, (site / "index.html").as_uri())
    page.wait_for_url("**/book/welcome.html")  # it leads on, and what is asked of a page that leaves is lost
    page.close()
    assert not wrong, f"index.html: {wrong}"
    for path in [*site.glob("book/**/*.html"), *site.glob("notebooks/*.html")]:
        page, wrong = opened(context, path.as_uri())
        assert not wrong, f"{path.name}: {wrong}"
        pictures = page.eval_on_selector_all(
            "article img", "all => all.map(i => [i.alt, getComputedStyle(i).filter, i.naturalWidth, i.src])"
        )
        for alt, colour_filter, width, source in pictures:
            assert len(alt.split()) >= 3 and not re.search(r"\.(png|svg|jpe?g)$", alt), f"{path.name}: alt '{alt}'"
            if source.endswith(".svg"):
                assert "invert(1)" in colour_filter, f"{path.name}: a plot stays white"
            else:
                assert colour_filter == "none", f"{path.name}: a radiograph would change its greys"
            assert width > 0, f"{path.name}: the picture '{alt}' did not load"
        page.close()
    context.close()


@pytest.fixture(scope="module")
def known() -> set[str]:
    """What `pages` has found."""
    return set()


@pytest.fixture
def pages(served: str, browser: Any, known: set[str]) -> list[str]:
    """Addresses of all pages that links lead to from the first; each is opened once, and nothing may go wrong."""
    if known:
        return sorted(known)
    context = browser.new_context(viewport=DESK, color_scheme="light")
    first = served + "book/welcome.html"  # where index.html sends its reader
    waiting, found = [first], {first}
    while waiting:
        address = waiting.pop()
        page, wrong = opened(context, address)
        assert not wrong, f"{address}: {wrong}"
        for link in page.eval_on_selector_all("a[href]", LINKS):
            target = urldefrag(urljoin(page.url, link)).url
            if target.startswith(served) and target.endswith(".html") and target not in found:
                found.add(target)
                waiting.append(target)
        page.close()
    context.close()
    known |= found
    return sorted(known)


def test_links_lead_to_every_page(pages: list[str], served: str, site: Path) -> None:
    built = {
        path.relative_to(site).as_posix() for folder in ("book", "notebooks") for path in site.rglob(f"{folder}/*.html")
    }
    built |= {path.relative_to(site).as_posix() for path in site.glob("book/*/*.html")}
    reached = {address.removeprefix(served) for address in pages}
    assert built <= reached, f"nothing leads to {sorted(built - reached)}"
    assert len(built) > 30


@pytest.mark.parametrize("half", [0, 1])  # each well within what a browser test may take
@pytest.mark.parametrize("theme, size", [("light", DESK), ("dark", PHONE)])
def test_every_page_fits_is_light_and_can_be_read_by_everyone(
    pages: list[str], browser: Any, axe: str, theme: str, size: dict[str, int], half: int
) -> None:
    context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce")
    faults = []
    for address in pages[half::2]:
        page, wrong = opened(context, address)
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            wrong.append(f"{width} px wide")
        if (weight := page.evaluate(WEIGHT)) > HEAVIEST and "explore" not in address:
            wrong.append(f"{weight:,} bytes")
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        page.evaluate(axe)
        if page.locator("article").count():
            wrong += page.evaluate(SERIOUS, RULES[theme])
        faults += [f"{address}: {fault}" for fault in wrong]
        page.close()
    context.close()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("how", ["served", "from disk"])
def test_the_search_finds_a_word_of_a_page(site: Path, served: str, browser: Any, how: str) -> None:
    address = f"{served if how == 'served' else site.as_uri() + '/'}search.html?q=Hounsfield"
    page, wrong = opened(browser.new_context(), address)
    found = page.locator("ul.search li a")
    found.first.wait_for()
    page.wait_for_load_state("networkidle")
    assert not wrong
    assert any("Radiology, for engineers" in text for text in found.all_text_contents())
    if how == "served":
        assert "unit" in page.locator("ul.search .context").first.text_content().lower()
    page.close()
