import pandas as pd

from radlib.data import audit


def test_ids_that_differ_by_a_last_letter_are_one_family():
    samples = pd.DataFrame(
        {
            "patient": ["MR040240", "MR040240B", "MR040240C", "100360", "MR017260F", "B"],
            "split": ["train", "test", "train", "test", "test", "train"],
        }
    )
    families = audit.near_equal_ids(samples)
    assert families["patients"].tolist() == ["MR040240 MR040240B MR040240C"]
    assert families["splits"].tolist() == ["train test"]
    assert audit.test_rows_with_relatives(samples).tolist() == [False, True, False, False, False, False]
