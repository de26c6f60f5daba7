"""What a page says of its numbers in words: whose images, how sure, from what."""

from collections.abc import Iterable
from html import escape
from itertools import chain

from radlib.data.splits import SPLITS
from radlib.evaluate import inference
from radlib.report import html_table, labels, leaderboard, result, scoring
from radlib.report.chips import strip
from radlib.report.result import ORIGIN_WORDS, Result


def status_html(this_run: list[Result]) -> str:
    """One strip: whose images this page's run used, how many, on what machine."""
    if not this_run:
        return strip([("", "nothing was run")])
    first = this_run[0]
    chips = [(f"chip-{origin}", f"This run: {ORIGIN_WORDS[origin]}")
             for origin in dict.fromkeys(found.data.origin for found in this_run)]  # fmt: skip
    used = result.datasets(this_run)
    if len(used) == 1:
        data = first.data
        chips += [("", f"{name}: {data.images[name]:,} images, {data.patients[name]} patients") for name in SPLITS]
    else:
        chips += [
            ("", f"{title}: {sum(data.images.values()):,} images, {sum(data.patients.values())} patients")
            for title, data in zip(labels.titles(used), used, strict=True)
        ]
    seconds = sum(found.seconds["fit"] for found in this_run if found.scored == "all")
    by_backbone = {
        (found.data.key, found.backbone.id, found.backbone.image_size if found.masks else 0): found.seconds["features"]
        for found in this_run
        if not found.control
    }
    chips += [("", f"{(seconds + sum(by_backbone.values())) / 60:.1f} min on {first.device}")]
    return strip(chips)


def provenance_html(results: list[Result], words: str) -> str:
    """A folded box for each dataset of `results`, headed by its title and `words`: what made each of its numbers."""
    used = result.datasets(results)
    return "".join(
        _provenance([one for one in results if one.data.key == data.key], f"{title}, {words}")
        for title, data in zip(labels.titles(used), used, strict=True)
    )


def _provenance(results: list[Result], title: str) -> str:
    """What all `results` share as a list, what they do not as a table of one line a Result."""
    facts = [_facts(found) for found in results]
    values = {name: {each[name] for each in facts if name in each} for name in dict.fromkeys(chain(*facts))}
    shared = {name: min(known) for name, known in values.items() if len(known) == 1}
    weights = dict.fromkeys((f"Weights of {found.backbone.called}", found.backbone.weights_sha256) for found in results)
    differing = [name for name in values if name not in shared]
    table = ""
    if differing:
        lines = html_table.head(["Row", *differing], "What the rows do not share", title)
        for (name, note), each in zip(leaderboard.described(results), facts, strict=True):
            cells = "".join(html_table.text_cell(each.get(fact, "–")) for fact in differing)
            lines.append(f"<tr>{html_table.name_cell(name, note)}{cells}</tr>")
        table = "\n".join([*lines, html_table.TAIL])
    return facts_html([*shared.items(), *weights], title, table)


def _facts(found: Result) -> dict[str, str]:
    """Where a number comes from; its weights have a line of their own. A row without pixels has no size or runtime."""
    interval = found.interval
    drawn = "patients" if interval.unit == "patient" else "patients and draws"
    of_pixels = {"Image size": f"{found.backbone.image_size} px", "Runtime": found.backbone.runtime}
    return {
        "Data": f"{found.data.title} ({ORIGIN_WORDS[found.data.origin]}). {found.data.note}",
        "Data fingerprint": found.data.fingerprint,
        "Split sha256": found.data.split_sha256,
        "Preprocessing": found.preprocessing,
        **(of_pixels if found.backbone.image_size else {}),
        "Seed": str(found.seed),
        "Intervals": f"{interval.level:.0%} percentile over {interval.resamples:,} resamples of {drawn}",
        "Device": found.device,
        **{f"Version of {name}": number for name, number in found.versions.items()},
        "Commit": found.commit,
    }


def facts_html(facts: Iterable[tuple[str, str]], title: str, more: str = "") -> str:
    """The folded box of provenance, headed `title`: names and what they are, and `more` HTML below them."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    summary = f"<summary>Provenance: {escape(title)}</summary>"
    return f'<details class="radlib-provenance">{summary}<dl>{items}</dl>{more}</details>'


def reading(published: list[Result], this_run: list[Result]) -> str:
    """Markdown: what the Results at hand allow to conclude, and what not."""
    said = []
    for data in result.datasets(published):
        said += _of_published([found for found in published if found.data.key == data.key])
    said += [SAID_OF_ORIGIN[origin] for origin in dict.fromkeys(found.data.origin for found in this_run)]
    return "\n".join(said)


def _of_published(published: list[Result]) -> list[str]:
    """What the linear probes on one dataset's real images say, a sentence each."""
    probes = [found for found in published if found.protocol == "linear_probe" and not found.control]
    whole = sorted((found for found in probes if found.scored == "all"), key=lambda found: -found.value)
    said = []
    if len(whole) > 1:
        best, second = whole[:2]
        difference, interval = _paired(best, second)
        half = (interval.high - interval.low) / 2
        whose = "the paper's own" if best.data.origin == "paper" else f"{best.data.title}'s"
        cases = "images" if best.unit == "image" else "studies"
        said.append(
            f"- On {whose} {best.n_images:,} test {cases} of {best.n_patients} patients *{best.backbone.called}* "
            f"reaches {with_interval(best)} and *{second.backbone.called}* {with_interval(second)}. Over the same "
            f"resampled patients they differ by {difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]: **this "
            f"test set tells apart models that differ by about {half:.3f}**, so the order of closer rows may be the "
            "luck of which patients were drawn."
        )
        for found in probes:
            if found.scored != "all" and found.backbone.id == best.backbone.id:
                said.append(
                    f"- Without the {best.n_images - found.n_images} test images that have a near-equal patient id in "
                    f"train the first of them reaches {with_interval(found)}, {found.value - best.value:+.3f}."
                )
    for found in whole:
        if found.backbone.id == "vits14_random":
            said.append(
                f"- A ViT-S/14 of random weights already reaches {with_interval(found)} there: the floor above which "
                "pre-training earns its keep."
            )
    return said


SAID_OF_ORIGIN = {
    "stand-in": "- This run used **simulated images**. Its numbers show that every step works and let you watch "
    "methods differ; they say nothing about the paper's data or about patients.",
    "paper": "- This run used the paper's images and split; its numbers may be set beside the paper's.",
    "own": "- This run used **your own images**; the paper's numbers are of other patients and only give a scale.",
}


def _paired(a: Result, b: Result) -> tuple[float, inference.Interval]:
    """Difference of two published Results on the same test images, with its interval over the same resamples."""
    one, other = (result.read_predictions(result.PUBLISHED / found.table / f"{found.name}.json") for found in (a, b))
    return inference.paired_difference(scoring.together(one), scoring.together(other), seed=a.seed)


def with_interval(found: Result) -> str:
    """A value and its interval, e.g. ``0.945 [0.937, 0.951]``."""
    return f"{found.value:.3f} [{found.interval.low:.3f}, {found.interval.high:.3f}]"
