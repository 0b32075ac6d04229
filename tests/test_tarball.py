"""The reader of tar files: the right members, or one clear error."""

import gzip
import os
import tarfile
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.errors import ArchiveError
from cbminer.survey.tarball import CurveMember, TableMember, TarLimits, read_tarball

STAR = "OGLE-LMC-ECL-00001"
BLOCK = 512
END = bytes(2 * BLOCK)
GOOD = b"5000.50000 16.123 0.010\n" * 30


def name_of(number, band="I"):
    return f"phot/{band}/OGLE-LMC-ECL-{number:05d}.dat"


def member(name, data=b"1 2 3\n", *, kind=tarfile.REGTYPE, form=tarfile.GNU_FORMAT, **about):
    """A member as the standard library writes it."""
    info = tarfile.TarInfo(name)
    info.size, info.type = about.pop("size", len(data)), kind
    for key, value in about.items():
        setattr(info, key, value)
    return info.tobuf(form, "utf-8", "surrogateescape") + padded(data)


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def record(key, value):
    """A record of a PAX header."""
    text = key + b"=" + value + b"\n"
    length = len(text) + 2
    while length != len(text) + 1 + len(str(length)):
        length = len(text) + 1 + len(str(length))
    return str(length).encode() + b" " + text


def pax(*records, kind=tarfile.XHDTYPE):
    return member("PaxHeader", b"".join(records), kind=kind)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in: nothing but the tar file is ever written."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["phot.tar.gz"]


def write(folder, data, *, packed=False):
    path = folder / "phot.tar.gz"
    path.write_bytes(gzip.compress(data, 1, mtime=0) if packed else data)
    return path


def read(folder, data, *, packed=False, **limits):
    return list(read_tarball(write(folder, data, packed=packed), limits=TarLimits(**limits)))


def refusal(folder, data, *, packed=False, **limits):
    path = write(folder, data, packed=packed)
    with pytest.raises(ArchiveError) as caught:
        list(read_tarball(path, limits=TarLimits(**limits)))
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    return message.removeprefix(f"{path} ")


# What is read


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "name",
    [
        f"phot/I/{STAR}.dat",
        f"I/{STAR}.dat",
        f"./phot/I/{STAR}.dat",
        f".//phot/./I/{STAR}.dat",
        f"lmc/ecl/phot/I/{STAR}.dat",
        f"OGLE/OCVS/My copy, 2nd/lmc/ecl/phot/I/{STAR}.dat",
        f"{'a' * 60}/{'b' * 60}/I/{STAR}.dat",
        f"Gwiazdy zmienne \N{LATIN SMALL LETTER L WITH STROKE}/I/{STAR}.dat",
        f"broken\udce9/I/{STAR}.dat",
    ],
)
def test_light_curve_is_known_by_its_name(folder, name, form, packed):
    data = member(name, GOOD, form=form) + END
    assert read(folder, data, packed=packed) == [CurveMember(STAR, "I", GOOD)]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_name_may_be_longer_than_a_header(folder, form):
    data = member(f"{'a' * 200}/{'b' * 250}/I/{STAR}.dat", GOOD, form=form) + END
    assert read(folder, data) == [CurveMember(STAR, "I", GOOD)]


@pytest.mark.parametrize("place", ["", "./", "ecl/", "lmc/ecl/", "copy/smc/ecl/"])
@pytest.mark.parametrize("name", ["ident.dat", "ecl.dat", "ell.dat", "remarks.txt"])
def test_catalogue_file_is_known_by_its_name(folder, place, name):
    data = member(place + name, b"OGLE") + END
    assert read(folder, data) == [TableMember(place.removeprefix("./"), name, b"OGLE")]


def test_members_come_in_their_order_and_others_are_passed_over(folder):
    other = ["README", "phot/README.dat", "phot/I/notes.txt", f"phot/B/{STAR}.dat", f"phot/I/._{STAR}.dat"]
    other += [f"phot/I/{STAR}.dat~", f"I/{STAR}.dat/x", "phot/I/OGLE-LMC-ECL.dat", "myident.dat", "ident.dat.old"]
    data = b"".join(member(name, b"x" * 700) for name in other)
    data += member("phot/I", b"", kind=tarfile.DIRTYPE) + member(name_of(2, "V"), b"2")
    data += member("ident.dat", b"") + member(name_of(1), b"1" * 512) + END
    assert read(folder, data) == [
        CurveMember("OGLE-LMC-ECL-00002", "V", b"2"),
        TableMember("", "ident.dat", b""),
        CurveMember("OGLE-LMC-ECL-00001", "I", b"1" * 512),
    ]


