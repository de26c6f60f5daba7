"""Chips in a strip: the few words above a page's numbers that say whose they are."""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from radlib.paper.claims import Claim, Word, judge

SYMBOL: dict[Word, str] = {"supported": "✓", "partly": "◐", "not supported": "✗", "no numbers": "–"}


def strip(chips: Iterable[tuple[str, str]]) -> str:
    """One strip of `chips`, each a CSS class beside ``chip`` ("" for none) and its words."""
    spans = "".join(f'<span class="{f"chip {kind}".strip()}">{escape(words)}</span>' for kind, words in chips)
    return f'<div class="radlib-strip">{spans}</div>'


def summary_html(claims: Sequence[Claim]) -> str:
    """How many claims the paper's own numbers support, support in part, or leave open, as one strip."""
    words = Counter(judge(claim).word for claim in claims)
    return strip(
        (f"chip-{word.replace(' ', '-')}", f"{SYMBOL[word]} {words[word]} {word}") for word in SYMBOL if words[word]
    )
