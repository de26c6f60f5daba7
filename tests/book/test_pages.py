"""Every page of the book opens from disk, in a browser that reaches no host, and is whole."""

import functools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse


@functools.cache
def tags_of(page: Path) -> "Tags":
    return Tags(page)


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
        for tag, attributes in tags_of(page).tags:
            source = attributes.get("src") or (attributes.get("href", "") if tag == "link" else "")
            assert not urlparse(source).netloc, f"{page.name}: <{tag}> loads {source}"
    for sheet in [site / "_static" / "book.css"]:
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", sheet.read_text())


def test_no_link_inside_the_book_is_dead(site: Path) -> None:
    for page in pages_of(site):
        for tag, attributes in tags_of(page).tags:
            link = urlparse(attributes.get("href", "") if tag == "a" else "")
            if link.scheme or link.netloc or not (link.path or link.fragment):
                continue
            target = (page.parent / unquote(link.path)).resolve() if link.path else page
            assert target.is_file(), f"{page.name} links to {link.path}"
            if link.fragment and target.suffix == ".html":
                assert unquote(link.fragment) in tags_of(target).ids(), f"{page.name} links to {link.geturl()}"


def test_no_page_tells_where_it_was_made(site: Path) -> None:
    home, root = str(Path.home()), str(site.parents[1])
    for page in [*pages_of(site), *site.glob("_sources/**/*.ipynb")]:
        text = page.read_text(encoding="utf-8")
        assert root not in text and f"{home}/" not in text, f"{page.name} holds a path of this machine"


def test_the_site_stays_light(site: Path) -> None:
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 30e6


def test_every_picture_says_what_it_shows_and_keeps_its_greys_in_the_dark(site: Path, browser: Any) -> None:
    context = browser.new_context(color_scheme="dark")
    for path in pages_of(site):
        page = context.new_page()
        page.goto(path.as_uri())
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