def test_whole_folder_as_tar_packs_it(tmp_path):
    place = tmp_path / "lmc" / "ecl"
    (place / "phot" / "I").mkdir(parents=True)
    (place / "ident.dat").write_bytes(b"ident")
    (place / "phot" / "I" / f"{STAR}.dat").write_bytes(GOOD)
    with tarfile.open(tmp_path / "copy.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "lmc", "lmc")
    found = list(read_tarball(tmp_path / "copy.tar.gz"))
    assert sorted(found, key=str) == [CurveMember(STAR, "I", GOOD), TableMember("lmc/ecl/", "ident.dat", b"ident")]


def test_gzip_members_may_follow_each_other(folder):
    tar = member(name_of(1), GOOD) + END
    path = write(folder, gzip.compress(tar[:300]) + gzip.compress(b"") + gzip.compress(tar[300:]))
    assert list(read_tarball(path)) == [CurveMember(STAR, "I", GOOD)]


@pytest.mark.parametrize("end", [bytes(512), bytes(10240), bytes(1 << 20)])
def test_any_number_of_zeros_marks_the_end(folder, end):
    assert len(read(folder, member(name_of(1)) + end)) == 1


def test_comment_of_the_whole_file_does_not_matter(folder):
    data = pax(record(b"comment", b"0123456789"), kind=tarfile.XGLTYPE) + member(name_of(1)) + END
    assert len(read(folder, data)) == 1


def test_size_of_a_pax_header_counts(folder):
    data = pax(record(b"size", b"700")) + member(name_of(1), b"x" * 700, size=5) + member(name_of(2)) + END
    assert [len(found.data) for found in read(folder, data)] == [700, 6]


def test_the_same_member_again_is_passed_over(folder):
    again = member(f"./phot/I/{STAR}.dat", GOOD) + member("ident.dat", b"a") + member("./ident.dat", b"a")
    assert read(folder, member(f"I/{STAR}.dat", GOOD) + again + END) == [
        CurveMember(STAR, "I", GOOD),
        TableMember("", "ident.dat", b"a"),
    ]


def test_tables_of_two_folders_are_two_tables(folder):
    data = member("lmc/ecl/ident.dat", b"a") + member("smc/ecl/ident.dat", b"b") + END
    assert [found.folder for found in read(folder, data)] == ["lmc/ecl/", "smc/ecl/"]


def test_progress_is_told_in_bytes_of_the_file(folder):
    told = []
    path = write(folder, b"".join(member(name_of(n), os.urandom(5000)) for n in range(20)) + END, packed=True)
    list(read_tarball(path, advance=told.append))
    assert sum(told) == path.stat().st_size
    assert len(told) > 20


def test_one_member_is_in_memory_at_a_time(folder):
    path = write(folder, b"".join(member(name_of(n), os.urandom(1 << 18) * 4) for n in range(24)) + END, packed=True)
    tracemalloc.start()
    try:
        assert sum(len(found.data) for found in read_tarball(path)) == 24 << 20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20


# What is refused


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "../evil.dat",
        "phot/../../evil.dat",
        "phot/..",
        "/etc/evil.dat",
        f"/I/{STAR}.dat",
        f"../I/{STAR}.dat",
        f"C:/I/{STAR}.dat",
        f"phot\\I\\{STAR}.dat",
        "..\\..\\evil.dat",
        "\\\\server\\share\\evil.dat",
        f"I/{STAR}.dat\nI/x",
        f"x\x01/I/{STAR}.dat",
    ],
)
def test_path_that_leads_elsewhere_is_refused(folder, name, packed):
    message = refusal(folder, member(name_of(2)) + member(name) + END, packed=packed)
    assert "is refused: it holds" in message
    assert "leads out of its folder or is no path" in message
    assert "Nothing of it was used" in message


