"""Two spellings of one name: patients who may be one person under two ids, and classes that may be one class."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

ZEROS = re.compile(r"(?<!\d)(?<!\d\.)0+(?=\d)")  # before a number, not behind its point
QUOTES = str.maketrans(dict.fromkeys("‘’‛ʼ′`´", "'") | dict.fromkeys("“”„‟″«»", '"'))
SHOWN = 3  # groups of spellings in one sentence
MISSING = {"nan", "na", "n/a", "#n/a", "<na>", "null", "#value!", "#name?", "#ref!", "#div/0!"}  # spreadsheets, pandas
SEXES = {"f", "female", "m", "male"}


def spelling(name: str) -> str:
    """What `name` has in common with its other spellings: equal for ``001`` and ``1``, ``P-001`` and ``p1``.

    Ignored are upper and lower case, Unicode's composed and decomposed forms and full-width characters (NFKC),
    invisible characters, outer quotes, typographic forms of quotes, punctuation at the end, zeros before a number and
    ``.0`` after it, and separators: spaces, hyphens, underscores, brackets, commas, and the carets of DICOM's names. A
    separator counts between two digits and beside a single letter: ``1-2`` is not ``12``, ``a-b`` not ``ab``, but
    ``non-COVID`` is ``nonCOVID``.
    """
    if name.isascii() and name.isalnum():  # the most, of which there may be tens of thousands
        return ZEROS.sub("", name.lower())
    text = name.translate(QUOTES)
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = "".join("-" if unicodedata.category(c) == "Pd" or c == "−" else c for c in text)
    text = "".join(str(unicodedata.decimal(c, c)) for c in text if unicodedata.category(c) not in ("Cf", "Cc"))
    text = re.sub(r"^(?:\s|['\"=])+|[\s'\".,;:^]+$", "", text)
    text = re.sub(r"^(\d+)\.0+$", r"\1", text)
    text = re.sub(r"(?<=\w)[\s_()\[\],^-]+(?=\w)|(?<=[^\W_])_+(?=[^\W_])", "-", text)  # one sign for all separators
    text = re.sub(r"[\s_()\[\],^]+", "", text)
    text = re.sub(r"(?<=\d)-(?=[^\W\d])|(?<=[^\W\d])-(?=\d)|(?<=[^\W\d]{2})-(?=[^\W\d]{2})", "", text)
    return ZEROS.sub("", text) or name


def respelled(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of at least two different `names` that are one `spelling`, in order of first appearance."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(spelling(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def in_words(groups: Sequence[tuple[str, ...]]) -> str:
    """``'001' and '1', 'A' and 'a'``; names that look alike in print are written with escapes."""
    shown = [" and ".join(f"'{name}'" for name in _visible(group)) for group in groups[:SHOWN]]
    more = len(groups) - SHOWN
    return "; ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def _visible(group: tuple[str, ...]) -> list[str]:
    printed = {"".join(c for c in unicodedata.normalize("NFKC", name) if c.isprintable()).strip() for name in group}
    if len(printed) == len(group):
        return list(group)
    return [name.encode("ascii", "backslashreplace").decode() for name in group]


def patient_warnings(samples: pd.DataFrame, source: str) -> list[str]:
    """Sentences on patient ids of `samples` that may be wrong; `source` names the file and column they come from."""
    groups, divided = _respelled_patients(samples)
    sentences = []
    if groups:
        sentences.append(
            f"{source}: {in_words(groups)} may be the same patient ({divided:,} of {len(groups):,} such groups of ids "
            "are in two splits); if so, give each patient one id."
        )
    return sentences + missing_warnings(samples["patient"], source)


def patient_note(samples: pd.DataFrame) -> str:
    """The same in a sentence that names no patient, for pages and Results; empty where every id has one spelling."""
    groups, divided = _respelled_patients(samples)
    if not groups:
        return ""
    several = f"{len(groups):,} of its patients may have several ids, which differ in spelling"
    return f"{several}; {divided:,} are in two splits."


def _respelled_patients(samples: pd.DataFrame) -> tuple[list[tuple[str, ...]], int]:
    """Groups of ids that are one spelling, those in two splits first, and how many those are."""
    groups = respelled(samples["patient"])
    number = {name: k for k, group in enumerate(groups) for name in group}
    sets = samples["split"].groupby(samples["patient"].map(number)).nunique()
    divided = {int(k) for k in sets.index[sets > 1]}
    return [groups[k] for k in sorted(range(len(groups)), key=lambda k: k not in divided)], len(divided)


def name_warnings(names: Iterable[str], source: str, what: str) -> list[str]:
    """Sentences on `names` of a `what` (class, study, view) that may be wrong; `source` names file and column."""
    names = list(dict.fromkeys(names))
    groups = respelled(names)
    if not groups:
        return missing_warnings(names, source)
    sentence = f"{source}: {in_words(groups)} may be the same {what}; if so, spell it one way."
    return [sentence, *missing_warnings(names, source)]


def missing_warnings(names: Iterable[str], source: str) -> list[str]:
    """A sentence if some of `names` are how spreadsheets and pandas write a missing value."""
    found = [name for name in dict.fromkeys(names) if name.strip().lower() in MISSING]
    if not found:
        return []
    listed = " and ".join(f"'{name}'" for name in found)
    looks = "looks like a missing value" if len(found) == 1 else "look like missing values"
    return [f"{source}: {listed} {looks}; fill in the cells or delete the rows."]


def sex_warnings(names: Iterable[str], source: str) -> list[str]:
    """A sentence on sexes that are not written F or M, of which others would make groups of their own."""
    odd = [name for name in dict.fromkeys(names) if name not in ("F", "M", "") and name.lower() in SEXES]
    if not odd:
        return []
    listed = " and ".join(f"'{name}'" for name in odd)
    return [f"{source}: {listed} would be counted apart from F and M; write F or M."]


def family(patient: str) -> str:
    """`spelling` without one closing letter after a digit: ``MR040240B`` and ``MR040240`` are both ``mr40240``."""
    name = spelling(patient)
    match = re.fullmatch(r"(.*\d)[a-z]", name)
    return match.group(1) if match else name


def near_equal_ids(samples: pd.DataFrame) -> pd.DataFrame:
    """Families of at least two patient ids that differ only by spelling or by a last letter.

    One row a family: ``family``, ``patients`` (their ids, joined by a space), ``spellings`` (how many different ones),
    ``splits`` (the sets they sit in), ``images``. Likely one person each, not proven: an id's letter may mean something
    else.
    """
    known = samples.assign(family=_families(samples["patient"]))
    rows = [
        {
            "family": name,
            "patients": " ".join(members["patient"].unique()),
            "spellings": len({spelling(patient) for patient in members["patient"].unique()}),
            "splits": " ".join(members["split"].unique()),
            "images": len(members),
        }
        for name, members in known.groupby("family", sort=False)
        if members["patient"].nunique() > 1
    ]
    return pd.DataFrame(rows, columns=["family", "patients", "spellings", "splits", "images"])


def test_rows_with_relatives(samples: pd.DataFrame) -> np.ndarray:
    """Which samples `(N,)` bool are in test while another id of their family is in train."""
    families = _families(samples["patient"])
    in_train = set(families[samples["split"] == "train"])
    return ((samples["split"] == "test") & families.isin(in_train)).to_numpy()


def _families(patients: pd.Series) -> pd.Series:
    return patients.map({patient: family(patient) for patient in patients.unique()})
