"""What sets rows of one name apart: left-out patients, image size, weights, seed, settings, data."""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence

from radlib.report.result import OUTCOMES, DataUsed, Result

LONGEST = 40  # characters of a setting's value; a longer one is left to the Result's file
MARKS: tuple[Callable[[Result], str], ...] = (
    lambda found: f"without {', '.join(found.left_out)}" if found.left_out else "",
    lambda found: f"{found.backbone.image_size} px" if found.backbone.image_size else "",
    lambda found: f"weights {found.backbone.weights_sha256[:8]}",
    lambda found: f"seed {found.seed}",
    lambda found: found.backbone.runtime,
)


def marks(names: Sequence[Hashable], results: Sequence[Result | None]) -> list[str]:
    """For each row, what sets its Result apart from the others of the same name; "" where the name is enough.

    names, results: one a row, in the same order; a row that has no Result, only a number of the paper, gets no mark.
    """
    out = [""] * len(names)
    for name in dict.fromkeys(names):
        rows = {k: found for k, found in enumerate(results) if names[k] == name and found is not None}
        for candidates in _candidates(list(rows.values())):
            words = dict(zip(rows, candidates, strict=True))
            for shared in [mark for mark, n in Counter(out[k] for k in rows).items() if n > 1]:
                alike = [k for k in rows if out[k] == shared]
                if len({words[k] for k in alike}) > 1:
                    out = [", ".join(filter(None, (shared, words[k]))) if k in alike else mark
                           for k, mark in enumerate(out)]  # fmt: skip
    return out


def _candidates(rows: Sequence[Result]) -> Iterator[list[str]]:
    """Words for each of `rows` by one property after another, the plainest first; the last differs between all."""
    for mark in MARKS:
        yield [mark(found) for found in rows]
    for setting in dict.fromkeys(name for found in rows for name in found.hyperparameters if name not in OUTCOMES):
        values = [json.dumps(found.hyperparameters.get(setting), ensure_ascii=False).strip('"') for found in rows]
        if max(map(len, values)) <= LONGEST:
            yield [f"{setting.replace('_', ' ')} {value}" for value in values]
    yield [found.cell for found in rows]


def titles(used: Sequence[DataUsed]) -> list[str]:
    """The title of each entry of `used`; where different data share one, with the start of the digest that differs."""
    out = []
    for data in used:
        words, rivals = [data.title], {other.key for other in used if other.title == data.title}
        for place, what in ((0, ""), (1, "images "), (2, "split "), (3, "labels or masks ")):
            if len({key[place] for key in rivals}) > 1:
                words.append(what + (data.key[place][:8] if what else data.key[place]))
                rivals = {key for key in rivals if key[place] == data.key[place]}
        out.append(", ".join(words))
    return out
