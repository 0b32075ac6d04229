"""The reader of OGLE's catalogue files."""

import math

import numpy as np
import pytest
from conftest import ecl_line, ident_line
from hypothesis import given
from hypothesis import strategies as st

from cbminer.columns import label_column, values
from cbminer.errors import InputFormatError
from cbminer.flags import Flag
from cbminer.survey.ogle import read_catalogue, recognise_release
from cbminer.survey.stars import full_hjd

STARS = [f"OGLE-LMC-ECL-{n:05d}" for n in range(1, 6)]


def test_every_field_is_read_from_its_bytes(write_archive):
    cross = f"{'LMC553.12.345':<16s} {'LMC100.1 12345':<15s} {'LMC_SC1 77':<15s} HV 2274"
    folder = write_archive(
        [ident_line(cross=cross)], [ecl_line()], remarks_txt=["OGLE-LMC-ECL-00001  variable amplitude"]
    )
    stars = read_catalogue(folder, "LMC").stars
    assert stars["RAJ2000"][0].to_value("deg") == pytest.approx(80.0)
    assert stars["DEJ2000"][0].to_value("deg") == pytest.approx(-69.5)
    assert values(stars, "I_mag", "mag")[0] == 16.0
    assert values(stars, "V_mag", "mag")[0] == 15.9
    assert values(stars, "period", "d")[0] == 0.9
    assert values(stars, "T0", "d")[0] == 2455000.5
    assert values(stars, "depth1_survey", "mag")[0] == 0.4
    assert values(stars, "depth2_survey", "mag")[0] == 0.39
    for name, expected in (
        ("type", "C"), ("ogle4_id", "LMC553.12.345"), ("ogle3_id", "LMC100.1 12345"), ("ogle2_id", "LMC_SC1 77"),
        ("other_id", "HV 2274"), ("remark", "variable amplitude"),
    ):  # fmt: skip
        assert label_column(stars, name)[0] == expected
    assert stars["flags"][0] == 0


@pytest.mark.parametrize("missing", ["-", "99.999", "-9.999", "0.000", ""])
def test_dashes_blanks_and_magic_numbers_are_missing(write_archive, missing):
    stars = read_catalogue(write_archive([ident_line()], [ecl_line(v=missing)]), "LMC").stars
    assert np.isnan(values(stars, "V_mag", "mag")[0])
    assert values(stars, "period", "d")[0] == 0.9
    assert stars["flags"][0] & Flag.NO_V


@pytest.mark.parametrize("epoch", ["2455000.5000", "5000.50000"])
def test_epochs_with_and_without_offset_become_full_dates(write_archive, epoch):
    stars = read_catalogue(write_archive([ident_line()], [ecl_line(t0=epoch)]), "LMC").stars
    assert values(stars, "T0", "d")[0] == 2455000.5


@given(st.floats(0, 30000))
def test_offset_is_added_once(time):
    assert full_hjd(full_hjd(time)) == full_hjd(time) == pytest.approx(time + 2450000.0)


def test_malformed_line_is_set_aside_with_its_place(write_archive):
    rows = [ecl_line(star) for star in STARS]
    rows[2] = ecl_line(STARS[2], p="0.9x")
    reading = read_catalogue(write_archive([ident_line(star) for star in STARS], rows), "LMC")
    assert len(reading.stars) == 5
    assert reading.counts["ecl.dat: malformed lines"] == 1
    (item,) = reading.set_aside
    assert (item.file, item.line, item.star) == ("ecl.dat", 3, STARS[2])
    assert item.reason == "bytes 35-46: expected a period in days or -, found '0.9x'"
    assert reading.stars["flags"][2] & Flag.NO_CATALOGUE_ROW


def test_strict_makes_a_malformed_line_fatal(write_archive):
    folder = write_archive([ident_line(star) for star in STARS], [*(ecl_line(star) for star in STARS[:4]), "rubbish"])
    with pytest.raises(InputFormatError, match=r"ecl.dat, line 5: expected .*--strict"):
        read_catalogue(folder, "LMC", strict=True)


def test_every_line_of_every_file_is_accounted_for(write_archive):
    ident = [
        *(ident_line(star) for star in STARS),
        ident_line(STARS[0]),
        "OGLE-LMC-ECL-00009  XX  05:20:00.00 -69:30:00.0",
    ]
    ecl = [*(ecl_line(star) for star in STARS[:4]), ecl_line(STARS[1], i="15.000"), ecl_line("OGLE-LMC-ECL-77777")]
    counts = (reading := read_catalogue(write_archive(ident, ecl, ell_dat=[ecl_line(STARS[0])]), "LMC")).counts
    for name in ("ident.dat", "ecl.dat", "ell.dat"):
        gone = counts[f"{name}: malformed lines"] + counts[f"{name}: duplicate rows"]
        assert counts[f"{name}: lines"] == counts[f"{name}: rows"] + gone
    assert counts["ident.dat: duplicate rows"] == counts["ident.dat: malformed lines"] == 1
    assert counts["ecl.dat: duplicate rows"] == 1
    assert counts["stars in both ecl.dat and ell.dat"] == 1
    assert counts["parameter rows without a row in ident.dat"] == 1
    assert counts["stars of ident.dat without a row in ecl.dat or ell.dat"] == 1
    assert counts["stars"] == len(reading.stars) == 5
    assert values(reading.stars, "I_mag", "mag")[1] == 16.0
    assert len(reading.set_aside) == 5


