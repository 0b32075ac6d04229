"""OGLE's catalogue from VizieR: the same table that OGLE's own files give."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Angle
from conftest import ecl_line, ident_line
from tap_server import Field
from vizier_tables import OGLE, make_settings, ogle

from cbminer.columns import label_column, values
from cbminer.errors import ArchiveError, InputFormatError
from cbminer.flags import Flag
from cbminer.survey.ogle import read_catalogue
from cbminer.survey.vizier import Vizier

pytest_plugins = ("tap_fixtures",)


def write_ogle_files(write_archive, star_rows):
    ident = [ident_line(star, kind, ra, dec) for star, kind, ra, dec, *_ in star_rows]
    ecl = [ecl_line(star, *rest) for star, _, _, _, *rest in star_rows]
    return read_catalogue(write_archive(ident, ecl), "LMC").stars


STAR_ROWS = [
    (
        "OGLE-LMC-ECL-00001",
        "C",
        "05:20:00.00",
        "-69:30:00.0",
        "16.123",
        "15.987",
        "0.9123456",
        "2457000.1234",
        "0.400",
        "0.350",
    ),
    (
        "OGLE-LMC-ECL-00002",
        "NC",
        "05:20:30.25",
        "-69:15:07.5",
        "17.456",
        "99.999",
        "2.5000000",
        "2457001.5000",
        "0.300",
        "0.000",
    ),
    (
        "OGLE-LMC-ECL-00003",
        "ELL",
        "04:59:59.99",
        "-68:00:00.1",
        "18.000",
        "18.100",
        "1.0000000",
        "2457002.0000",
        "-",
        "-",
    ),
    (
        "OGLE-LMC-ECL-00004",
        "CV",
        "05:00:00.00",
        "-70:59:59.9",
        "99.999",
        "-9.999",
        "0.5000000",
        "2457003.2500",
        "9.999",
        "0.1",
    ),
]


def number(text):
    return None if text == "-" else float(text)


def served(star_rows, position):
    stars, kinds, ra, dec, *numbers = zip(*star_rows, strict=True)
    columns = ogle()
    columns[0].data, columns[1].data = list(stars), list(kinds)
    if position == "degrees":
        columns[2].data = [float(Angle(text, u.hourangle).deg) for text in ra]
        columns[3].data = [float(Angle(text, u.deg).deg) for text in dec]
    else:
        blank = " " if position == "blanks" else ":"
        columns[2] = Field("RAJ2000", "str", [text.replace(":", blank) for text in ra], unit='"h:m:s"')
        columns[3] = Field("DEJ2000", "str", [text.replace(":", blank) for text in dec], unit='"d:m:s"')
    for column, texts in zip(columns[4:], numbers, strict=True):
        column.data = [number(text) for text in texts]
    return columns


@pytest.mark.parametrize("position", ["degrees", "blanks", "colons"])
def test_catalogue_is_the_one_of_ogles_files(server, vizier, write_archive, position):
    server.tables[OGLE] = served(STAR_ROWS, position)
    reading = vizier.catalogue("LMC")
    expected = write_ogle_files(write_archive, STAR_ROWS)
    assert reading.stars.colnames == expected.colnames
    assert reading.stars.meta == expected.meta
    for name in expected.colnames:
        ours, theirs = reading.stars[name], expected[name]
        assert type(ours) is type(theirs)
        assert getattr(ours, "unit", None) == getattr(theirs, "unit", None)
        assert np.array_equal(getattr(ours, "mask", False), getattr(theirs, "mask", False))
        if ours.dtype.kind == "f":
            unit = str(ours.unit or "")
            tolerance = 1e-12 if name in {"RAJ2000", "DEJ2000"} else 0
            np.testing.assert_allclose(values(reading.stars, name, unit), values(expected, name, unit), rtol=tolerance)
        elif ours.dtype.kind == "U":
            assert label_column(reading.stars, name).tolist() == label_column(expected, name).tolist()
        else:
            assert ours.tolist() == theirs.tolist()
    assert reading.set_aside == []
    assert reading.counts[f"{OGLE}: rows"] == reading.counts["stars"] == 4


def test_catalogue_of_one_cloud_and_its_release(server, vizier):
    server.tables[OGLE] = ogle()
    reading = vizier.catalogue("SMC")
    assert reading.stars["id"].tolist() == ["OGLE-SMC-ECL-00001"]
    assert reading.stars["galaxy"].tolist() == ["SMC"]
    assert reading.release == (
        "OGLE-IV, Pawlak et al. 2016 (VizieR J/AcA/66/421, 1 stars, not the number of that release)"
    )


def test_catalogue_with_the_number_of_stars_of_the_release(server, vizier):
    rows = 8401
    columns = ogle()
    columns[0].data = [f"OGLE-SMC-ECL-{row:05d}" for row in range(rows)]
    for column in columns[1:]:
        column.data = [column.data[2]] * rows
    server.tables[OGLE] = columns
    assert vizier.catalogue("SMC").release == "OGLE-IV, Pawlak et al. 2016 (VizieR J/AcA/66/421, 8401 stars)"


@pytest.mark.parametrize(
    ("data", "about", "expected"),
    [
        ([7000.1234], {}, 2457000.1234),
        ([2457000.1234], {}, 2457000.1234),
        ([57000.1234], {"description": "HJD-2400000"}, 2457000.1234),
        ([56999.6234], {"unit": "MJD"}, 2457000.1234),
        ([56999.6234], {"description": "Time of minimum, HJD-2400000.5"}, 2457000.1234),
    ],
)
def test_epochs_of_any_zero_point(server, vizier, data, about, expected):
    columns = [Field(column.name, column.kind, column.data[:1], unit=column.unit) for column in ogle()]
    columns[7] = Field("T0", "f8", data, **about)
    server.tables[OGLE] = columns
    assert values(vizier.catalogue("LMC").stars, "T0", "d")[0] == pytest.approx(expected, abs=1e-8)


def test_missing_values_are_masked_and_flagged(server, vizier):
    server.tables[OGLE] = ogle(
        V_mag=Field("Vmag", "f4", [None, 99.999, 1.0]),
        period=Field("Per", "f8", [None, 0.0, 1.0]),
        T0=Field("T0", "f8", [None, 0.0, 1.0]),
        I_mag=Field("Imag", "str", ["-", "17.5", "1"]),
    )
    stars = vizier.catalogue("LMC").stars
    assert stars["V_mag"].mask.tolist() == [True, True]
    assert stars["period"].mask.tolist() == [True, True]
    assert stars["T0"].mask.tolist() == [True, True]
    assert values(stars, "I_mag", "mag").tolist()[1] == 17.5
    missing = Flag.NO_V | Flag.NO_PERIOD | Flag.NO_EPOCH
    assert stars["flags"].tolist() == [missing | Flag.NO_I, missing]


def test_catalogue_in_several_tables(server, vizier):
    whole = {column.name: column for column in ogle()}
    whole["Star"].data[1] = "OGLE-LMC-ELL-00002"
    names = ["Star", "Imag", "Vmag", "Per", "T0", "DepI", "DepII"]
    server.tables["J/AcA/66/421/ecl"] = [whole[name] for name in names]
    server.tables["J/AcA/66/421/ident"] = [
        Field("OGLE", "str", ["OGLE-LMC-ECL-00001", "OGLE-LMC-ELL-00002", "OGLE-LMC-ECL-00009"]),
        Field("Type", "str", ["NC", "", "C"]),
        *(Field(name, "f8", [1.0, 2.0, 3.0]) for name in ("RAJ2000", "DEJ2000")),
        Field("OGLE-IV", "str", ["LMC501.1.1", "", "-"]),
    ]
    server.tables["J/AcA/66/421/rem"] = [Field("Star", "str", ["OGLE-LMC-ECL-00001"]), Field("Rem", "str", ["odd"])]
    # It knows less than the first, so that its magnitude does not count.
    server.tables["J/AcA/66/421/aux"] = [Field("Star", "str", ["OGLE-LMC-ECL-00001"]), Field("Imag", "f4", [9.0])]
    server.tables["J/AcA/66/421/refs"] = [Field("Ref", "str", ["x"])]
    stars = vizier.catalogue("LMC").stars
    assert stars["id"].tolist() == ["OGLE-LMC-ECL-00001", "OGLE-LMC-ELL-00002", "OGLE-LMC-ECL-00009"]
    assert stars["type"].tolist() == ["NC", "ELL", "C"]
    assert stars["RAJ2000"].value.tolist() == [1.0, 2.0, 3.0]
    assert stars["ogle4_id"].tolist() == ["LMC501.1.1", None, None]
    assert stars["remark"].tolist() == ["odd", None, None]
    assert values(stars, "I_mag", "mag")[0] == 16.123
    assert stars["flags"].tolist() == [
        0,
        0,
        Flag.NO_CATALOGUE_ROW | Flag.NO_V | Flag.NO_I | Flag.NO_PERIOD | Flag.NO_EPOCH,
    ]


def test_malformed_rows_are_set_aside(server, vizier):
    rows = [list(row) for row in STAR_ROWS]
    rows[1][1] = "RR"
    columns = served(rows, "colons")
    columns[2].data[2] = "25:00:00.00"
    columns[7].data[3] = 1e9
    columns[0].data.append("OGLE-LMC-ECL-00001")
    for column in columns[1:]:
        column.data.append(column.data[0])
    for _ in range(4):
        for column in columns:
            column.data.append(column.data[0])
        columns[0].data[-1] = f"OGLE-LMC-ECL-{len(columns[0].data):05d}"
    server.tables[OGLE] = columns
    reading = vizier.catalogue("LMC")
    assert [aside.reason for aside in reading.set_aside] == [
        "expected a type out of C, NC, ELL, CV, found 'RR'",
        "expected a right ascension in degrees or sexagesimal, found '25:00:00.00'",
        "expected an epoch as HJD, HJD-2450000 or HJD-2400000, found 1000000000.00000",
    ]
    assert [(aside.file, aside.line, aside.star) for aside in reading.set_aside] == [
        (OGLE, row, f"OGLE-LMC-ECL-0000{row}") for row in (2, 3, 4)
    ]
    # A star whose parameters are of no use is still a star.
    assert reading.stars["id"].tolist()[:2] == ["OGLE-LMC-ECL-00001", "OGLE-LMC-ECL-00004"]
    assert reading.stars["flags"][1] & Flag.NO_CATALOGUE_ROW
    assert reading.counts[f"{OGLE}: duplicate rows"] == 1
    assert reading.counts["VizieR J/AcA/66/421: malformed rows"] == 3
    with pytest.raises(InputFormatError, match=f"{OGLE}, row 2: expected a type"):
        vizier.catalogue("LMC", strict=True)


def test_a_catalogue_of_nothing_but_malformed_rows_is_an_error(server, vizier):
    server.tables[OGLE] = ogle(ra=Field("RAJ2000", "f8", [999.0] * 3))
    with pytest.raises(
        InputFormatError, match=r"2 rows are malformed; .*\[vizier.ogle_columns\], or give OGLE's own files"
    ):
        vizier.catalogue("LMC")


def test_a_column_that_is_needed_but_missing(server, vizier, tmp_path):
    server.tables[OGLE] = ogle(V_mag=None, T0=Field("When", "f8", [7000.0] * 3))
    with pytest.raises(ArchiveError) as caught:
        vizier.catalogue("LMC")
    message = str(caught.value)
    assert "no column for its V magnitude or its epoch of minimum" in message
    assert f"{OGLE} (Star, Type, RAJ2000, DEJ2000, Imag, Per, When, DepI, DepII)" in message
    assert "V_mag under [vizier.ogle_columns]" in message
    # The settings may say that there is no such column, and name another.
    chosen = make_settings(server, ogle_columns={"V_mag": "", "T0": "When"})
    with Vizier(tmp_path, settings=chosen) as told:
        stars = told.catalogue("LMC").stars
    assert stars["V_mag"].mask.all()
    assert values(stars, "T0", "d").tolist() == [2457000.0] * 2
