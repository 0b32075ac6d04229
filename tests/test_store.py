"""The store of light curves: what goes in comes out, or an error says what is damaged."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.errors import ArchiveError
from cbminer.survey import store as store_module
from cbminer.survey import store_index, store_writer
from cbminer.survey.photometry_file import parse_light_curve
from cbminer.survey.store import LightCurveStore
from cbminer.survey.store_writer import SourceFile, StoreWriter, rebuild_index

REPAIR = "cbminer cache repair"
# Counts memory; it has to outlive whatever was taken from it.
COUNTING_POOL = pa.proxy_memory_pool(pa.default_memory_pool())


@pytest.fixture(scope="module", autouse=True)
def small_parts():
    """Parts of twelve light curves in row groups of five."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_writer, "_ROWS_PER_PART", 12)
        patch.setattr(store_writer, "_ROWS_PER_GROUP", 5)
        yield


def star(number):
    return f"OGLE-LMC-ECL-{number:05d}"


def text(number, n_points=8, seed=0):
    rng = np.random.default_rng([seed, number])
    times = np.sort(rng.uniform(5000, 9000, n_points))
    return "".join(f"{t:.5f} {rng.normal(17, 0.3):.3f} {rng.uniform(0.003, 0.2):.3f}\n" for t in times).encode()


def sources(numbers, *, band="I", seed=0):
    return [SourceFile(star(number), band, text(number, 3 + number % 7, seed)) for number in numbers]


def write(folder, added, dropped=()):
    with StoreWriter(folder) as writer:
        for source in added:
            writer.add(source)
        writer.drop(dropped)
    return LightCurveStore(folder)


def curve_of(stored, index):
    points = stored.curves.points_of(index)
    return stored.curves.time[points], stored.curves.mag[points], stored.curves.mag_err[points]


def assert_is(stored, index, source):
    expected = parse_light_curve(Path("star.dat"), source.data)
    for found, wanted in zip(curve_of(stored, index), (expected.time, expected.mag, expected.mag_err), strict=True):
        assert found.dtype == wanted.dtype
        assert found.tobytes() == wanted.tobytes()


def assert_holds(store, added):
    """All of the light curves, and nothing else."""
    assert len(store) == len(added)
    for band in ("I", "V"):
        mine = {source.star: source for source in added if source.band == band}
        assert store.stars(band) == sorted(mine)
        stored = store.read(list(mine), band=band)
        assert stored.found.all()
        for index, source in enumerate(mine.values()):
            assert_is(stored, index, source)
            assert store.source(source.star, band).sha256 == hashlib.sha256(source.data).hexdigest()


@pytest.fixture(scope="module")
def added():
    return sources(range(40)) + sources(range(0, 40, 3), band="V", seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, added):
    """A store of five parts that tests only read."""
    place = tmp_path_factory.mktemp("store")
    write(place, added)
    return place


@pytest.fixture
def copy(folder, tmp_path):
    """The same store for tests that damage or change it."""
    place = tmp_path / "store"
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    return place


def flip(path, position, mask=0xFF):
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)


# What goes in comes out


def test_light_curves_come_back_bit_by_bit(folder, added):
    store = LightCurveStore(folder)
    assert_holds(store, added)
    assert len(list(folder.glob("part-*"))) == 5
    assert store.size == sum(path.stat().st_size for path in folder.glob("part-*"))
    assert store.damaged_parts() == []


@given(st.lists(st.integers(-5, 45), max_size=60), st.sampled_from(["I", "V"]))
@settings(max_examples=60, deadline=None)
def test_any_request_is_answered_in_its_order(folder, added, numbers, band):
    mine = {source.star: source for source in added if source.band == band}
    stars = [star(number) if number >= 0 else f"unknown {number}" for number in numbers]
    stored = LightCurveStore(folder).read(stars, band=band)
    assert stored.curves.stars == tuple(stars)
    assert len(stored.curves.offsets) == len(stars) + 1
    assert len(stored.curves.time) == stored.curves.offsets[-1]
    assert stored.found.tolist() == [name in mine for name in stars]
    for index, name in enumerate(stars):
        if name in mine:
            assert_is(stored, index, mine[name])
        else:
            assert len(curve_of(stored, index)[0]) == 0


