"""Montgomery's masks: a side each, of the image's size, never merged."""

import pytest
from layouts import montgomery_, picture, shenzhen_

from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError


def test_a_copy_with_both_lungs_in_one_mask_is_refused_in_one_sentence(tmp_path):
    for k in range(4):
        for folder in ("CXR_png", "masks"):
            picture(tmp_path / "Lung Segmentation" / folder / f"MCUCXR_{k:04d}_0.png", (12, 10), k)
    with pytest.raises(RadlibError, match=r"Lung Segmentation has no folder ManualMask; .*with a manifest") as told:
        open_dataset("montgomery", tmp_path)
    assert not hasattr(told.value, "problems")


def test_pictures_of_another_set_are_left_out_and_said(tmp_path):
    root = montgomery_(tmp_path, base=".")
    shenzhen_(tmp_path, base=".", patients=3)
    dataset = open_dataset("montgomery", root)
    assert len(dataset) == 12 and "3 pictures in CXR_png are not Montgomery's" in dataset.note


def test_a_linked_radiograph_that_leads_nowhere_is_not_passed_over(tmp_path):
    root = montgomery_(tmp_path)
    path = sorted(root.rglob("CXR_png/*.png"))[3]
    path.unlink()
    path.symlink_to("gone.png")
    with pytest.raises(RadlibError, match=f"{path.name} is missing; take it from the release"):
        open_dataset("montgomery", root)
