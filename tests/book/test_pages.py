"""Every page of the book opens from disk, in a browser that reaches no host, and is whole."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

PHONE = {"width": 375, "height": 800}


class Tags(HTMLParser):
    """The start tags of a page with their attributes, and the ids it can be entered at."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def ids(self) -> set[str]:
        return {attributes["id"] for _, attributes in self.tags if "id" in attributes}


def pages_of(site: Path) -> list[Path]:
    return [*sorted(site.glob("book/*.html")), *sorted(site.glob("notebooks/*.html"))]


def test_every_page_of_the_table_of_contents_is_built_and_the_front_page_leads_to_the_welcome(site: Path) -> None:
    assert {page.stem for page in pages_of(site)} >= {"welcome", "how_to_read", "your_data", "table04_linear_probing"}
    assert "book/welcome.html" in (site / "index.html").read_text()


def test_no_script_style_font_or_picture_comes_from_another_host(site: Path) -> None:
    for page in pages_of(site):
        for tag, attributes in Tags(page).tags:
            source = attributes.get("src") or (attributes.get("href", "") if tag == "link" else "")
            assert not urlparse(source).netloc, f"{page.name}: <{tag}> loads {source}"
    for sheet in [site / "_static" / "book.css"]:
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", sheet.read_text())


def test_no_link_inside_the_book_is_dead(site: Path) -> None:
    for page in pages_of(site):
        for tag, attributes in Tags(page).tags:
            link = urlparse(attributes.get("href", "") if tag == "a" else "")
            if link.scheme or link.netloc or not (link.path or link.fragment):
                continue
            target = (page.parent / unquote(link.path)).resolve() if link.path else page
            assert target.is_file(), f"{page.name} links to {link.path}"
            if link.fragment and target.suffix == ".html":
                assert unquote(link.fragment) in Tags(target).ids(), f"{page.name} links to {link.geturl()}"


def test_no_page_tells_where_it_was_made(site: Path) -> None:
    home, root = str(Path.home()), str(site.parents[1])
    for page in [*pages_of(site), *site.glob("_sources/**/*.ipynb")]:
        text = page.read_text(encoding="utf-8")
        assert root not in text and f"{home}/" not in text, f"{page.name} holds a path of this machine"


def test_pages_stay_light(site: Path) -> None:
    for page in pages_of(site):
        assert page.stat().st_size < 300_000, f"{page.name} has {page.stat().st_size:,} bytes"
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 30e6


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_opens_without_an_error_and_fits_a_phone(site: Path, browser: Any, theme: str) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme=theme)
    for path in pages_of(site):
        problems: list[str] = []
        page = context.new_page()
        page.on("console", lambda said, found=problems: said.type in ("error", "warning") and found.append(said.text))
        page.on("pageerror", lambda error, found=problems: found.append(str(error)))
        page.on("requestfailed", lambda request, found=problems: found.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        assert not problems, f"{path.name}: {problems}"
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], f"{path.name} is {width} px wide on a phone"
        page.close()
    context.close()


def test_every_picture_says_what_it_shows_and_keeps_its_greys_in_the_dark(site: Path, browser: Any) -> None:
    context = browser.new_context(color_scheme="dark")
    for path in pages_of(site):
        page = context.new_page()
        page.goto(path.as_uri())
        pictures = page.eval_on_selector_all(
            "article img", "all => all.map(i => [i.alt, getComputedStyle(i).filter, i.naturalWidth])"
        )
        for alt, colour_filter, width in pictures:
            assert len(alt.split()) >= 3 and not re.search(r"\.(png|svg|jpe?g)$", alt), f"{path.name}: alt '{alt}'"
            assert colour_filter == "none", f"{path.name}: a radiograph would change its greys"
            assert width > 0, f"{path.name}: the picture '{alt}' did not load"
        page.close()
    context.close()


def test_the_sorter_sorts_numbers_as_numbers_and_puts_gaps_last(site: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto((site / "notebooks" / "page_of_the_tests.html").as_uri())

    def column(number: int) -> list[str]:
        rows = f"table.sortable tbody tr :nth-child({number}):is(td, th)"
        return page.eval_on_selector_all(rows, "cells => cells.map(c => c.dataset.v ?? c.textContent)")

    def click(name: str) -> str:
        page.get_by_role("button", name=name).first.click()
        return page.locator("th[aria-sort]").get_attribute("aria-sort")

    assert click("Images a second") == "descending"
    assert column(6) == ["100.5", "9.5", ""], "as text, 9.5 would stand above 100.5"
    assert click("Images a second") == "ascending"
    assert column(6) == ["9.5", "100.5", ""]
    click("Difference")
    assert column(5) == ["0.016", "-0.012", ""], "data-v is compared, not what the cell shows"
    assert click("Backbone") == "descending"
    assert column(2) == ["ViT-S/14", "ViT-L/14", "VGG19"]
    page.close()


def test_a_difference_is_told_by_a_sign_too_and_colours_have_contrast(site: Path, browser: Any) -> None:
    for theme in ("light", "dark"):
        page = browser.new_context(color_scheme=theme).new_page()
        page.goto((site / "notebooks" / "page_of_the_tests.html").as_uri())
        for name, sign in (("diff-up", "▲"), ("diff-down", "▼")):
            said, ink, ground = page.eval_on_selector(
                f"td.{name}",
                "c => { const s = getComputedStyle(c); return [c.textContent, s.color, s.backgroundColor]; }",
            )
            assert sign in said
            assert contrast(ink, ground) >= 4.5, f"{name} in {theme}: {ink} on {ground}"
        page.close()


def contrast(ink: str, ground: str) -> float:
    """WCAG 2 contrast ratio of two CSS colours ``rgb(r, g, b)``."""

    def luminance(colour: str) -> float:
        channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(ink), luminance(ground)))
    return (high + 0.05) / (low + 0.05)