def test_reads_in_sequence_do_not_disturb_each_other(folder, added):
    store = LightCurveStore(folder)
    mine = [source for source in added if source.band == "I"]
    for first in range(0, len(mine), 3):
        stored = store.read([source.star for source in mine[first : first + 3]])
        for index, source in enumerate(mine[first : first + 3]):
            assert_is(stored, index, source)
    # The points are the caller's own.
    again = store.read([mine[-1].star])
    again.curves.mag[:] = 0
    assert_is(store.read([mine[-1].star]), 0, mine[-1])


def test_row_group_is_read_once_in_a_request(folder, added, monkeypatch):
    calls = []
    original = store_module.PartReader.group

    def counted(reader, number, columns=None):
        calls.append((reader.part.name, number))
        return original(reader, number, columns)

    monkeypatch.setattr(store_module.PartReader, "group", counted)
    mine = [source.star for source in added if source.band == "I"]
    LightCurveStore(folder).read([mine[place] for place in np.random.default_rng(1).permutation(len(mine))] * 2)
    assert len(calls) == len(set(calls))


def test_light_curves_of_a_part_are_in_order(tmp_path):
    """So that stars which are asked for in order are beside each other, in whatever order they came."""
    write(tmp_path, sources([5, 3, 9]) + sources([4, 2], band="V"))
    (part,) = tmp_path.glob("part-*")
    rows = [(row["band"], row["star"]) for row in pq.read_table(part).to_pylist()]
    assert rows == sorted(rows)
    assert len(rows) == 5


def test_threads_share_a_store(folder, added):
    store = LightCurveStore(folder)
    mine = {source.star: source for source in added if source.band == "I"}

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(20):
            stars = rng.choice(list(mine), 15).tolist()
            stored = store.read(stars)
            for index, name in enumerate(stars):
                assert_is(stored, index, mine[name])
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_folder_that_is_not_there_is_an_empty_store(tmp_path):
    store = LightCurveStore(tmp_path / "nowhere")
    assert (len(store), store.size, store.stars("I"), store.damaged_parts()) == (0, 0, [], [])
    assert store.source(star(1)) is None
    stored = store.read([star(1), star(2)])
    assert stored.found.tolist() == [False, False]
    assert stored.curves.offsets.tolist() == [0, 0, 0]
    assert not (tmp_path / "nowhere").exists()


def test_request_of_nothing_gives_nothing(folder):
    curves = LightCurveStore(folder).read([]).curves
    assert (len(curves), curves.offsets.tolist()) == (0, [0])
    assert (curves.time.dtype, curves.mag.dtype, curves.mag_err.dtype) == (np.float64, np.float32, np.float32)


def test_what_was_wrong_with_a_file_is_kept(tmp_path):
    bad_line = b"5000.5 16.1\n"
    added = [
        SourceFile(star(1), "I", text(1) + bad_line + text(2)),
        SourceFile(star(2), "I", b"<html>Not found</html>"),
        SourceFile(star(3), "I", b"5000.50000 99.999 9.999\n" * 3),
        SourceFile(star(4), "I", b"", changed=-1, unreadable="phot/I/x.dat cannot be read: Input/output error"),
        SourceFile(star(5), "I", text(5)),
    ]
    store = write(tmp_path, added)
    stored = store.read([star(number) for number in (5, 4, 3, 2, 1)])
    assert stored.found.all()
    assert np.diff(stored.curves.offsets).tolist() == [8, 0, 0, 0, 16]
    assert set(stored.unreadable) == {1, 3}
    assert "Input/output error" in stored.unreadable[1]
    assert "is a web page" in stored.unreadable[3]
    assert set(stored.set_aside) == {4}
    (item,) = stored.set_aside[4]
    assert (item.file, item.line, item.star) == (f"phot/I/{star(1)}.dat", 9, star(1))
    assert "found 2 words" in item.reason
    assert store.source(star(4)).changed == -1


