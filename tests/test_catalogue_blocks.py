"""The catalogue written block by block: the same bytes as astropy writes of the whole table, however it is divided."""

import io
import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable import tree as votable_tree
from astropy.table import MaskedColumn, QTable, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.catalogue.checksum import add_sum, checksum_text
from cbminer.catalogue.schema import COLUMNS, conform
from cbminer.catalogue.writers import FORMATS, CatalogueTitle, plain_table, write_catalogue
from cbminer.columns import text_column
from cbminer.star_blocks import StarBlocks

TITLE = CatalogueTitle('Stars of the LMC & "SMC" <all>', "mock", "LMC: a release; SMC: another", "0")
REMARKS = ["plain", "two words", 'a "quoted" word', "x < 1 & y > 2", "  indented", "tab\tinside", "-9", "#", "'"]
DIVISIONS = {
    "one block": lambda stars: [stars],
    "single stars": lambda stars: [stars[row : row + 1] for row in range(len(stars))],
    "empty blocks": lambda stars: [stars[:0], stars[:7], stars[:0], stars[7:], stars[:0]],
    "on disk": lambda stars: on_disk([stars[:11], stars[11:]]),
}


def on_disk(parts):
    blocks = StarBlocks()
    for part in parts:
        blocks.append(part)
    return blocks


def judged(n, *, unknown=()):
    """Stars with something of everything in every column; a few columns as `unknown` says without any value."""
    rng = np.random.default_rng(20261201)
    table = QTable()
    for place, spec in enumerate(spec for spec in COLUMNS if spec.name not in unknown):
        if spec.kind == "text":
            texts = rng.choice(["", "C", "LMC_SC1_34", *REMARKS], n).tolist()
            table[spec.name] = text_column(texts)
        elif spec.kind == "float":
            numbers = rng.normal(0, 10.0 ** rng.integers(-7, 8), n)
            numbers[rng.random(n) < 0.2] = np.nan
            if place % 3 == 0 and n > 2:
                numbers[:2] = np.inf, -np.inf
            table[spec.name] = u.Quantity(numbers, spec.unit)
        elif spec.kind == "integer":
            table[spec.name] = MaskedColumn(rng.integers(-5, 10**6, n), mask=rng.random(n) < 0.2)
        else:
            table[spec.name] = rng.random(n) < 0.5
    # Texts no wider than the longest, as they come from blocks on disk.
    stars = conform(table) if len(table.colnames) else conform(QTable({"id": [""] * n}))
    for spec in COLUMNS:
        if spec.kind == "text" and spec.name in table.colnames:
            stars[spec.name] = text_column(stars[spec.name].filled("").tolist())
    return stars


def ecsv_of(stars):
    table = plain_table(stars)
    table.meta = dict(TITLE.lines)
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def fits_of(stars):
    bare = Table()
    for name, column in plain_table(stars).items():
        bare[name] = MaskedColumn(column.filled("") if column.dtype.kind == "U" else column, unit=column.unit)
    table, primary = fits.table_to_hdu(bare), fits.PrimaryHDU()
    table.name = "CATALOGUE"
    table.header["LONGSTRN"] = primary.header["LONGSTRN"] = "OGIP 1.0"
    for number, spec in enumerate(COLUMNS, start=1):
        table.header[f"TCOMM{number}"], table.header[f"TUCD{number}"] = spec.description, spec.ucd
    for name, text in TITLE.lines:
        primary.header[name.upper()[:8]] = text
    for part in (primary, table):
        part.add_checksum(when="with the data")
    written = io.BytesIO()
    fits.HDUList([primary, table]).writeto(written)
    return written.getvalue()


def votable_of(stars):
    document = from_table(plain_table(stars), table_id="catalogue")
    document.version, document.description = "1.4", TITLE.title
    resource = document.resources[0]
    resource.coordinate_systems.append(votable_tree.CooSys(ID="icrs", system="ICRS", epoch="J2000.0"))
    config = {"version_1_4_or_later": True, "version": "1.4"}
    times = votable_tree.TimeSys(ID="hjd", timeorigin=0.0, timescale="UTC", refposition="HELIOCENTER", config=config)
    resource.time_systems.append(times)
    resource.infos.extend(votable_tree.Info(name=name, value=text) for name, text in TITLE.lines)
    for field, spec in zip(resource.tables[0].fields, COLUMNS, strict=True):
        field.ref = {"RAJ2000": "icrs", "DEJ2000": "icrs", "T0": "hjd"}.get(spec.name)
        field.precision = str(spec.decimals) if spec.kind == "float" else None
    written = io.BytesIO()
    document.to_xml(written, tabledata_format="tabledata")
    return written.getvalue()


def mrt_cells(stars):
    """Cells of each column as the machine-readable table has them, one by one."""
    form = {
        "text": lambda value, spec: " ".join(str(value).split()),
        "float": lambda value, spec: f"{value:.{spec.decimals}f}",
        "integer": lambda value, spec: str(value),
        "boolean": lambda value, spec: str(int(value)),
    }
    table = plain_table(stars)
    return {
        spec.name: ["" if value is np.ma.masked else form[spec.kind](value, spec) for value in table[spec.name]]
        for spec in COLUMNS
    }


def files_of(stars, folder):
    folder.mkdir()
    paths = write_catalogue(stars, folder, "stars", title=TITLE)
    assert [path.suffix[1:] for path in paths] == list(FORMATS)
    return {path.suffix[1:]: path.read_bytes() for path in paths}


