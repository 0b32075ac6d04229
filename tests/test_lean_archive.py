"""The archive in little memory: blocks of lines and stars, names as bytes, look-ups of many stars at a time."""

import hashlib

import numpy as np
import pytest
from conftest import ecl_line, ident_line
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.errors import ArchiveError
from cbminer.provenance import hash_group
from cbminer.survey import ogle_rows, textfile
from cbminer.survey.archive import open_archive
from cbminer.survey.ogle import read_catalogue
from cbminer.survey.star_names import find_names, first_rows, name_list, names_without, star_names
from cbminer.survey.store import LightCurveStore
from cbminer.survey.store_writer import SourceFile, StoreWriter
from cbminer.survey.textfile import BadLineError, read_line_blocks, split_text

NAMES = st.lists(st.text(alphabet="AB-é0", min_size=1, max_size=4), max_size=12)


@given(NAMES, NAMES)
def test_names_are_found_where_they_stand(names, wanted):
    ascending = sorted(set(names))
    places = find_names(star_names(ascending), star_names(wanted)).tolist()
    assert places == [ascending.index(name) if name in ascending else -1 for name in wanted]
    assert name_list(names_without(star_names(wanted), star_names(names))) == [x for x in wanted if x not in names]


@given(NAMES)
def test_the_first_row_of_a_name(names):
    first = first_rows(star_names(names))
    expected = [names.index(name) for name in names]
    assert expected == (list(range(len(names))) if first is None else first.tolist())


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"ab 1.25", b"a", b"  ", b"\xff", b"ol\xc3\xa9 2", b"", b"x 1.2", b"\x0b"]), max_size=9),
       st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=9, max_size=9), st.booleans())  # fmt: skip
def test_blocks_of_lines_are_the_lines_of_the_file(tmp_path_factory, lines, ends, ends_cleanly):
    data = b"".join(line + end for line, end in zip(lines, ends, strict=False))
    data = data if ends_cleanly else data.rstrip(b"\r\n")
    path = tmp_path_factory.mktemp("text") / "file.dat"
    path.write_bytes(data)
    whole = split_text(path, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textfile, "LINES_A_BLOCK", 2)
        blocks = list(read_line_blocks(path))
    found = [pair for block in blocks for pair in zip(block.numbers, block.texts, strict=True)]
    assert found == [(line.number, line.text) for line in whole.lines]
    assert [item for block in blocks for item in block.undecoded] == whole.undecoded


IDENTITIES = st.builds(
    ident_line,
    st.sampled_from(["OGLE-LMC-ECL-00001", "OGLE-SMC-ECL-0001", "rubbish", "OGLE-LMC-ECL-1234567"]),
    st.sampled_from(["C", "NC", "XX", ""]),
    st.sampled_from(["05:20:00.00", "23:59:59.99", "24:00:00", "5:20:00", "05:20:00."]),
    st.sampled_from(["-69:30:00.0", "+90:00:00.0", "+91:00:00.0", "-00:00:00.5", "-69:30:0"]),
    st.sampled_from(["", "LMC553.12.345", f"{'-':<16s} {'nan':<15s} {'LMC_SC1 77':<15s} HV 2274", "é"]),
)
NUMBERS = st.sampled_from(
    ["-", "", "99.999", "-9.999", "16.125", "1e1", "inf", "0.9x", "7000.25", "2455000.5", "5e5", "12."]
)
PARAMETERS = st.builds(ecl_line, st.just("OGLE-LMC-ECL-00001"), NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)


def outcome(parse_one, text):
    """The row of a line, or what is wrong with it."""
    try:
        return repr(vars(parse_one(text, "LMC")))
    except BadLineError as error:
        return str(error)


@pytest.mark.parametrize(
    ("lines", "parse_many", "parse_one"),
    [
        (IDENTITIES, ogle_rows.identity_rows, ogle_rows._parse_identity),
        (PARAMETERS, ogle_rows.parameter_rows, ogle_rows._parse_parameters),
    ],
)
def test_lines_read_together_are_those_read_one_by_one(lines, parse_many, parse_one):
    @settings(deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(["", " "]), lines).map("".join), max_size=6))
    def check(texts):
        together = parse_many(texts, "LMC")
        rows = dict(zip(together.places.tolist(), together.table.to_pylist(), strict=True))
        for place, text in enumerate(texts):
            fault = together.faults.get(place)
            assert (str(fault) if fault else repr(rows[place])) == outcome(parse_one, text)

    check()