@pytest.mark.parametrize("value", [b"/etc/evil.dat", b"I/x\0.dat", f"I/{STAR}.dat\n".encode(), b"a/../../b"])
def test_path_of_a_long_name_is_refused_likewise(folder, value):
    assert "no path" in refusal(folder, pax(record(b"path", value)) + member(name_of(1)) + END)
    if b"\0" not in value:
        long = member("././@LongLink", value + b"\0", kind=tarfile.GNUTYPE_LONGNAME)
        assert "no path" in refusal(folder, long + member(name_of(1)) + END)


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.GNUTYPE_SPARSE,
        b"M",
        b"V",
        b"Z",
        b"\xff",
    ],
)
def test_what_is_no_plain_file_is_refused(folder, kind):
    for name in (name_of(1), "README"):
        message = refusal(folder, member(name_of(2)) + member(name, b"", kind=kind, linkname="/etc/passwd") + END)
        assert "neither a plain file nor a folder" in message


@pytest.mark.parametrize(
    "records",
    [
        [record(b"GNU.sparse.map", b"0,1")],
        [record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0")],
        [record(b"path", name_of(1).encode()), record(b"GNU.sparse.size", b"9" * 5000)],
    ],
)
def test_file_with_gaps_is_refused(folder, records):
    assert "a file with gaps" in refusal(folder, pax(*records) + member(name_of(1)) + END)


@pytest.mark.parametrize("key", [b"path", b"size", b"GNU.sparse.map"])
def test_header_for_all_members_does_not_name_them(folder, key):
    data = pax(record(key, b"5"), kind=tarfile.XGLTYPE) + member(name_of(1)) + END
    assert f"sets the {key.decode()} of all members" in refusal(folder, data)


def test_member_above_its_limit_is_refused_unread(folder):
    limits = {"member_bytes": 1000, "table_bytes": 2000}
    assert len(read(folder, member(name_of(1), bytes(1000)) + member("README", bytes(9000)) + END, **limits)) == 1
    assert "more than it may have" in refusal(folder, member(name_of(1), b"", size=1001), **limits)
    assert len(read(folder, member("ident.dat", bytes(2000)) + END, **limits)) == 1
    assert "more than it may have" in refusal(folder, member("ident.dat", b"", size=2001), **limits)


class Counted:
    """Counts what a gzip file gives."""

    def __init__(self, monkeypatch):
        self.given = 0
        original = gzip.GzipFile.read

        def reading(stream, size=-1):
            data = original(stream, size)
            self.given += len(data)
            return data

        monkeypatch.setattr(gzip.GzipFile, "read", reading)


@pytest.mark.parametrize(
    "start",
    [
        member("README", b"", size=1 << 26),
        member("README", b"", size=8 << 30),
        member(name_of(1), b"", size=15_000_000),
        member("L", b"", kind=tarfile.GNUTYPE_LONGNAME, size=4 << 30),
        member("x", b"", kind=tarfile.XHDTYPE, size=1 << 26),
        b"",
        member(name_of(1)),
    ],
    ids=["other file", "huge file", "light curve", "long name", "PAX header", "nothing", "end"],
)
def test_bomb_is_left_alone_early(folder, monkeypatch, start):
    path = write(folder, start + bytes(100_000_000), packed=True)
    assert path.stat().st_size < 1_000_000
    counted = Counted(monkeypatch)
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError):
            list(read_tarball(path, limits=TarLimits(total_bytes=1_000_000)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counted.given < 1_500_000
    assert peak < 4_000_000


def test_names_without_end_are_left_alone(folder, monkeypatch):
    """Long names in a row, and no member."""
    path = write(folder, member("L", b"x" * 900_000, kind=tarfile.GNUTYPE_LONGNAME) * 30, packed=True)
    counted = Counted(monkeypatch)
    with pytest.raises(ArchiveError, match="more than it may hold"):
        list(read_tarball(path, limits=TarLimits(total_bytes=5_000_000)))
    assert counted.given < 6_000_000


def test_zeros_without_end_are_left_alone(folder, monkeypatch):
    path = write(folder, member(name_of(1)) + bytes(100_000_000), packed=True)
    counted = Counted(monkeypatch)
    with pytest.raises(ArchiveError, match="goes on behind the mark of its end"):
        list(read_tarball(path))
    assert counted.given < 70_000_000


def test_too_many_members_are_refused(folder):
    data = b"".join(member(name_of(n)) for n in range(4)) + END
    assert len(read(folder, data, members=4)) == 4
    assert "more than it may hold" in refusal(folder, data, members=3)


def test_two_members_of_one_name_and_different_content_are_refused(folder):
    data = member(f"phot/I/{STAR}.dat", b"1") + member(f"lmc/ecl/phot/I/{STAR}.dat", b"2") + END
    assert f"it holds 'I/{STAR}' twice" in refusal(folder, data)


@pytest.mark.parametrize(
    "data",
    [
        record(b"path", b"x")[:-1],
        b"6 path=x\n",
        b"99 path=x\n",
        b"path=x\n",
        b"-9 path=x\n",
        b"9999999999 path=x\n",
        b"0 \n",
        b"3 \n",
        b"5 x\n\n",
        b"\xff\xfe",
        record(b"size", b"-5"),
        record(b"size", b"1e3"),
        record(b"size", b"9" * 5000),
        record(b"size", b""),
    ],
)
def test_damaged_pax_header_is_refused(folder, data):
    message = refusal(folder, member("x", data, kind=tarfile.XHDTYPE) + member(name_of(1)) + END)
    assert "is damaged, cut off or no tar file" in message
    assert "fetch it again" in message


def test_name_without_a_member_is_refused(folder):
    for name in (member("L", b"x", kind=tarfile.GNUTYPE_LONGNAME), pax(record(b"path", b"x"))):
        assert "ends behind the name of a member" in refusal(folder, member(name_of(1)) + name + END)


def test_negative_size_is_refused(folder):
    block = bytearray(member(name_of(1), b""))
    block[124:136] = b"\xff" * 10 + b"\xfe\x00"
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + sum(block[156:512]) + 8 * 32)
    assert "a member has -512 bytes" in refusal(folder, bytes(block) + END)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (gzip.compress(b""), "it is empty"),
        (b"\x1f", "fetch it again"),
        (b"\x1f\x8b", "fetch it again"),
        (b"\x1f\x8bnot gzip at all", "fetch it again"),
        (b"hello", "fetch it again"),
        (os.urandom(5000), "fetch it again"),
        (b"\n <!DOCTYPE html><html>" + b"Down for maintenance " * 60, "is a web page, which the server sent"),
        (gzip.compress(b"<html>" + b"Down for maintenance " * 60), "is a web page, which the server sent"),
        (b"BZh91AY&SY" + b"\x17" * 900, "is packed with bzip2: pack it with gzip"),
        (b"\xfd7zXZ\x00" + b"\x17" * 900, "is packed with xz: pack it with gzip"),
        (b"PK\x03\x04" + b"\x17" * 900, "is a zip file: pack it with tar and gzip"),
        (gzip.compress(gzip.compress(os.urandom(2000))), "is packed with gzip twice"),
        (b"OGLE-LMC-ECL-00001  C\n" * 50, "is damaged, cut off or no tar file"),
        (END, "holds no light curves (I/STAR.dat, V/STAR.dat) and no catalogue files"),
        (member("README") + END, "check that it is the right file"),
    ],
)
def test_file_that_is_something_else_says_so(folder, data, message):
    assert message in refusal(folder, data)


