"""Pictures made of pixels, small enough for a page, each with words for those who do not see it."""

import base64
import io
from html import escape

from matplotlib.figure import Figure

QUALITY = 76  # of WebP, 0 to 100: a sheet of radiographs takes a tenth of its PNG, and no grey moves by more than a few


def html(figure: Figure, alt: str) -> str:
    """`figure` as an image within the page, WebP at the figure's own resolution; `alt` says what it shows."""
    content = io.BytesIO()
    figure.savefig(content, format="webp", facecolor=figure.get_facecolor(), pil_kwargs={"quality": QUALITY})
    data = base64.b64encode(content.getvalue()).decode("ascii")
    width, height = (int(side * figure.dpi) for side in figure.get_size_inches())
    return (
        f'<img class="dark-light radlib-sheet" src="data:image/webp;base64,{data}" alt="{escape(alt)}" '
        f'width="{width}" height="{height}">'
    )
