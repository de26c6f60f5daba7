"""A Result as a table's cell: its value, its interval, and, on pointing at it, what it was made from."""

from radlib.report import html_table
from radlib.report.result import ORIGIN_WORDS, Result


def measured_cell(found: Result | None, note: str = "") -> str:
    """The cell of `found` with its provenance, a dash for None; † where `few_resamples` warns."""
    if found is None:
        return html_table.number_cell(None)
    mark = " †" if few_resamples(found) else ""
    interval = (found.interval.low, found.interval.high)
    return html_table.number_cell(found.value, note, interval=interval, tip=made_from(found), shown="{}" + mark)


def made_from(found: Result) -> str:
    """What a number was made from, in a few lines: images, weights, choice, split, and the file that says the rest."""
    cases = "images" if found.unit == "image" else "studies"
    scored = "" if found.scored == "all" else f" {found.scored}"
    lines = [
        f"{found.n_images:,} test {cases} of {found.n_patients:,} patients{scored}: {found.data.title}, "
        f"{ORIGIN_WORDS[found.data.origin]}"
    ]
    if found.backbone.image_size:
        lines.append(
            f"{found.backbone.called}, {found.backbone.image_size} px, weights {found.backbone.weights_sha256[:8]}, "
            f"{found.backbone.runtime}"
        )
    if found.draws:
        lines.append(f"mean of {len(found.draws)} draws, {min(found.draws):.3f} to {max(found.draws):.3f}")
    chosen = ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in found.chosen.items())
    if chosen:
        lines.append(f"chosen: {chosen}")
    lines.append(f"data {found.data.fingerprint[:8]}, split {found.data.split_sha256[:8]}, seed {found.seed}")
    lines.append(f"Result {found.table}/{found.name}.json, radlib {found.commit[:8]}")
    return "\n".join(lines)


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def few_resamples(found: Result) -> str:
    """A warning where fewer than half of the resamples kept every class, else nothing.

    Those that did are the ones in which the rare classes' few patients were drawn, so they vary less than all would.
    """
    interval = found.interval
    if interval.resamples_used >= interval.resamples / 2:
        return ""
    return (
        f" † Only {interval.resamples_used:,} of {interval.resamples:,} resamples kept every class: with so few test "
        "patients the interval is narrower than it should be."
    )