def test_a_catalogue_of_many_blocks_is_that_of_one(write_archive, monkeypatch):
    stars = [f"OGLE-LMC-ECL-{n:05d}" for n in range(7)]
    ident = [*(ident_line(star) for star in stars), ident_line(stars[1]), ident_line(stars[2], kind="NC")]
    folder = write_archive(
        ident,
        [ecl_line(star, i=f"{n + 12}.000") for n, star in enumerate(stars[:5])],
        ell_dat=[ecl_line(stars[5]), ecl_line(stars[4], i="13.500"), ecl_line("OGLE-LMC-ECL-00099")],
        remarks_txt=[f"{stars[6]}  first", f"{stars[0]} only", "about nothing", f"{stars[6]} second"],
    )
    whole = read_catalogue(folder, "LMC")
    monkeypatch.setattr(textfile, "LINES_A_BLOCK", 2)
    parts = read_catalogue(folder, "LMC")
    assert len(list(parts.blocks)) > len(list(whole.blocks)) == 1
    assert (parts.set_aside, parts.counts, parts.n_stars) == (whole.set_aside, whole.counts, 7)
    assert str(parts.stars.pformat(max_lines=-1, max_width=-1)) == str(whole.stars.pformat(max_lines=-1, max_width=-1))
    assert parts.ids().tolist() == [star.encode() for star in stars]
    assert whole.stars["remark"].tolist()[6] == "first; second"
    reasons = [item.reason for item in whole.set_aside[:2]]
    assert reasons == [
        "expected one row a star, found the same row on line 2 already",
        "expected one row a star, found another row on line 3 already",
    ]


def points(seed):
    return f"{2455000 + seed}.5 16.000 0.010\n".encode()


def write(folder, stars, changed=0):
    with StoreWriter(folder) as writer:
        for number, star in enumerate(stars):
            writer.add(SourceFile(star, "I", points(number), changed))
    return LightCurveStore(folder)


def test_many_stars_are_looked_up_at_once(tmp_path):
    stars = ["OGLE-LMC-ECL-3", "OGLE-LMC-ECL-1", "OGLE-LMC-ECL-22"]
    store = write(tmp_path, stars, changed=5)
    asked = ["OGLE-LMC-ECL-22", "OGLE-LMC-ECL-999", "OGLE-LMC-ECL-3", "OGLE-LMC-ECL-22", "OGLE-LMC-ECL-2"]
    sources = store.sources(asked)
    assert [source and source.sha256 for source in sources] == [
        hashlib.sha256(points(stars.index(star))).hexdigest() if star in stars else None for star in asked
    ]
    assert sources == [store.source(star) for star in asked] == store.sources(star_names(asked))
    assert store.has(asked).tolist() == [star in stars for star in asked]
    assert store.states(asked)[:, 1].tolist() == [5, 0, 5, 5, 0]
    assert not store.has(asked, "V").any()
    assert store.sources(asked, "V") == [None] * len(asked)


def test_a_store_that_grows_keeps_what_was_opened(tmp_path):
    old = write(tmp_path, ["OGLE-LMC-ECL-1", "OGLE-LMC-ECL-2"])
    before = old.sources(["OGLE-LMC-ECL-1"])
    write(tmp_path, ["OGLE-LMC-ECL-0"])
    assert old.sources(["OGLE-LMC-ECL-1"]) == before
    assert old.source("OGLE-LMC-ECL-0") is None
    write(tmp_path, ["OGLE-LMC-ECL-3", "OGLE-LMC-ECL-1"])
    assert old.sources(["OGLE-LMC-ECL-2"])[0] is not None
    with pytest.raises(ArchiveError, match="was changed by another process while it was read"):
        old.source("OGLE-LMC-ECL-1")


def test_light_curves_without_a_row_are_listed(mock_archive, tmp_path):
    archive = open_archive(str(mock_archive), cache=tmp_path)
    at_hand, ids = archive.light_curve_stars("LMC"), archive.catalogue("LMC").ids()
    assert archive.spare_light_curves("LMC", ids) == sorted(set(at_hand) - set(name_list(ids)))
    assert archive.spare_light_curves("LMC", at_hand[3:]) == at_hand[:3]
    assert archive.spare_light_curves("LMC", np.empty(0, dtype="S1")) == at_hand


def test_files_are_hashed_together_without_being_kept():
    members = [("a", 2, "11"), ("b", 3, "22")]
    listing = hashlib.sha256(b"11  a\n22  b\n").hexdigest()
    group = hash_group("group", iter(members))
    assert (group.size, group.sha256, group.n_files) == (5, listing, 2)
    assert hash_group("one", iter(members[:1])).sha256 == "11"
