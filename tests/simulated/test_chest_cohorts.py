"""The cohorts made from the chest CT: layouts the readers open, findings where they belong, the same bytes again."""

import hashlib
from dataclasses import replace

import nibabel
import numpy as np
import pytest

import standins
from radlib.data import slice_cache, volumes
from radlib.data.catalog import TASKS, open_dataset
from radlib.data.check import check
from radlib.data.nih_chest_xray import FINDINGS
from radlib.data.splits import SPLITS
from standins import amos, chest, films, findings, nih_chest_xray, opacities, radiograph

SMALL = 12  # the fewest patients a stand-in may have
CHEST = [name for name in TASKS if name not in ("brain_tumor",)]


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohorts")

    class Written(dict):
        def __missing__(self, name):  # when it is first asked for, so that no test waits for all of them
            self[name] = standins.write(name, folder / name, SMALL, seed=3, progress=False)
            return self[name]

    return Written()


@pytest.mark.parametrize("name", CHEST)
def test_the_reader_opens_what_is_written_and_the_check_finds_no_broken_file(cohorts, name, monkeypatch, tmp_path):
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path))
    dataset = open_dataset(name, cohorts[name], progress=False)
    assert dataset.origin == "stand-in" and "nobody's real" in dataset.note
    assert set(dataset.samples["split"]) == set(SPLITS)
    report = check(name, cohorts[name], deep=True, progress=False)
    bad = ("Not usable", "no whole picture", "There more than once", "In two splits")
    assert not [finding for finding in report.findings if finding.what.startswith(bad)], report.as_text()


@pytest.mark.parametrize("name", ["montgomery", "amos", "msd_heart"])
def test_the_same_seed_gives_the_same_bytes(cohorts, name, tmp_path):
    def digest(folder):
        whole = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                whole.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
        return whole.hexdigest()

    again = standins.write(name, tmp_path / "again", SMALL, seed=3, progress=False)
    assert digest(again) == digest(cohorts[name])
    if name == "msd_heart":
        other = standins.write(name, tmp_path / "other", SMALL, seed=4, progress=False)
        assert digest(other) != digest(again)


def test_the_default_nih_cohort_shows_every_finding_in_every_split():
    people = nih_chest_xray.plan(nih_chest_xray.PATIENTS, 0)
    for part in SPLITS:
        shown = {name for meant, names in people if meant == part for name in names}
        assert shown == set(FINDINGS), part
    healthy = np.mean([not names for _, names in people])
    assert 0.25 < healthy < 0.45


@pytest.fixture(scope="module")
def somebody():
    who = chest.person(np.random.default_rng(5), films.GRID, films.SPACING, contrast=False)
    return who, findings.lungs(who)


def drawn(somebody, name, seed=1):
    who, where = somebody
    hu = who.hu.copy()
    findings.place(name, where, hu, np.random.default_rng(seed))
    return hu - who.hu


@pytest.mark.parametrize("name", [name for name in FINDINGS if name != "Cardiomegaly"])
def test_a_finding_changes_the_film_where_it_is_drawn(somebody, name):
    who, _ = somebody
    change = drawn(somebody, name)
    assert np.abs(change).max() > 50
    before, after = (radiograph.project(replace(who, hu=hu), "PA").absorbed for hu in (who.hu, who.hu + change))
    shown = np.abs(after - before)
    assert shown.max() > 0.03  # three per cent of the light: visible in a lung
    assert (shown > 0.01).mean() < 0.75  # and not the whole film


