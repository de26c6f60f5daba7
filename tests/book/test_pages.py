"""The built pages: all there, no dead link, nothing from another host, no path of this machine."""

import functools
import re
from html.parser import HTMLParser
from pathlib import Path
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
