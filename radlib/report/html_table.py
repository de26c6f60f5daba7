"""The book's HTML tables: a head that sorts, a caption, cells that carry their raw value."""

from html import escape


def head(columns: list[str], caption: str) -> list[str]:
    """Lines of a sortable table as far as its body; end it with `TAIL`."""
    return [
        '<div class="radlib-scroll"><table class="dataframe radlib-table sortable">',
        f"<caption>{escape(caption)}</caption>",
        "<thead><tr>" + "".join(f'<th scope="col">{escape(name)}</th>' for name in columns) + "</tr></thead><tbody>",
    ]


TAIL = "</tbody></table></div>"


def heading(title: str, words: str = "") -> str:
    """What stands above a table or plot: `title` in bold, which may be the name of a reader's folder, and `words`."""
    return f"<p><strong>{escape(title)}</strong>{escape(words)}</p>"


def name_cell(name: str, note: str) -> str:
    """A row's head: `name` and, small below it, `note`."""
    return f'<th scope="row">{escape(name)} <span class="note">{escape(note)}</span></th>'


def number_cell(value: float | None, note: str = "", decimals: int = 3) -> str:
    """A number, a dash for None, and a small `note` behind it."""
    small = f' <span class="interval">{escape(note)}</span>' if note else ""
    if value is None:
        return f'<td class="num" data-v="">–{small}</td>'
    return f'<td class="num" data-v="{value}">{value:,.{decimals}f}{small}</td>'


def text(*words: str) -> str:
    """The words that are not empty, escaped, with commas."""
    return escape(", ".join(word for word in words if word))
