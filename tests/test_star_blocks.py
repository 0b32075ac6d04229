"""Tables and arrays on disk, block by block: what is read is what was written."""

import gc
import signal
import subprocess
import sys
import tempfile

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable
from astropy.utils.masked import Masked
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.array_blocks import ArrayBlocks
from cbminer.catalogue.schema import COLUMNS, conform
from cbminer.columns import float_column, label_column, text_column, values
from cbminer.errors import OutputError
from cbminer.scratch import Scratch
from cbminer.star_blocks import ChainedBlocks, MappedBlocks, StarBlocks, stack_blocks

FLOATS = st.floats(allow_nan=True, allow_infinity=False, width=64)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8).map(str.strip)
ROWS = st.lists(st.tuples(WORDS, FLOATS, FLOATS, st.integers(-(2**62), 2**62), st.booleans()), max_size=12)


def table_of(rows):
    words, magnitudes, numbers, integers, truths = zip(*rows, strict=True) if rows else ([],) * 5
    table = QTable(meta={"galaxy": "LMC"})
    table["id"] = text_column(words)
    table["mag"] = float_column(np.array(magnitudes, dtype=float), "mag")
    table["number"] = float_column(np.array(numbers, dtype=float))
    table["plain"] = np.array(numbers, dtype=float)
    table["ra"] = u.Quantity(np.array(numbers, dtype=float), "deg")
    table["flags"] = np.array(integers, dtype=np.int64)
    table["rank"] = MaskedColumn(np.array(integers, dtype=np.int64), mask=np.array(truths, dtype=bool))
    table["selected"] = MaskedColumn(np.array(truths, dtype=bool))
    return table


def assert_same(found, expected):
    assert found.colnames == expected.colnames
    for name in expected.colnames:
        one, other = found[name], expected[name]
        assert isinstance(one, Masked) == isinstance(other, Masked), name
        assert isinstance(one, MaskedColumn) == isinstance(other, MaskedColumn), name
        assert getattr(one, "unit", None) == getattr(other, "unit", None)
        np.testing.assert_array_equal(np.ma.getmaskarray(one), np.ma.getmaskarray(other))
        if one.dtype.kind == "U":
            np.testing.assert_array_equal(label_column(found, name), label_column(expected, name))
        else:
            unit = str(getattr(other, "unit", None) or "")
            np.testing.assert_array_equal(values(found, name, unit), values(expected, name, unit))


@settings(deadline=None)
@given(rows=ROWS, size=st.integers(1, 5))
def test_tables_come_back_as_they_were(rows, size):
    table = table_of(rows)
    blocks = StarBlocks()
    for first in range(0, max(len(table), 1), size):
        blocks.append(table[first : first + size])
    assert len(blocks) == len(table)
    assert_same(blocks.read(), table)
    assert_same(stack_blocks(blocks), table)
    assert blocks.read().meta == {"galaxy": "LMC"}
    np.testing.assert_array_equal(blocks.floats("mag", "mag"), values(table, "mag", "mag"))
    np.testing.assert_array_equal(blocks.labels("id"), label_column(table, "id"))
    for block in blocks.columns(["rank", "id"]):
        assert sorted(block.colnames) == ["id", "rank"]


def test_a_table_in_the_schema_stays_in_it():
    stars = table_of([("a", 1.0, 2.0, 3, True), ("b", np.nan, 2.0, 3, False)])
    stars["bona_fide"] = np.array([True, False])
    table = conform(stars)
    blocks = StarBlocks()
    blocks.append(table)
    again = conform(next(iter(blocks)))
    assert_same(again, table)
    for spec in COLUMNS:
        assert again[spec.name].info.description == spec.description
        assert again[spec.name].info.format == table[spec.name].info.format


def test_some_stars_of_each_block():
    rows = [(str(number), number, number, number, True) for number in range(10)]
    blocks = StarBlocks()
    for first in (0, 5):
        blocks.append(table_of(rows[first : first + 5]))
    masks = [np.array([0, 0, 0, 0, 0], dtype=bool), np.array([1, 0, 0, 0, 1], dtype=bool)]
    assert label_column(blocks.read(masks), "id").tolist() == ["5", "9"]


def test_chained_and_mapped_blocks_can_be_gone_through_again():
    one, other = StarBlocks(), StarBlocks()
    one.append(table_of([("a", 1, 1, 1, True)]))
    other.append(table_of([("b", 1, 1, 1, True), ("c", 1, 1, 1, True)]))
    chained = ChainedBlocks([one, other])
    last = MappedBlocks(chained, lambda block: block[-1:])
    for _ in range(2):
        assert [len(block) for block in chained] == [1, 2]
        assert label_column(stack_blocks(last), "id").tolist() == ["a", "c"]


def test_the_folder_goes_with_the_blocks():
    blocks, arrays = StarBlocks(), ArrayBlocks()
    blocks.append(table_of([]))
    arrays.append(np.zeros((2, 3)))
    folders = [blocks.folder, arrays._folder]
    assert all(folder.is_dir() for folder in folders)
    del blocks, arrays
    gc.collect()
    assert not any(folder.exists() or folder.with_suffix(".lock").exists() for folder in folders)


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import os, signal, sys, tempfile\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "from cbminer.scratch import Scratch\n"
        "scratch = Scratch()\n"
        "(scratch.folder / 'stars').write_text('')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    mine = Scratch()
    other = tmp_path / "cbminer-scratch-of-somebody"
    other.mkdir()
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.lock"))) == 2
    last = Scratch()
    # What is in use stays, and so does what has no lock.
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {mine.folder, last.folder, other}
    assert {path.with_suffix("") for path in tmp_path.glob("*.lock")} == {mine.folder, last.folder}


def test_no_place_for_scratch_is_said_with_its_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="TMPDIR"):
        Scratch()


def test_what_was_removed_meanwhile_is_said_with_its_remedy():
    blocks, arrays = StarBlocks(), ArrayBlocks()
    blocks.append(table_of([]))
    arrays.append(np.zeros(1))
    (blocks.folder / "000000.arrow").unlink()
    (arrays._folder / "0.npy").unlink()
    with pytest.raises(OutputError, match="not cleaned"):
        next(iter(blocks))
    with pytest.raises(OutputError, match="not cleaned"):
        arrays[0]
    other = StarBlocks()
    other.append(table_of([]))
    with pytest.raises(KeyError, match="colour"):
        next(other.columns(["colour"]))


def test_no_room_is_said_with_its_remedy(tmp_path):
    blocks = StarBlocks(tmp_path / "not there")
    with pytest.raises(OutputError, match="TMPDIR"):
        blocks.append(table_of([]))
    arrays = ArrayBlocks()
    arrays._folder.rmdir()
    with pytest.raises(OutputError, match="TMPDIR"):
        arrays.append(np.zeros(1))
    assert len(arrays) == 0


def test_arrays_are_written_over():
    arrays = ArrayBlocks()
    for number in range(3):
        arrays.append(np.full((number, 2), number, dtype=float))
    arrays[1] = np.full((1, 2), 7.0)
    assert len(arrays) == 3
    assert [block.tolist() for block in arrays] == [[], [[7.0, 7.0]], [[2.0, 2.0], [2.0, 2.0]]]
    with pytest.raises(IndexError, match="no block 3 of 3"):
        arrays[3]
