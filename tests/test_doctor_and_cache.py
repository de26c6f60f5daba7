"""`radlib doctor` and `radlib cache`: what is there, and what is missing."""

import os
import re

import numpy as np
import pytest

from radlib import assets, atomic, cache, checked_array, cli, doctor


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """A cache of its own with one sound, one damaged and one unfinished file of features, and linked downloads."""
    folder, downloads = tmp_path / "cache", tmp_path / "downloads"
    monkeypatch.setenv("RADLIB_CACHE", str(folder))
    place = folder / "features" / "ab"
    place.mkdir(parents=True)
    downloads.mkdir()
    (downloads / "theirs").write_text("not to be deleted")
    (folder / "assets").symlink_to(downloads)
    (folder / assets.CACHE_TAG).touch()
    for k in range(2):
        checked_array.write(place / f"{k}.safetensors", np.ones((3, 4), np.float32))
    content = bytearray((place / "1.safetensors").read_bytes())
    content[-1] ^= 1
    (place / "1.safetensors").write_bytes(content)
    dead = re.sub(r"-\d+-", "-999999999-", atomic.unfinished(place / "2.safetensors").name)
    (place / dead).write_bytes(b"half")
    return folder


def test_list_counts_files_and_bytes(filled, capsys):
    assert cli.main(["cache", "list"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"features +0\.0 MB +3 files .*, 1 unfinished", said) and "together" in said
    shelf = next(shelf for shelf in cache.shelves() if shelf.kind == "features")
    assert shelf.size == sum(path.stat().st_size for path in (filled / "features").rglob("*") if path.is_file())


def test_a_cache_for_reading_only_can_be_looked_at_and_one_not_made_yet_is_not_made(filled, capsys, monkeypatch):
    monkeypatch.setattr(assets.os, "access", lambda path, mode: mode == os.R_OK)
    assert cli.main(["cache", "list"]) == 0 and cli.main(["cache", "verify"]) == 1
    monkeypatch.setenv("RADLIB_CACHE", str(filled.parent / "none"))
    assert cli.main(["cache", "list"]) == 0 and cli.main(["cache", "verify"]) == 0
    assert "not made yet" in capsys.readouterr().out and not (filled.parent / "none").exists()


def test_verify_finds_the_damaged_file_and_sweeps_the_leftover(filled, capsys):
    assert cli.main(["cache", "verify"]) == 1
    said = capsys.readouterr().out
    assert "1.safetensors: damaged; the next run makes it again" in said and "1 sound, 1 leftovers removed" in said
    assert sorted(path.name for path in (filled / "features/ab").iterdir()) == ["0.safetensors", "1.safetensors"]
    assert cli.main(["cache", "verify", "features", "--delete"]) == 0
    assert [path.name for path in (filled / "features/ab").iterdir()] == ["0.safetensors"]
    assert cli.main(["cache", "verify"]) == 0


def test_verify_says_which_file_and_leaves_alone_what_a_link_leads_to(filled, capsys):
    (filled / "squares").symlink_to(theirs := filled.parent / "theirs", target_is_directory=True)
    theirs.mkdir()
    (theirs / "a.safetensors").write_bytes(b"no array of ours")
    (theirs / "x.part-00000000-999999999-00000000").write_bytes(b"half")
    assert cli.main(["cache", "verify", "--delete"]) == 1
    said = capsys.readouterr().out
    assert "features/ab/1.safetensors: deleted" in said and "squares/a.safetensors: damaged" in said
    assert len(list(theirs.iterdir())) == 2
    (filled / "slices").write_bytes(b"a file where a folder belongs")
    assert cli.main(["cache", "clear", "all"]) == 0
    assert not (filled / "slices").exists() and (theirs / "a.safetensors").exists()


def test_a_folder_that_vanishes_meanwhile_is_passed_over(filled, monkeypatch):
    monkeypatch.setattr(
        cache, "_files", lambda folder, found=cache._files: [*found(folder), folder / "gone" / "x.json"]
    )
    assert all(shelf.size >= 0 for shelf in cache.shelves())
    assert [verdict.damaged for verdict in cache.verify("squares")] == [()]


def test_a_device_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        atomic.replace(tmp_path / "pipe", b"x")
    assert not (tmp_path / "pipe").is_file() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("address", ["http://[::1", "http://host:99999"])
def test_doctor_says_that_an_address_is_none(monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr(doctor.socket, "create_connection", lambda *_, **__: pytest.fail("was asked"))
    assert "mend PIP_INDEX_URL or HF_ENDPOINT" in doctor._reach("model hub", address, "").words


def test_clear_deletes_one_part_or_all_and_never_what_a_link_leads_to(filled, capsys):
    (filled / "somebody else's").mkdir()
    assert cli.main(["cache", "clear", "features"]) == 0
    assert not (filled / "features").exists() and (filled / "assets").exists()
    assert cli.main(["cache", "clear", "all"]) == 0
    assert sorted(os.listdir(filled)) == [assets.CACHE_TAG, "somebody else's"]
    assert (filled.parent / "downloads" / "theirs").exists()
    assert cli.main(["cache", "clear", "feature"]) == 2
    assert "no part of the cache called 'feature'; did you mean 'features'?" in capsys.readouterr().err


def test_a_folder_that_is_not_radlibs_alone_is_never_cleared(tmp_path, monkeypatch, capsys):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mine.pt").write_bytes(b"a year of work")
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path))
    assert cli.main(["cache", "clear", "all"]) == 2
    assert "is not marked as a cache (it has no CACHEDIR.TAG), so nothing" in capsys.readouterr().err
    assert (tmp_path / "weights" / "mine.pt").exists()
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path / "new"))
    assets.cache_dir()
    assert (tmp_path / "new" / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    (tmp_path / "new" / "features").mkdir()
    assert cli.main(["cache", "clear", "all"]) == 0
    assert not (tmp_path / "new" / "features").exists()


def test_doctor_looks_at_everything_without_the_network(filled, capsys, monkeypatch):
    monkeypatch.setattr(doctor.socket, "create_connection", lambda *_, **__: pytest.fail("the network was asked"))
    monkeypatch.setenv("HOME", str(filled.parent))
    assert cli.main(["doctor", "--offline"]) == 0
    said = capsys.readouterr().out
    for about in ("environment", "versions", "device", "memory", "cache", "disk", "downloads", "browser"):
        assert re.search(rf"^(ok|note) +{about} ", said, re.M), about
    assert str(filled.parent) not in said and "~/cache: " in said


def test_doctor_asks_an_address_for_two_seconds_and_keeps_its_password(monkeypatch):
    waited = []

    def refuse(address, timeout):
        waited.append((address, timeout))
        raise OSError

    monkeypatch.setattr(doctor.socket, "create_connection", refuse)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@mirror.example:8443/simple")
    lines = doctor._network()
    assert waited[0] == (("mirror.example", 8443), 2.0) and len(lines) == 2
    assert "secret" not in doctor.in_words(lines) and "does not answer within 2 s" in lines[0].words


def test_doctor_tells_an_unusable_cache_and_a_package_that_is_not_the_locked_one(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(doctor, "pinned", lambda: {"numpy": "0.1", "no-such-package": "1"})
    assert cli.main(["doctor", "--offline"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^fault +cache +The cache folder .* cannot be written", said, re.M) and "1 to mend" in said
    assert "(lock 0.1)" in said and "not installed: no-such-package" in said


def test_the_lock_is_read_for_this_machine():
    wanted = doctor.pinned()
    assert wanted["numpy"] == np.__version__ and len(wanted) > 150 and "pywin32" not in wanted
