"""Shenzhen's masks, which come from another place than its images."""

import numpy as np
import pytest
from layouts import lungs, picture, shenzhen_

from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError


@pytest.mark.parametrize(
    "base, masks",
    [
        ("ChinaSet_AllFiles", "mask/mask"),
        ("ChinaSet_AllFiles/ChinaSet_AllFiles", "mask"),
        ("Lung Segmentation", "masks"),
        ("data/Lung Segmentation", "masks"),
        (".", "mask"),
    ],
)
def test_masks_as_kaggles_archives_leave_them(tmp_path, base, masks):
    dataset = open_dataset("shenzhen", shenzhen_(tmp_path, base=base, masks=masks))
    assert len(dataset) == 11
    np.testing.assert_array_equal(dataset.mask(0), np.logical_or(*lungs()))


def test_every_mask_of_another_size_is_told(tmp_path):
    root = shenzhen_(tmp_path)
    for path in sorted(root.rglob("*_mask.png"))[:4]:
        picture(path, (6, 5))
    with pytest.raises(RadlibError, match=r"CHNCXR_0001_0_mask.png is 5 x 6 px and its image .* 10 x 12 px") as told:
        open_dataset("shenzhen", root)
    assert len(told.value.problems) == 4


def test_a_mask_of_label_numbers_is_not_taken_for_empty(tmp_path):
    root = shenzhen_(tmp_path)
    picture(sorted(root.rglob("*_mask.png"))[0], values=np.full((12, 10), 2, np.uint8))
    with pytest.raises(RadlibError, match="largest value is 2"):
        open_dataset("shenzhen", root).mask(0)