def test_line_cut_off_inside_a_number_is_not_read_as_another_number(write_archive):
    ecl = "\n".join([*(ecl_line(star) for star in STARS[:4]), ecl_line(STARS[4])[:41]])
    reading = read_catalogue(write_archive([ident_line(star) for star in STARS], ecl), "LMC")
    assert np.isnan(values(reading.stars, "period", "d")[4])
    assert reading.set_aside[0].reason == "expected a whole line, found the file cut off in the middle of it"


def test_columns_shifted_by_a_release_are_read_by_words(write_archive):
    reading = read_catalogue(write_archive([" " + ident_line()], ["  " + ecl_line()]), "LMC")
    assert len(reading.stars) == 1
    assert values(reading.stars, "period", "d")[0] == 0.9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ident.dat is empty"),
        (b"\x1f\x8b\x08rest", "compressed with gzip"),
        (b"\x00\x01\x02\x03", "binary file"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"1 2 3\n4 5 6\n", r"2 of 2 lines do not have the layout of OGLE's ident.dat; line 1: bytes 1-18"),
        (b"\xff\xfe\xfd\n\xfa\xfb\n", "expected plain text, found byte 0xff at position 1"),
    ],
)
def test_file_of_another_kind_is_refused(write_archive, content, message):
    folder = write_archive(content, [ecl_line()])
    with pytest.raises(InputFormatError, match=message):
        read_catalogue(folder, "LMC")


def test_single_line_of_another_encoding_is_set_aside(write_archive):
    lines = [ident_line(star).encode() for star in STARS]
    reading = read_catalogue(
        write_archive(b"\n".join([*lines, b"OGLE-LMC-ECL-00007 \xe9"]) + b"\n", [ecl_line()]), "LMC"
    )
    assert len(reading.stars) == 5
    assert "byte 0xe9" in reading.set_aside[0].reason


def test_stars_of_the_other_cloud_are_refused(write_archive):
    folder = write_archive([ident_line("OGLE-SMC-ECL-0001")], [ecl_line("OGLE-SMC-ECL-0001")])
    with pytest.raises(InputFormatError, match="expected a star of the LMC, found 'OGLE-SMC-ECL-0001'"):
        read_catalogue(folder, "LMC")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputFormatError, match=r"ident.dat is missing"):
        read_catalogue(tmp_path, "LMC")


@given(
    st.lists(
        st.tuples(st.floats(12, 21), st.one_of(st.none(), st.floats(12, 21)), st.floats(0.1, 900), st.floats(0, 1.5)),
        min_size=1,
        max_size=20,
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("archive")
    stars = [f"OGLE-LMC-ECL-{n:05d}" for n in range(len(rows))]
    (folder / "ident.dat").write_text("\n".join(ident_line(star) for star in stars) + "\n")
    lines = [
        ecl_line(star, f"{i:.3f}", "-" if v is None else f"{v:.3f}", f"{p:.7f}", "-", f"{d:.3f}", "-")
        for star, (i, v, p, d) in zip(stars, rows, strict=True)
    ]
    (folder / "ecl.dat").write_text("\n".join(lines) + "\n")
    table = read_catalogue(folder, "LMC").stars
    for index, (i, v, p, d) in enumerate(rows):
        assert values(table, "I_mag", "mag")[index] == float(f"{i:.3f}")
        found = values(table, "V_mag", "mag")[index]
        assert math.isnan(found) if v is None else found == float(f"{v:.3f}")
        assert values(table, "period", "d")[index] == float(f"{p:.7f}")
        assert values(table, "depth1_survey", "mag")[index] == float(f"{d:.3f}")


def test_release_is_recognised_by_its_counts():
    assert recognise_release("LMC", 40204) == recognise_release("SMC", 8401) == "OGLE-IV, Pawlak et al. 2016"
    assert "later than" in recognise_release("LMC", 60000)
    assert recognise_release("LMC", 490) == "not recognised"


def test_real_archive_is_read_whole(shared_data):
    lmc = read_catalogue(shared_data / "ocvs" / "lmc" / "ecl", "LMC")
    smc = read_catalogue(shared_data / "ocvs" / "smc" / "ecl", "SMC")
    assert (len(lmc.stars), len(smc.stars)) == (490, 112)
    assert lmc.set_aside == smc.set_aside == []
    epochs = values(lmc.stars, "T0", "d")
    assert np.count_nonzero(~np.isnan(epochs)) == 189
    assert np.nanmin(epochs) > 2450000
