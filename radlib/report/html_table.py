"""The book's HTML tables: a head that sorts, a caption, and cells that carry what a file of the table would hold.

A cell shows a rounded number; ``data-v``, ``data-low`` and ``data-high`` hold it and its interval in full, ``title``
tells what it was made from. The book's scripts sort by these, show the title to mouse, finger and keyboard, and write
them as CSV and JSON, so that what is downloaded is what is shown. Without a script a table is still a table.
"""

from html import escape

Interval = tuple[float, float]  # low, high

STEPS = (0.02, 0.05)  # sizes of a difference at which its colour deepens
DIFFERENCE = {"▲": "diff-up", "▼": "diff-down", "≈": "diff-same", "": "diff-same"}


def head(columns: list[str], caption: str, title: str = "", tall: bool = False) -> list[str]:
    """Lines of a sortable table as far as its body; end it with `TAIL`.

    `title` stands above the table and opens its caption. A `tall` one scrolls by itself under a head that stays.
    """
    above = f'<p class="radlib-title" aria-hidden="true">{escape(title)}</p>' if title else ""
    named = f"{title}: {caption}" if title else caption
    return [
        f'{above}<div class="radlib-scroll{" radlib-tall" * tall}"><table class="dataframe radlib-table sortable">',
        f"<caption>{escape(named)}</caption>",
        "<thead><tr>" + "".join(f'<th scope="col">{escape(name)}</th>' for name in columns) + "</tr></thead><tbody>",
    ]


TAIL = "</tbody></table></div>"


def heading(title: str, words: str = "") -> str:
    """What stands above a table or plot: `title` in bold, which may be the name of a reader's folder, and `words`."""
    return f"<p><strong>{escape(title)}</strong>{escape(words)}</p>"


def name_cell(name: str, note: str) -> str:
    """A row's head: `name` and, small below it, `note`."""
    return f'<th scope="row">{escape(name)}{_small(note)}</th>'


def text_cell(*words: str, note: str = "") -> str:
    """A cell of words: those that are not empty, with commas; small below them a `note`."""
    return f'<td class="text">{escape(", ".join(word for word in words if word))}{_small(note)}</td>'


def printed_cell(words: str, note: str = "") -> str:
    """A number as somebody printed it, e.g. ``1,100M``."""
    return f'<td class="num">{escape(words)}{_small(note)}</td>'


def number_cell(
    value: float | None,
    note: str = "",
    decimals: int = 3,
    interval: Interval | None = None,
    tip: str = "",
    shown: str = "{}",
    kind: str = "",
) -> str:
    """A number, a dash for None; small below it its `interval` and a `note`.

    `shown` is what the cell says, ``{}`` in it the rounded number; `kind` is a further CSS class.
    """
    said = escape("–" if value is None else shown.format(f"{value:,.{decimals}f}"))
    spread = interval and f"[{interval[0]:.{decimals}f}, {interval[1]:.{decimals}f}]"
    return _cell(f"num {kind}".strip(), value, said, spread, note, interval, tip)


def difference_cell(
    value: float, sign: str, interval: Interval | None = None, tip: str = "", mark: str = "", coloured: bool = True
) -> str:
    """A signed difference behind its `sign` (▲ above, ▼ below, ≈ not told apart, or none) and before its `mark`.

    ▲ is blue and ▼ orange, told apart by every kind of colour vision, and deeper from the sizes in `STEPS` on; without
    `coloured` no verdict is meant.
    """
    kind = DIFFERENCE[sign] if coloured else "other-weights"
    if coloured and sign in "▲▼":
        kind += f" step-{1 + sum(abs(value) >= size for size in STEPS)}"
    spread = interval and f"[{interval[0]:+.3f}, {interval[1]:+.3f}]"
    return _cell(f"num {kind}", value, f"{sign} {value:+.3f}{escape(mark)}".strip(), spread, "", interval, tip)


def _cell(
    kind: str, value: float | None, said: str, spread: str | None, note: str, interval: Interval | None, tip: str
) -> str:
    ends = f' data-low="{interval[0]}" data-high="{interval[1]}"' if interval else ""
    title = f' title="{escape(tip)}"' if tip else ""
    between = f' <span class="interval">{spread}</span>' if spread else ""
    raw = "" if value is None else value
    return f'<td class="{kind}" data-v="{raw}"{ends}{title}>{said}{between}{_small(note)}</td>'


def _small(note: str) -> str:
    return f' <span class="note">{escape(note)}</span>' if note else ""