def test_source_tells_size_hash_and_time(tmp_path):
    data = text(1)
    store = write(tmp_path, [SourceFile(star(1), "V", data, changed=1_700_000_000_123_456_789)])
    source = store.source(star(1), "V")
    assert (source.n_points, source.size, source.changed) == (8, len(data), 1_700_000_000_123_456_789)
    assert source.sha256 == hashlib.sha256(data).hexdigest()
    assert store.source(star(1), "I") is None


def test_store_lists_its_light_curves_and_which_came_from_files(tmp_path):
    store = write(tmp_path, [SourceFile(star(2), "V", text(2)), SourceFile(star(1), "I", text(1), changed=5)])
    assert set(store.curves()) == {(star(1), "I"), (star(2), "V")}
    assert store.is_of_file(star(1), "I")
    assert not store.is_of_file(star(2), "V")
    assert not store.is_of_file(star(3), "I")


def test_parts_are_plain_parquet(folder, added):
    """They can be read without this package: a row a star and band, with lists."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("part-*"))]
    rows = [row for table in tables for row in table.to_pylist()]
    assert {(row["star"], row["band"]) for row in rows} == {(source.star, source.band) for source in added}
    assert all(len(row["time"]) == len(row["mag"]) == len(row["mag_err"]) for row in rows)
    schema = tables[0].schema
    assert [str(schema.field(name).type.value_type) for name in ("time", "mag", "mag_err")] == [
        "double",
        "float",
        "float",
    ]
    column = pq.read_metadata(next(folder.glob("part-*"))).row_group(0).column(2)
    assert (column.path_in_schema, column.compression) == ("time.list.element", "ZSTD")


# Changes


def test_change_replaces_adds_and_drops(copy, added):
    changed = sources([3, 20, 99], seed=7)
    store = write(copy, changed, [(star(5), "I"), (star(6), "V"), (star(1234), "I")])
    gone = {(star(5), "I"), (star(6), "V")} | {(source.star, "I") for source in changed}
    kept = [source for source in added if (source.star, source.band) not in gone]
    assert_holds(store, kept + changed)
    assert store.damaged_parts() == []


def test_light_curve_that_is_dropped_and_added_is_there(copy):
    (changed,) = sources([3], seed=7)
    store = write(copy, [changed], [(star(3), "I")])
    assert_is(store.read([star(3)]), 0, changed)


def test_part_without_a_light_curve_in_use_is_removed(copy, added):
    store = write(copy, [], [(source.star, source.band) for source in added if source.band == "I"])
    assert_holds(store, [source for source in added if source.band == "V"])
    store = write(copy, [], [(name, "V") for name in store.stars("V")])
    assert (len(store), store.digest()) == (0, LightCurveStore(copy / "nowhere").digest())
    assert [path.name for path in copy.iterdir()] == [store_module.INDEX_FILE]


def test_writer_that_was_given_nothing_changes_nothing(copy, tmp_path):
    before = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    write(copy, [])
    assert {path.name: path.stat().st_mtime_ns for path in copy.iterdir()} == before
    write(tmp_path / "new", [])
    assert list((tmp_path / "new").iterdir()) == []


def test_two_light_curves_of_one_star_are_refused(copy):
    digest = LightCurveStore(copy).digest()
    with pytest.raises(ArchiveError, match="two light curves of OGLE-LMC-ECL-00003 in I"):
        write(copy, sources([3, 4, 3], seed=7))
    assert LightCurveStore(copy).digest() == digest
    assert len(list(copy.iterdir())) == 6


def test_error_in_the_block_leaves_the_old_store(copy, added):
    def fail():
        yield from sources(range(30), seed=7)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(copy, fail(), [(star(1), "V")])
    assert_holds(LightCurveStore(copy), added)
    assert len(list(copy.iterdir())) == 6


def test_the_same_light_curves_again_change_no_byte(copy, added):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    write(copy, added)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_digest_tells_the_content_and_not_the_way(copy, added, tmp_path):
    digest = LightCurveStore(copy).digest()
    shuffled = [added[place] for place in np.random.default_rng(1).permutation(len(added))]
    in_steps = tmp_path / "steps"
    for first in range(0, len(shuffled), 7):
        write(in_steps, shuffled[first : first + 7])
    assert LightCurveStore(in_steps).digest() == digest
    assert_holds(LightCurveStore(in_steps), added)
    assert write(tmp_path / "wrong", [*added[1:], replace(added[0], data=text(77))]).digest() != digest
    assert write(tmp_path / "fewer", added[1:]).digest() != digest
    assert write(tmp_path / "band", [replace(added[1], band="V"), added[0], *added[2:]]).digest() != digest


def test_leftovers_are_swept_by_the_next_writer(copy, added):
    for name in (".part.123.tmp", f".{store_module.INDEX_FILE}.123-4.tmp", f"part-{'0' * 24}.parquet"):
        (copy / name).write_bytes(b"left behind")
    (copy / "notes.txt").write_text("of the user")
    assert_holds(write(copy, []), added)
    assert {path.name for path in copy.iterdir()} - {path.name for path in copy.glob("part-*")} == {
        store_module.INDEX_FILE,
        "notes.txt",
    }
    assert len(list(copy.glob("part-*"))) == 5


def test_part_that_cannot_be_removed_is_no_error(copy, added, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(errno.EACCES, "in use", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    changed = sources(range(40), seed=7)
    store = write(copy, changed)
    assert_holds(store, changed + [source for source in added if source.band == "V"])


def test_part_is_closed_when_it_holds_many_points(tmp_path, monkeypatch):
    """So the memory of a writer is bounded, however long the light curves are."""
    monkeypatch.setattr(store_writer, "_POINTS_PER_PART", 50)
    long = [SourceFile(star(number), "I", text(number, 40)) for number in range(6)]
    with StoreWriter(tmp_path) as writer:
        for source in long:
            writer.add(source)
            assert sum(len(row.curve) for row in writer._rows) < 50
    assert len(list(tmp_path.glob("part-*"))) == 3
    assert_holds(LightCurveStore(tmp_path), long)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", [1, 3, 6])
def test_full_disk_leaves_the_old_store_and_says_so(copy, added, monkeypatch, number, step):
    calls = []

    def sync(_handle):
        calls.append(1)
        if len(calls) >= step:
            raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        with pytest.raises(ArchiveError, match=r"the disk of .* is full: free some space"):
            write(copy, sources(range(40), seed=7))
    assert_holds(LightCurveStore(copy), added)
    changed = sources(range(40), seed=7)
    assert_holds(write(copy, changed), changed + [source for source in added if source.band == "V"])
    assert len(list(copy.iterdir())) == 1 + len(LightCurveStore(copy)._index.parts)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def kill(monkeypatch):
    """End the process at one of its changes to the disk: nothing that would follow is done any more."""

    def at(step):
        steps = []

        def counted(function):
            def call(*args, **kwargs):
                steps.append(function.__name__)
                if len(steps) >= step:
                    raise Killed
                return function(*args, **kwargs)

            return call

        def opened(path, mode="r", *args, **kwargs):
            return (change if "w" in mode else original)(path, mode, *args, **kwargs)

        original, change = Path.open, counted(Path.open)
        monkeypatch.setattr(Path, "open", opened)
        for name in ("replace", "unlink", "mkdir"):
            monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
        monkeypatch.setattr(os, "fsync", counted(os.fsync))
        monkeypatch.setattr(store_writer.pq, "write_table", counted(pq.write_table))
        return steps

    yield at
    monkeypatch.undo()


@pytest.mark.parametrize("is_new", [False, True], ids=["old store", "no store"])
def test_killed_anywhere_the_old_or_the_new_store_is_there(tmp_path, added, kill, monkeypatch, is_new):
    old = [] if is_new else added[:30]
    new_sources = sources(range(5), seed=7) + sources(range(50, 70))
    dropped = [(star(10), "I"), (star(11), "I")]
    gone = {*dropped, *((source.star, source.band) for source in new_sources)}
    new = [source for source in old if (source.star, source.band) not in gone] + new_sources
    outcomes, step = [], 0
    while not outcomes or outcomes[-1] != "whole":
        place, step = tmp_path / f"{step}", step + 1
        write(place, old)
        steps = kill(step)
        try:
            write(place, new_sources, dropped)
            outcome = "whole"
        except Killed:
            outcome = "killed"
        finally:
            monkeypatch.undo()
        store = LightCurveStore(place)
        is_old = store.digest() == LightCurveStore(place / "nowhere").digest() if is_new else len(store) == len(old)
        assert_holds(store, old if is_old else new)
        assert store.damaged_parts() == []
        outcomes.append("whole" if outcome == "whole" else "old" if is_old else "new")
        # The next call goes on from there, and nothing is left behind.
        assert_holds(write(place, new_sources, dropped), new)
        named = {part.name for part in LightCurveStore(place)._index.parts}
        assert {path.name for path in place.iterdir()} == {store_module.INDEX_FILE, *named}
    assert len(steps) > 10
    assert "old" in outcomes
    assert "new" in outcomes
    assert outcomes == sorted(outcomes, key=["old", "new", "whole"].index)


# Damage


def test_index_with_any_byte_changed_is_refused(tmp_path):
    write(tmp_path, sources(range(3)))
    path = tmp_path / store_module.INDEX_FILE
    data = path.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0xFF if position % 3 else 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(ArchiveError, match=rf"index is missing or damaged .*: mend it with: {REPAIR}"):
            LightCurveStore(tmp_path)
    for end in (*range(0, len(data), 97), len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(ArchiveError, match=REPAIR):
            LightCurveStore(tmp_path)
    path.write_bytes(data + b"\0")
    with pytest.raises(ArchiveError, match=REPAIR):
        LightCurveStore(tmp_path)


def sealed(content):
    return store_index._MARK + hashlib.sha256(content).digest() + content


def parquet(metadata):
    sink = pa.BufferOutputStream()
    pq.write_table(store_index.INDEX_SCHEMA.empty_table().replace_schema_metadata(metadata), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        parquet({b"cbminer": b"{"}),
        parquet({b"cbminer": b"[]"}),
        parquet({b"cbminer": b'{"format": 1, "parts": [{"name": "a"}]}'}),
        parquet({b"cbminer": b'{"format": "1"}'}),
        parquet({b"other": b""}),
        parquet(None),
    ],
)
def test_index_that_is_none_is_refused(tmp_path, content):
    (tmp_path / store_module.INDEX_FILE).write_bytes(sealed(content))
    with pytest.raises(ArchiveError, match=REPAIR):
        LightCurveStore(tmp_path)


def test_index_of_a_newer_version_is_refused(tmp_path, added):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_index, "FORMAT", store_index.FORMAT + 1)
        write(tmp_path, added)
    with pytest.raises(ArchiveError, match="written by a newer version of cbminer: update this one"):
        LightCurveStore(tmp_path)
    with pytest.raises(ArchiveError, match="newer version"):
        write(tmp_path, [])
    assert len(list(tmp_path.iterdir())) == 6


def test_part_with_any_byte_changed_is_refused_or_does_not_matter(copy, added):
    """Wrong numbers are never read, and no row group suffers for another."""
    store = LightCurveStore(copy)
    part = store._index.parts[0]
    path = copy / part.name
    data = path.read_bytes()
    rows = [source for source in added if store.source(source.star, source.band).part == 0]
    others = [source for source in added if store.source(source.star, source.band).part != 0]
    positions = {0, part.size - 1, *part.bounds[:-1], *(end - 1 for end in part.bounds[1:])}
    positions.update(np.random.default_rng(3).integers(0, part.size, 250).tolist())
    for position in sorted(positions):
        flip(path, position, 0xFF if position % 3 else 1 << position % 8)
        damaged = LightCurveStore(copy)
        with pytest.raises(ArchiveError, match=rf"{part.name} is missing or damaged .*: mend it with: {REPAIR}"):
            damaged.read([source.star for source in rows])
        bad = next(piece for piece in range(len(part.checks)) if position < part.bounds[piece + 1])
        for source in rows:
            group = damaged.source(source.star).row // 5
            if bad not in {group, part.n_groups}:
                assert_is(damaged.read([source.star]), 0, source)
        assert damaged.damaged_parts() == [part.name]
        path.write_bytes(data)
        assert_is(damaged.read([others[0].star]), 0, others[0])
    assert_holds(LightCurveStore(copy), added)


@pytest.mark.parametrize("how", ["missing", "cut", "longer", "empty", "folder", "other"])
def test_part_that_is_not_what_was_written_is_named(copy, how):
    store = LightCurveStore(copy)
    first, second, *_ = store._index.parts
    path = copy / first.name
    data = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes(
            {"cut": data[:-1], "longer": data + b"\0", "empty": b"", "other": (copy / second.name).read_bytes()}[how]
        )
    sizes = {"cut": len(data) - 1, "longer": len(data) + 1, "empty": 0}
    reason = f"it has {sizes[how]} bytes, should have {len(data)}" if how in sizes else ".*"
    for damaged in (store, LightCurveStore(copy)):
        with pytest.raises(ArchiveError, match=rf"{first.name} is missing or damaged \({reason}\): mend it .*{REPAIR}"):
            damaged.read(damaged.stars())
        assert damaged.damaged_parts() == [first.name]
    assert set(store.curves_of([first.name])) == {
        (name, band) for band in ("I", "V") for name in store.stars(band) if store.source(name, band).part == 0
    }


def test_reading_fails_in_the_middle_of_a_part(copy, monkeypatch):
    """A check sum that fits by chance, or a disk that fails between two reads, is an error all the same."""
    path = copy / LightCurveStore(copy)._index.parts[0].name
    path.write_bytes(bytes(path.stat().st_size))
    monkeypatch.setattr(store_module.PartReader, "_check", lambda *_: None)
    with pytest.raises(ArchiveError, match=rf"{path.name} is missing or damaged .*{REPAIR}"):
        LightCurveStore(copy).read([star(0)])


def test_store_that_another_process_changes_is_told_from_a_damaged_one(copy, added):
    store = LightCurveStore(copy)
    write(copy, sources(range(40), seed=7))
    with pytest.raises(ArchiveError, match="was changed by another process while it was read: run the command again"):
        store.read(store.stars("I"))
    assert_holds(LightCurveStore(copy), sources(range(40), seed=7) + [item for item in added if item.band == "V"])


# Repair


def damage(folder, *positions):
    """Damage the first part in some row groups; -1 is what describes them."""
    part = LightCurveStore(folder)._index.parts[0]
    for group in positions:
        flip(folder / part.name, part.bounds[group] if group >= 0 else part.size - 20)
    return part.name


def keep_sound(folder, name):
    with StoreWriter(folder) as writer:
        return writer.keep_sound(name)


@pytest.mark.parametrize("groups", [(0,), (1,), (2,), (0, 2), (0, 1, 2), (-1,), (0, -1)])
def test_sound_row_groups_of_a_damaged_part_are_saved(copy, added, groups):
    store = LightCurveStore(copy)
    digest = store.digest()
    by_row = {store.source(*curve).row: curve for curve in store.curves_of([store._index.parts[0].name])}
    lost = {curve for row, curve in by_row.items() if -1 in groups or row // 5 in groups}
    name = damage(copy, *groups)
    assert set(keep_sound(copy, name)) == lost
    saved = LightCurveStore(copy)
    assert saved.digest() == digest
    assert set(saved.curves_of(saved.damaged_parts())) == lost
    rest = [source for source in added if (source.star, source.band) not in lost]
    for source in rest:
        assert_is(saved.read([source.star], band=source.band), 0, source)
    # Only those that are lost have to come again.
    healed = write(copy, [source for source in added if (source.star, source.band) in lost])
    assert healed.damaged_parts() == []
    assert_holds(healed, added)
    assert healed.digest() == digest
    named = {part.name for part in healed._index.parts}
    assert {path.name for path in copy.iterdir()} == {store_module.INDEX_FILE, *named}


def test_nothing_is_saved_of_a_part_that_is_gone(copy, added):
    store = LightCurveStore(copy)
    name = store._index.parts[0].name
    (copy / name).unlink()
    assert set(keep_sound(copy, name)) == set(store.curves_of([name]))
    assert LightCurveStore(copy).damaged_parts() == [name]


def test_light_curves_that_were_replaced_are_not_brought_back(copy, added):
    changed = sources([1, 2], seed=7)
    write(copy, changed)
    store = LightCurveStore(copy)
    name = store._index.parts[store.source(star(0)).part].name
    (newer,) = sources([3], seed=8)
    with StoreWriter(copy) as writer:
        writer.add(newer)
        lost = writer.keep_sound(name)
    assert lost == []
    replaced = {star(1), star(2), star(3)}
    kept = [source for source in added if source.star not in replaced or source.band == "V"]
    assert_holds(LightCurveStore(copy), [*kept, *changed, newer])


@pytest.mark.parametrize("how", ["missing", "damaged", "cut"])
def test_index_is_made_anew_from_the_parts(copy, added, how):
    store = LightCurveStore(copy)
    path = copy / store_module.INDEX_FILE
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(b"?" + path.read_bytes()[1:] if how == "damaged" else path.read_bytes()[:100])
    assert rebuild_index(copy) == (len(added), 0)
    again = LightCurveStore(copy)
    assert again.digest() == store.digest()
    assert again.damaged_parts() == []
    assert_holds(again, added)


def test_index_is_made_anew_without_damaged_parts(copy, added):
    store = LightCurveStore(copy)
    name = damage(copy, 1)
    (copy / f"part-{'0' * 24}.parquet").write_bytes(b"PAR1 not a part PAR1")
    lost = set(store.curves_of([name]))
    assert rebuild_index(copy) == (len(added) - len(lost), 2)
    assert_holds(LightCurveStore(copy), [item for item in added if (item.star, item.band) not in lost])


def test_younger_light_curve_counts_when_the_index_is_made_anew(tmp_path):
    old, new = sources(range(10)), sources(range(3, 6), seed=7)
    write(tmp_path, old)
    store = write(tmp_path, new)
    for age, part in enumerate(reversed(store._index.parts)):
        os.utime(tmp_path / part.name, ns=(0, 10**18 - age))
    (tmp_path / store_module.INDEX_FILE).unlink()
    assert rebuild_index(tmp_path) == (10, 0)
    assert_holds(LightCurveStore(tmp_path), [*old[:3], *new, *old[6:]])


def test_index_of_nothing_is_made_anew(tmp_path):
    assert rebuild_index(tmp_path) == (0, 0)
    assert len(LightCurveStore(tmp_path)) == 0


# Memory


def test_memory_of_a_read_is_that_of_its_result(tmp_path, monkeypatch):
    monkeypatch.setattr(store_writer, "_ROWS_PER_PART", 200)
    monkeypatch.setattr(store_writer, "_ROWS_PER_GROUP", 20)
    write(tmp_path, [SourceFile(star(number), "I", text(number, 300)) for number in range(800)])
    store, before = LightCurveStore(tmp_path), pa.default_memory_pool()
    pa.set_memory_pool(COUNTING_POOL)
    try:
        curves = store.read([star(number) for number in range(0, 800, 20)]).curves
    finally:
        pa.set_memory_pool(before)
    result = curves.time.nbytes + curves.mag.nbytes + curves.mag_err.nbytes
    row_group = 20 * 300 * 16
    assert 40 * row_group == 20 * result
    assert result < COUNTING_POOL.max_memory() < result + 5 * row_group
