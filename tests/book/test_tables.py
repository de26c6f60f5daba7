"""The scripts of the tables: what is sorted, told, saved and chosen, by mouse, finger and keyboard, from disk."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path("notebooks") / "page_of_the_tests.html"


@pytest.fixture
def page(site: Path, browser: Any) -> Any:
    page = browser.new_page()
    page.goto((site / PAGE).as_uri())
    yield page
    page.close()


def column(page: Any, number: int) -> list[str]:
    rows = f"table.sortable tbody tr :nth-child({number}):is(td, th)"
    return page.eval_on_selector_all(rows, "cells => cells.map(c => c.dataset.v ?? c.firstChild.textContent.trim())")


def test_numbers_are_sorted_as_numbers_gaps_last_and_the_third_click_brings_the_pages_order_back(page: Any) -> None:
    def click(name: str) -> str | None:
        page.get_by_role("button", name=name).first.click()
        sorted_by = page.locator("th[aria-sort]")
        return sorted_by.get_attribute("aria-sort") if sorted_by.count() else None

    assert click("Images a second") == "descending"
    assert column(page, 5) == ["100.5", "9.5", ""], "as text, 9.5 would stand above 100.5"
    assert click("Images a second") == "ascending"
    assert column(page, 5) == ["9.5", "100.5", ""]
    assert click("Images a second") is None
    assert column(page, 1) == ["ViT-S/14", "ViT-L/14", "VGG19, of ImageNet"]
    click("Difference")
    assert column(page, 4) == ["0.05", "-0.012", ""], "data-v is compared, not what the cell shows"
    assert click("Row") == "ascending"
    assert column(page, 1) == ["VGG19, of ImageNet", "ViT-L/14", "ViT-S/14"]


def test_sorting_needs_no_mouse(page: Any) -> None:
    page.get_by_role("button", name="Paper", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.locator("th[aria-sort]").text_content() == "Paper"
    assert column(page, 2) == ["0.974", "0.962", "0.933"]


def test_what_a_number_was_made_from_is_told_by_tab_arrows_and_escape(page: Any, made_from: str) -> None:
    first = page.locator("table.sortable button.tip").first
    stops = page.eval_on_selector_all("table.sortable button.tip", "all => all.filter(b => b.tabIndex === 0).length")
    assert stops == 1, "a table of many numbers is one stop of the Tab key"
    first.focus()
    tip = page.locator("#radlib-tip")
    assert tip.is_visible() and tip.text_content() == made_from
    assert first.get_attribute("aria-describedby") == "radlib-tip"
    page.keyboard.press("ArrowRight")
    assert tip.text_content() == "outside the interval"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr').rowIndex") == 2
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_what_a_number_was_made_from_is_told_to_mouse_and_finger(site: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto((site / PAGE).as_uri())
    tip, number = page.locator("#radlib-tip"), page.locator("table.sortable button.tip").first
    number.tap()
    assert tip.is_visible()
    box = tip.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 375
    page.locator("article h1").first.tap()
    assert not tip.is_visible()
    number.hover()
    assert tip.is_visible()
    context.close()


def download(page: Any, kind: str) -> tuple[str, str]:
    with page.expect_download() as given:
        page.get_by_role("button", name=re.compile(f"^{kind} of the table")).first.click()
    return given.value.suggested_filename, Path(given.value.path()).read_text(encoding="utf-8")


def test_a_table_is_saved_as_csv_with_numbers_in_full_intervals_and_provenance(page: Any, made_from: str) -> None:
    name, text = download(page, "CSV")
    assert name == "page_of_the_tests-1-brain-tumor.csv"
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["Row"] for row in rows] == ["ViT-S/14", "ViT-L/14", "VGG19, of ImageNet"]
    assert [row["Row, note"] for row in rows] == ["DINOv2", "DINOv2", "Supervised"]
    best = rows[1]
    assert float(best["On the paper's images"]) == 0.99123456, "not the 0.991 that is shown"
    ends = [float(best[f"On the paper's images, 95 % {end}"]) for end in ("low", "high")]
    assert ends == [0.98, 1.0]
    assert best["On the paper's images, made from"] == made_from.replace("\n", "; ")
    assert float(best["Difference"]) == 0.05
    assert rows[2]["On the paper's images"] == "" and rows[2]["Paper"] == "0.933"


def test_a_table_is_saved_as_json_in_the_order_it_is_shown_in(page: Any) -> None:
    page.get_by_role("button", name="Images a second").click()
    name, text = download(page, "JSON")
    saved = json.loads(text)
    assert name.endswith(".json") and saved["caption"] == 'Brain Tumor: what it shows, "quoted".'
    assert [row["Images a second"] for row in saved["rows"]] == [100.5, 9.5, None]
    assert saved["rows"][0]["This run: stand-in data"] == 0.91


def test_rows_are_chosen_by_mark_and_by_word_and_the_choice_is_in_the_address(site: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto((site / "notebooks" / "filter_of_the_tests.html").as_uri())

    def shown() -> int:
        return page.locator("table.sortable tbody tr:visible").count()

    assert shown() == 128 and page.locator(".radlib-filter output").text_content() == "128 of 128 rows"
    page.get_by_label("Dataset").select_option("AMOS")
    amos = shown()
    page.get_by_label("Words").fill("u-net vit-g")
    assert 0 < shown() < amos
    assert "dataset=AMOS" in page.url and "words=u-net" in page.url
    other = browser.new_page()
    other.goto(page.url)
    assert other.locator("table.sortable tbody tr:visible").count() == shown(), "a link shows what its sender saw"
    other.close()
    _, text = download(page, "CSV")
    assert len(list(csv.DictReader(io.StringIO(text)))) == shown(), "what is saved is what is shown"
    page.get_by_label("Words").fill("nothing of the kind")
    assert shown() == 0 and not page.locator("table.sortable").is_visible()
    page.get_by_role("button", name="Show all").click()
    assert shown() == 128 and "#" not in page.url
    page.close()


def test_a_difference_is_told_by_a_sign_too_and_colours_have_contrast(site: Path, browser: Any) -> None:
    for theme in ("light", "dark"):
        page = browser.new_context(color_scheme=theme).new_page()
        page.goto((site / PAGE).as_uri())
        for name, sign in (("diff-up.step-3", "▲"), ("diff-down.step-1", "▼")):
            assert sign in page.locator(f"td.{name}").first.text_content()
        for direction in ("up", "down"):
            grounds = set()
            for step in (1, 2, 3):
                ink, ground = page.eval_on_selector(
                    "td.diff-up",
                    f"""c => {{ c.className = 'num diff-{direction} step-{step}'; const s = getComputedStyle(c);
                    const seen = [s.color, s.backgroundColor]; c.className = 'num diff-up step-3'; return seen; }}""",
                )
                assert contrast(ink, ground) >= 4.5, f"{direction} {step} in {theme}: {ink} on {ground}"
                grounds.add(ground)
            assert len(grounds) == 3
        page.close()


def contrast(ink: str, ground: str) -> float:
    """WCAG 2 contrast ratio of two CSS colours ``rgb(r, g, b)``."""

    def luminance(colour: str) -> float:
        channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(ink), luminance(ground)))
    return (high + 0.05) / (low + 0.05)