def test_file_that_cannot_be_read_says_so(tmp_path):
    for path, reason in ((tmp_path / "none.tar", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ArchiveError, match=f"{path} cannot be read: {reason}"):
            list(read_tarball(path))


# Damage

TAR = b"".join(member(name_of(n), GOOD[: 24 * (n + 3)]) for n in range(12))
TAR = TAR[: 5 * 2 * BLOCK] + member("a" * 150 + f"/I/{STAR}7.dat", GOOD) + TAR[5 * 2 * BLOCK :] + END


def outcome(path, **limits):
    """Members, or None for an error that names the file and the remedy."""
    try:
        return list(read_tarball(path, limits=TarLimits(**limits)))
    except ArchiveError as error:
        message = str(error)
    assert message.startswith(f"{path} ")
    assert any(remedy in message for remedy in ("fetch it again", "Nothing of it was used", "pack it", "check that"))
    return None


@pytest.mark.parametrize("packed", [True, False])
def test_file_that_is_cut_off_is_refused_wherever_the_cut_is(folder, packed):
    whole = gzip.compress(TAR, mtime=0) if packed else TAR
    path = write(folder, whole)
    found = outcome(path)
    assert len(found) == 13
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        # A plain file may lose zeros behind the first block of its end.
        assert outcome(path) == (found if not packed and end >= len(whole) - BLOCK else None), end


def test_changed_byte_of_a_packed_file_is_always_noticed(folder):
    whole = gzip.compress(TAR, mtime=0)
    path = write(folder, whole)
    found = outcome(path)
    # Time, compression and system of the header of gzip say nothing of the content.
    silent = set(range(3, 10))
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0xFF if position % 3 else 1 << position % 8
        path.write_bytes(changed)
        assert outcome(path) in ([None, found] if position in silent else [None]), position


def test_changed_byte_of_a_header_is_always_noticed(folder):
    """A plain tar file has check sums of its headers; the end is not taken from a damaged one."""
    path = write(folder, TAR)
    found = outcome(path)
    place, noticed = 0, 0
    while TAR[place : place + BLOCK].strip(b"\0"):
        size = tarfile.TarInfo.frombuf(TAR[place : place + BLOCK], "utf-8", "surrogateescape").size
        for position in range(place, place + BLOCK, 3):
            changed = bytearray(TAR)
            changed[position] ^= 0x55
            path.write_bytes(changed)
            result = outcome(path)
            # Blanks and ends of numbers may change without a change of the number.
            assert result is None or result == found, position
            noticed += result is None
        place += BLOCK + len(padded(bytes(size)))
    assert noticed > 14 * 160


@pytest.mark.parametrize("garbage", [b"x", b"\x1f\x8b", b"PK" * 300, member(name_of(99))])
@pytest.mark.parametrize("packed", [True, False])
def test_garbage_behind_the_end_is_refused(folder, garbage, packed):
    whole = gzip.compress(TAR) + garbage if packed else TAR + garbage
    assert "fetch it again" in refusal(folder, whole)


@pytest.mark.parametrize("packed", [True, False])
def test_hidden_end_does_not_hide_members(folder, packed):
    """Zeros in the middle: what follows is not passed over in silence."""
    message = refusal(folder, member(name_of(1)) + END + member(name_of(2)) + END, packed=packed)
    assert "something follows the mark of its end" in message


BLOCKS = st.one_of(
    st.builds(member, st.sampled_from([name_of(1), "README", "../x", "ident.dat"]), st.binary(max_size=600)),
    st.builds(
        lambda data, kind, size: member("x", data, kind=kind, size=size),
        st.binary(max_size=600),
        st.sampled_from([bytes([kind]) for kind in b"0LKxgXS123456\0"]),
        st.integers(0, 1 << 40) | st.integers(0, 1500),
    ),
    st.lists(
        st.tuples(st.sampled_from([b"path", b"size", b"comment", b"GNU.sparse.size"]), st.binary(max_size=30))
    ).map(lambda items: pax(*(record(*item) for item in items))),
    st.binary(min_size=BLOCK, max_size=BLOCK),
    st.just(bytes(BLOCK)),
)


@given(st.lists(BLOCKS, max_size=5).map(b"".join), st.booleans(), st.integers(0, 1500))
@settings(max_examples=400, deadline=None)
def test_nothing_but_members_and_archive_errors_comes_of_any_bytes(tmp_path_factory, data, packed, cut):
    path = tmp_path_factory.getbasetemp() / "any.tar"
    whole = data + END[cut:]
    path.write_bytes(gzip.compress(whole, 1) if packed else whole)
    found = outcome(path, total_bytes=100_000)
    assert found is None or (found and all(isinstance(item, CurveMember | TableMember) for item in found))


def test_walk_from_header_to_header_is_that_of_the_standard_library(folder):
    path = write(folder, TAR, packed=True)
    with tarfile.open(path) as tar:
        expected = [tar.extractfile(info).read() for info in tar]
    assert [found.data for found in read_tarball(path)] == expected
