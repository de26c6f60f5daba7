"""The two open scans lie as a radiologist holds them, feet first."""

import numpy as np
import pytest

from radlib.data import open_scans
from radlib.errors import RadlibError


def test_the_chest_ct_is_upright_and_runs_from_feet_to_head():
    scan = open_scans.open_scan("chest_ct")
    assert len(scan) == 133 and scan.samples["patient"].nunique() == 1
    pixels = scan.read(open_scans.levels("chest_ct")[2])[0]
    assert pixels.shape == (512, 512) and pixels.min() >= -1024 and pixels.max() <= 600
    spine = pixels[300:420, 230:290]  # bone at the bottom of the picture, in the middle
    assert (spine > 250).sum() > 300
    air = [(scan.read(row)[0][100:400, 100:400] < -700).mean() for row in open_scans.levels("chest_ct")]
    assert air[0] < 0.1 < air[2], "kidneys below, lungs above"
    heart = scan.read(open_scans.levels("chest_ct")[2])[0] > 100
    assert heart[150:300, 256:400].sum() > heart[150:300, 112:256].sum(), "the heart lies on the picture's right"


def test_the_brain_has_its_front_at_the_top():
    scan = open_scans.open_scan("mni_t1")
    assert len(scan) == 189
    rows = open_scans.levels("mni_t1")
    assert rows == sorted(rows) and len(set(rows)) == 4
    top, bottom = scan.read(0)[0], scan.read(len(scan) - 1)[0]
    assert (top > 0).mean() < 0.2 and (bottom > 0).mean() < 0.2
    low = scan.read(30)[0]  # the cerebellum lies at the back
    assert (low[120:] > 30).sum() > 3 * (low[:100] > 30).sum()


def test_every_slice_has_a_fingerprint_of_its_own_rows():
    scan = open_scans.open_scan("mni_t1")
    assert np.array_equal(np.sort(scan.samples["slice"]), np.arange(189))
    assert scan.read_mask is None and scan.labels.shape == (189, 0)


def test_an_unknown_scan_is_one_sentence():
    with pytest.raises(RadlibError, match="no open scan called 'chest'; did you mean 'chest_ct'"):
        open_scans.open_scan("chest")