def extent(change, level):
    """Largest side of the changed box, mm."""
    there = np.abs(change) > level
    return max(
        np.ptp(np.flatnonzero(there.any(axis=tuple(a for a in range(3) if a != axis)))) * step
        for axis, step in enumerate(films.SPACING)
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_mass_is_three_centimetres_or_more(somebody, seed):
    assert extent(drawn(somebody, "Mass", seed), 300) >= 30


def test_a_single_nodule_is_below_three_centimetres(somebody):
    sizes = [extent(drawn(somebody, "Nodule", seed), 300) for seed in range(12)]
    assert min(sizes) > 8 and np.mean([size < 31 for size in sizes]) > 0.5  # some persons have two, far apart


def test_an_effusion_lies_lowest_and_a_pneumothorax_highest(somebody):
    _, where = somebody
    for name, low in (("Effusion", True), ("Pneumothorax", False)):
        change = np.abs(drawn(somebody, name)) > 100
        z = np.nonzero(change)[2].mean() * films.SPACING[2]
        middle = where.box[:, 2].mean()
        assert (z < middle) == low, name


def test_an_enlarged_heart_is_clearly_more_than_half_as_wide_as_the_chest():
    def ratio(scale):
        who = chest.person(np.random.default_rng(2), films.GRID, films.SPACING, heart=scale, contrast=False)
        heart = np.flatnonzero((who.labels == chest.HEART).any(axis=(1, 2)))
        lung = np.flatnonzero(who.lung().any(axis=(1, 2)))
        return np.ptp(heart) / np.ptp(lung)

    wide, slim = ratio(1.3), ratio(0.88)
    assert wide > 0.55 and wide - slim > 0.07


def test_emphysema_makes_a_chest_taller_and_fibrosis_smaller():
    assert findings.stretch_of(["Emphysema"]) > 1 > findings.stretch_of(["Fibrosis"])


def test_lung_masks_lie_on_their_sides_and_do_not_overlap(cohorts):
    dataset = open_dataset("montgomery", cohorts["montgomery"])
    for row in range(4):
        mask = dataset.mask(row)
        left, right = (np.nonzero(mask == k)[1].mean() for k in (1, 2))
        assert left > right  # the patient's left lung is on the right of the picture
        shares = [(mask == k).mean() for k in (1, 2)]
        assert all(0.06 < share < 0.3 for share in shares), shares
        pixels = dataset.read(row)[0]
        assert pixels[mask > 0].mean() < pixels[mask == 0].mean()  # lungs are dark


def test_chexpert_writes_uncertain_and_blank_cells(cohorts):
    text = (cohorts["chexpert"] / "CheXpert-v1.0-small" / "train.csv").read_text()
    assert "-1.0" in text and ",," in text and "Lateral" in text


@pytest.fixture(scope="module")
def lying():
    from standins import sars_cov_2_ct

    who = chest.person(np.random.default_rng(7), sars_cov_2_ct.GRID, sars_cov_2_ct.SPACING)
    return who, findings.lungs(who)


def test_ground_glass_is_in_both_lungs_peripheral_and_leaves_the_rest_alone(lying):
    who, where = lying
    hu = who.hu.copy()
    share = opacities.covid(where, hu, np.random.default_rng(0), 0.8)
    assert (hu[~where.both & (where.depth == 0)] == who.hu[~where.both & (where.depth == 0)]).all()
    assert all((share[side] > 0.5).mean() > 0.01 for side in where.sides)
    opaque = share > 0.5
    assert where.depth[opaque].mean() < where.depth[where.both].mean()
    assert -750 < np.median(hu[opaque]) < 0


def test_severity_grows_with_severity(lying):
    who, where = lying
    area = [opacities.covid(where, who.hu.copy(), np.random.default_rng(1), s).mean() for s in (0.2, 0.6, 1.0)]
    assert area[0] < area[1] < area[2]


def test_amos_labels_are_the_organs_they_name(cohorts, monkeypatch, tmp_path):
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path))
    dataset = open_dataset("amos", cohorts["amos"], progress=False)
    codes = set()
    for scan in dataset.samples["patient"].unique()[:4]:
        row = dataset.samples[dataset.samples["patient"] == scan].iloc[0]
        head = volumes.header(dataset.root / row["image"])
        codes.add(head.codes)
        plane = volumes.axial(head)
        mask = slice_cache.opened(dataset.root / row["mask"], plane.axis)
        image = slice_cache.opened(dataset.root / row["image"], plane.axis)
        assert mask.shape == image.shape and set(np.unique(mask)) <= set(range(14))
        liver = np.isin(mask, 6)
        assert liver.sum() == max((mask == k).sum() for k in range(1, 14))  # the largest organ
        assert 0 < np.median(image[liver]) < 200
        middle = len(mask) // 2
        cut = np.asarray(volumes.upright(mask[middle], plane))
        assert np.nonzero(cut == 6)[1].mean() < cut.shape[1] / 2  # on the patient's right
    assert codes == {tuple(code) for code in amos.ORIENTATIONS}


def test_the_head_that_stands_for_a_heart_has_one_dark_structure(cohorts):
    folder = cohorts["msd_heart"] / "Task02_Heart"
    for path in sorted((folder / "imagesTr").glob("*.gz"))[:3]:
        image, mask = (np.asarray(nibabel.load(p).dataobj) for p in (path, folder / "labelsTr" / path.name))
        assert set(np.unique(mask)) == {0, 1} and 0.0005 < mask.mean() < 0.02
        assert np.median(image[mask == 1]) < np.median(image[image > np.percentile(image, 60)])