CATALOGUES = {
    "everything": lambda: judged(60),
    "one star": lambda: judged(1),
    "no star": lambda: judged(0),
    "nothing known": lambda: judged(5, unknown=[spec.name for spec in COLUMNS]),
    "much unknown": lambda: judged(30, unknown=[spec.name for spec in COLUMNS[::3]]),
}


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_bytes_are_those_of_the_writers_of_astropy(tmp_path, catalogue):
    stars = CATALOGUES[catalogue]()
    files = files_of(stars, tmp_path / "files")
    assert files["ecsv"] == ecsv_of(stars)
    assert files["fits"] == fits_of(stars)
    assert files["vot"] == votable_of(stars)


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_every_cell_lies_in_the_bytes_that_the_description_names(tmp_path, catalogue):
    stars = CATALOGUES[catalogue]()
    text = files_of(stars, tmp_path / "files")["mrt"].decode("ascii")
    head, rows = text.rsplit("-" * 80 + "\n", 1)
    described = re.findall(r"^ *(?:(\d+)- *)?(\d+) ([AIF])(\d+)(?:\.(\d+))? +(\S+) +(\S+) +(\? )?", head, re.MULTILINE)
    assert [(line[6], line[5]) for line in described] == [(spec.name, spec.unit or "---") for spec in COLUMNS]
    rows = rows.splitlines()
    assert len(rows) == len(stars)
    assert {len(row) for row in rows} <= {int(described[-1][1])}
    cells = mrt_cells(stars)
    for first, last, letter, width, decimals, _, name, blank in described:
        begin = int(first or last) - 1
        found = [row[begin : int(last)] for row in rows]
        assert [cell.strip() for cell in found] == cells[name], name
        # Texts stand at the left, numbers at the right, and no byte is wasted.
        assert all(len(cell) == int(width) for cell in found)
        assert all(cell[:1] != " " if letter == "A" else cell[-1:] != " " for cell in found if cell.strip())
        least = int(decimals) + 2 if letter == "F" else 1
        assert int(width) == max([least, *map(len, cells[name])]), name
        assert bool(blank) == ("" in cells[name]), name


def test_files_are_the_same_however_the_stars_are_divided(tmp_path):
    stars = judged(20)
    whole = files_of(stars, tmp_path / "whole")
    for division, divided in DIVISIONS.items():
        assert files_of(divided(stars), tmp_path / division) == whole, division


def test_no_block_is_no_star(tmp_path):
    assert files_of([], tmp_path / "no block") == files_of(judged(0), tmp_path / "no star")


def test_texts_take_no_more_room_than_the_longest(tmp_path):
    stars = judged(30)
    few = stars[stars["remark"].filled("") == "plain"]
    # These still have room for the longest remark of all the stars.
    assert few["remark"].dtype.itemsize > 4 * len("plain")
    files = files_of(few, tmp_path / "files")
    with fits.open(io.BytesIO(files["fits"])) as hdus:
        assert hdus[1].columns["remark"].format == "5A"
    assert re.search(rb'ID="remark" arraysize="5"', files["vot"])


@pytest.mark.parametrize("n", [0, 3, 700])
def test_checksums_hold_whatever_the_length(tmp_path, n):
    stars = judged(n)
    files = files_of([stars[first : first + 333] for first in range(0, n, 333)], tmp_path / "files")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(io.BytesIO(files["fits"]), checksum=True) as hdus:
            assert [(hdu.verify_checksum(), hdu.verify_datasum()) for hdu in hdus] == [(1, 1), (1, 1)]
            assert len(hdus[1].data) == n


def test_trailing_blanks_leave_the_checksum_right(tmp_path):
    stars = judged(3)
    stars["remark"] = text_column(["ends in blanks  ", "x", ""])
    files = files_of(stars, tmp_path / "files")
    with fits.open(io.BytesIO(files["fits"])) as hdus:
        assert hdus[1].verify_datasum() == 1
        assert list(hdus[1].data["remark"]) == ["ends in blanks", "x", ""]


def test_files_are_closed_when_a_block_cannot_be_written(tmp_path):
    stars = judged(4)
    later = stars[2:].copy()
    later["remark"] = text_column(["\u0394", "not ASCII"])
    # Files that are left open would be told of by a warning, which is an error here.
    with pytest.raises(UnicodeEncodeError):
        write_catalogue([stars[:2], later], tmp_path, "stars", title=TITLE)


@settings(max_examples=5, deadline=None)
@given(texts=st.lists(st.text(st.sampled_from("a7- \t\"'\\#&<>,;\r\n"), max_size=6), min_size=30, max_size=60))
def test_any_text_is_written_as_astropy_writes_it(tmp_path_factory, texts):
    stars = conform(QTable({"id": text_column(texts), "remark": text_column(texts[::-1])}))
    files = files_of(stars, tmp_path_factory.mktemp("texts") / "files")
    assert files["ecsv"] == ecsv_of(stars)
    assert files["vot"] == votable_of(stars)
    with fits.open(io.BytesIO(files["fits"])) as hdus:
        assert hdus[1].verify_checksum() == 1
        assert list(hdus[1].data["id"]) == [text.rstrip() for text in texts]


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 2880), max_size=4))
def test_sums_are_those_of_astropy(data, cuts):
    hdu = fits.ImageHDU(np.frombuffer(data.ljust(1, b"\0"), dtype=np.uint8))
    hdu.add_checksum(when="")
    written = io.BytesIO()
    hdu.writeto(written)
    _, header, pixels = re.split(rb"(XTENSION.{2872})", written.getvalue(), maxsplit=1, flags=re.DOTALL)
    total, begin = 0, 0
    for end in [*sorted(cut // 4 * 4 for cut in cuts), len(pixels)]:
        total, begin = add_sum(total, pixels[begin:end]), end
    assert str(total) == hdu.header["DATASUM"]
    bare = header.replace(hdu.header["CHECKSUM"].encode(), b"0" * 16)
    assert checksum_text(add_sum(total, bare)) == hdu.header["CHECKSUM"]
