from radlib.errors import MOST_LISTED, unknown_name


def test_a_near_name_is_found_among_thousands_and_few_are_listed():
    names = [f"patient{k:04}" for k in range(3000)]
    told = str(unknown_name("patient", "patiemt2999", names))
    assert "did you mean 'patient2999'?" in told
    assert told.endswith(f", patient0039 and {3000 - MOST_LISTED:d} more.")


def test_few_names_are_listed_whole():
    told = str(unknown_name("device", "gpu", ["cuda", "cpu"]))
    assert told == "There is no device called 'gpu'; did you mean 'cpu'? The choices are cpu, cuda."
