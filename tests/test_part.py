"""Files on their way, and files that are there whole or not at all."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from cbminer.errors import ArchiveError
from cbminer.survey.part import Part, refuse_full_disk, sha256_of, write_whole
from cbminer.survey.transport import Remote

REMOTE = Remote(10, '"tag"', "Mon", ranges=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "incoming" / "a.dat.part"


def note(path):
    return json.loads(path.with_name(path.name + ".json").read_text())


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def begun(path, data=b"01234"):
    part = Part(path)
    part.begin(REMOTE, offset=0)
    part.write(data)
    return part


def test_part_from_begin_to_end(path, tmp_path):
    part = begun(path)
    part.close()
    later = Part(path)
    assert (later.size, later.remote) == (5, REMOTE)
    later.verify()
    later.begin(REMOTE, offset=5)
    later.write(b"56789")
    later.settle()
    later.close()
    assert later.sha256 == hashlib.sha256(b"0123456789").hexdigest()
    later.move_to(tmp_path / "files" / "a.dat")
    assert (tmp_path / "files" / "a.dat").read_bytes() == b"0123456789"
    assert files(tmp_path) == ["a.dat"]


def test_part_that_starts_over(path):
    begun(path).close()
    part = Part(path)
    part.begin(Remote(3), offset=0)
    # Nothing speaks of the bytes that are no more.
    assert files(path.parent) == ["a.dat.part"]
    part.write(b"abc")
    part.close()
    assert (path.read_bytes(), part.sha256) == (b"abc", hashlib.sha256(b"abc").hexdigest())
    assert note(path)["remote"]["size"] == 3


def test_part_that_goes_a_byte_back(path):
    begun(path).close()
    part = Part(path)
    part.begin(REMOTE, offset=4)
    part.write(b"X")
    part.close()
    assert path.read_bytes() == b"0123X"
    assert note(path)["sha256"] == part.sha256 == hashlib.sha256(b"0123X").hexdigest()


def test_bytes_beyond_the_note_are_not_believed(path):
    part = begun(path)
    part.settle()
    part.write(b"5")
    part._stream.flush()
    # As after the end of the process.
    assert Part(path).size == 5
    part.close()
    assert Part(path).size == 6


def test_bytes_that_are_not_what_was_noted(path):
    begun(path).close()
    path.write_bytes(b"0X234")
    part = Part(path)
    part.verify()
    assert (part.size, part.remote) == (0, None)


def test_bytes_that_vanish_before_they_are_hashed(path):
    begun(path).close()
    part = Part(path)
    path.unlink()
    part.verify()
    assert (part.size, part.remote) == (0, None)


def test_discarded_part_leaves_nothing(path, tmp_path):
    part = begun(path)
    part.settle()
    part.discard()
    part.close()
    assert (part.size, part.remote) == (0, None)
    assert files(tmp_path) == []
    Part(path).discard()


def test_write_before_begin_is_a_mistake_of_the_program(path):
    with pytest.raises(RuntimeError, match="begin comes before write"):
        Part(path).write(b"x")


def test_closing_on_a_full_disk_counts_only_what_is_there(path, monkeypatch):
    part = begun(path)
    part.settle()
    part.write(b"567")

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        part.close()
    assert part.size == note(path)["size"] == 5
    later = Part(path)
    later.verify()
    assert later.size == 5


def test_note_that_cannot_be_written_leaves_the_old_one(path, tmp_path, monkeypatch):
    part = begun(path)
    part.settle()
    part.write(b"567")

    def full(self, *_args, **_kwargs):
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(ArchiveError, match="is full"):
            part.settle()
        part.close()
    assert note(path)["size"] == 5
    assert files(tmp_path) == ["a.dat.part", "a.dat.part.json"]


def test_write_whole(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert sha256_of(path) == hashlib.sha256(b"two").hexdigest()
    assert files(tmp_path) == ["b.json"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_write_whole_that_fails_leaves_the_old_file(tmp_path, monkeypatch, error):
    path = tmp_path / "b.json"
    write_whole(path, b"one")

    def fail(_handle):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises((ArchiveError, KeyboardInterrupt)):
            write_whole(path, b"two")
    assert path.read_bytes() == b"one"
    assert files(tmp_path) == ["b.json"]


def test_write_whole_where_no_folder_can_be(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(
        ArchiveError, match=r"b.json cannot be written \((Not a directory|File exists)\): choose another"
    ):
        write_whole(tmp_path / "a" / "b.json", b"one")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, "x"),
            "the disk of /cache is full: free some space, or choose another folder with --cache",
        ),
        (OSError(errno.EDQUOT, "x"), "the disk of /cache is full: "),
        (
            OSError(errno.EACCES, "Permission denied"),
            "/cache/a cannot be written (Permission denied): choose another fol",
        ),
        (OSError("odd"), "/cache/a cannot be written (odd): choose another folder"),
    ],
)
def test_errors_of_a_disk(error, says):
    assert str(refuse_full_disk(error, Path("/cache/a"))).startswith(says)
