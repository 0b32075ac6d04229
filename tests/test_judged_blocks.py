"""Judged stars block by block: the same tables, counts, figures and page as from all stars at once."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_runs import random_table, table_of, write_run
from test_page import Blob, make_run

from cbminer.blocks import blocks_of, columns_of, floats_of, rows_of
from cbminer.candidate_blocks import CandidateBlocks
from cbminer.catalogue.schema import COLUMNS, conform
from cbminer.columns import float_column, label_column, values
from cbminer.errors import OutputError, RelationError, UnknownStarError
from cbminer.flags import Flag
from cbminer.judged import JUDGED_FILE, JudgedBlocks, judged_blocks, read_judged, star_rows
from cbminer.report.counting import count_flags, count_labels
from cbminer.report.explanation import explain_star
from cbminer.report.page.data import gather_report
from cbminer.report.products import cutflow_of_run, write_products
from cbminer.report.ranking import compare_choices
from cbminer.report.summary import summary_lines
from cbminer.selection.cutflow import CutflowCounts, SelectionSettings, tabulate_cutflow
from cbminer.selection.plc import PLCSettings
from cbminer.selection.plc_table import RelationSample, all_relations, resolve_relation, tabulate_residuals
from cbminer.settings import load_settings
from cbminer.star_blocks import StarBlocks

CUTS = SelectionSettings()


def ranked_table(n):
    """Judged stars with odds, classes, flags and remarks, as a run has them."""
    stars = random_table(n, seed=4)
    rng = np.random.default_rng(5)
    stars["survey"] = np.full(n, "mock")
    stars["post_contact"] = float_column(np.where(rng.random(n) < 0.1, np.nan, rng.random(n)))
    stars["bona_fide"] = np.asarray(stars["selected"]) & (rng.random(n) < 0.5)
    stars["contact_rank"] = np.where(rng.random(n) < 0.6, rng.permutation(n) + 1, 0)
    stars["flags"] = rng.integers(0, 2 * int(max(Flag)), n)
    stars["light_curve_class"] = rng.choice(["", "contact", "detached", "undecided"], n)
    stars["classifier_version"] = np.where(label_column(stars, "light_curve_class") == "", "", "1")
    stars["type"] = rng.choice(["C", "NC", "ELL"], n)
    stars["remark"] = np.where(rng.random(n) < 0.2, "a remark, with  spaces", "")
    return conform(stars)


STARS = ranked_table(300)


def split(stars, size):
    return [stars[first : first + size] for first in range(0, len(stars), size)]


def assert_equal_tables(one, other):
    assert one.colnames == other.colnames
    assert len(one) == len(other)
    for name in one.colnames:
        first, second = one[name], other[name]
        if first.info.dtype.kind in "US":
            np.testing.assert_array_equal(label_column(one, name), label_column(other, name))
        elif first.info.dtype.kind == "f":
            unit = str(first.info.unit or "")
            np.testing.assert_array_equal(values(one, name, unit), values(other, name, unit))
        else:
            np.testing.assert_array_equal(np.ma.getdata(first), np.ma.getdata(second))
            np.testing.assert_array_equal(np.ma.getmaskarray(first), np.ma.getmaskarray(second))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "run", STARS)


@settings(max_examples=8, deadline=None)
@given(size=st.integers(40, 400), places=st.lists(st.integers(0, 299), max_size=20))
def test_judged_stars_are_those_of_the_whole_table(run, size, places):
    whole = conform(read_judged(run))
    blocks = JudgedBlocks(run / JUDGED_FILE, stars_a_block=size)
    assert len(blocks) == len(whole)
    first = 0
    for block in blocks:
        assert_equal_tables(conform(block), whole[first : first + size])
        first += len(block)
    assert first == len(whole)
    places = np.array(places, dtype=np.int64)
    assert_equal_tables(conform(blocks.rows(places)), whole[places])


def test_a_table_without_stars_has_one_block_without_stars(tmp_path):
    (block,) = judged_blocks(write_run(tmp_path / "run", STARS[:0]))
    assert (len(block), len(block.colnames)) == (0, len(COLUMNS))


def test_columns_that_an_earlier_version_did_not_write_are_unknown(tmp_path):
    run = write_run(tmp_path / "run", STARS)
    whole = read_judged(run)
    whole.remove_columns(["post_contact", "remark", "bona_fide", "contact_rank"])
    whole.write(run / JUDGED_FILE, overwrite=True)
    names = ["id", "post_contact", "remark", "bona_fide", "contact_rank"]
    (block,) = judged_blocks(run).columns(names)
    assert_equal_tables(block, conform(read_judged(run))[names])


@given(cut=st.integers(0, 60_000))
@settings(max_examples=10, deadline=None)
def test_a_damaged_table_is_refused(run, tmp_path_factory, cut):
    content = (run / JUDGED_FILE).read_bytes()
    path = tmp_path_factory.mktemp("cut") / JUDGED_FILE
    path.write_bytes(content[:cut])
    with pytest.raises(OutputError, match=r"judged\.fits cannot be read: run the selection again with --overwrite"):
        list(JudgedBlocks(path))


def test_a_table_of_another_kind_is_refused(tmp_path):
    run = write_run(tmp_path / "run", STARS)
    whole = read_judged(run)
    whole["several"] = np.zeros((len(whole), 2))
    whole.write(run / JUDGED_FILE, overwrite=True)
    with pytest.raises(OutputError, match="cannot be read"):
        judged_blocks(run)


def test_stars_are_found_by_name_in_any_block(run):
    blocks = JudgedBlocks(run / JUDGED_FILE, stars_a_block=64)
    names = [str(name) for name in label_column(STARS, "id")]
    asked = [names[250].lower(), f" {names[3]} ", names[250]]
    assert star_rows(blocks, asked, run=run).tolist() == [250, 3]
    with pytest.raises(UnknownStarError, match=r"is not in the run .*; the nearest names are OGLE"):
        star_rows(blocks, [names[0], names[1][:-1]], run=run)
    assert f"{names[7]}   " in explain_star(run, names[7].lower())[0]


@pytest.mark.parametrize("size", [17, 200])
def test_tables_do_not_depend_on_the_blocks(size):
    blocks = split(STARS, size)
    assert_equal_tables(tabulate_cutflow(blocks, CUTS), tabulate_cutflow(STARS, CUTS))
    assert_equal_tables(compare_choices(blocks), compare_choices(STARS))
    assert count_flags(blocks) == count_flags(STARS)
    assert count_labels(blocks, "light_curve_class") == count_labels(STARS, "light_curve_class")
    assert count_labels(STARS, "galaxy").total() == len(STARS)
    relations = all_relations(blocks, CUTS)
    assert relations == all_relations(STARS, CUTS)
    assert [relation.mode for relation in relations] == ["derived", "refit"]
    assert_equal_tables(tabulate_residuals(blocks, relations, CUTS), tabulate_residuals(STARS, relations, CUTS))


def test_one_pass_counts_and_gathers():
    counts, sample = CutflowCounts(CUTS), RelationSample(CUTS)
    for block in split(STARS, 90):
        counts.add(block)
        sample.add(block)
    assert_equal_tables(counts.table(), tabulate_cutflow(STARS, CUTS))
    relations = all_relations(sample, CUTS)
    assert_equal_tables(tabulate_residuals(sample, relations, CUTS), tabulate_residuals(STARS, relations, CUTS))


def test_counts_of_no_star():
    flow = CutflowCounts(CUTS).table()
    assert list(flow["cut"]) == [cut.name for cut in CUTS.cuts]
    assert not flow["n_in"].any()
    assert np.all(tabulate_residuals(RelationSample(CUTS), all_relations([], CUTS), CUTS)["n_stars"] == 0)


def test_a_relation_that_is_given_asks_no_star():
    def unread():
        msg = "a block was read"
        raise AssertionError(msg)
        yield

    given_one = CUTS.plc.model_copy(update={"mode": "coefficients", "a": -3.0, "b": 10.0, "c": 0.0})
    for plc in (PLCSettings(), given_one):
        cuts = CUTS.model_copy(update={"plc": CUTS.plc.model_copy(update=plc.model_dump())})
        assert resolve_relation(unread(), cuts).mode == plc.mode
    refit = CUTS.model_copy(update={"plc": CUTS.plc.model_copy(update={"mode": "refit"})})
    assert resolve_relation(split(STARS, 50), refit) == resolve_relation(STARS, refit)
    with pytest.raises(RelationError, match="found"):
        resolve_relation(split(STARS[:5], 2), refit)


def test_columns_of_a_disk_are_read_alone():
    stored = StarBlocks()
    for block in split(STARS, 120):
        stored.append(block)
    assert [block.colnames for block in columns_of(stored, ["id", "M_V"])] == [["id", "M_V"]] * 3
    assert list(blocks_of(STARS)) == [STARS]
    bright = rows_of(stored, ["id", "M_V"], lambda block: values(block, "M_V", "mag") < -3.0)
    assert_equal_tables(bright, STARS[values(STARS, "M_V", "mag") < -3.0]["id", "M_V"])
    known = floats_of(stored, "c", where=lambda block: values(block, "M_V", "mag") < -3.0, needs=["M_V"])
    expected = values(STARS, "c")[values(STARS, "M_V", "mag") < -3.0]
    np.testing.assert_array_equal(known, expected[~np.isnan(expected)])


class Unstacked(SimpleNamespace):
    """A selection whose stars and candidates are not to be read at once."""

    @property
    def stars(self):
        msg = "all stars were read"
        raise AssertionError(msg)

    @property
    def candidates(self):
        msg = "all candidates were read"
        raise AssertionError(msg)


def selection_of(stars, size):
    resolved = load_settings()
    report = resolved.report.model_copy(update={"atlas_max": 0, "sheets_max": 0})
    population = SimpleNamespace(counted={"contact": Blob(), "near_contact": Blob()}, known=True)
    ranker = SimpleNamespace(population=population, record=lambda: {"stars": 0})
    clouds = []
    for galaxy in ("LMC", "SMC"):
        mine = stars[label_column(stars, "galaxy") == galaxy]
        relation = resolve_relation(mine, CUTS)
        clouds.append(
            Unstacked(
                galaxy=galaxy, blocks=split(mine, size), cutflow=tabulate_cutflow(mine, CUTS), relation=relation,
                residuals=tabulate_residuals(mine, [relation], CUTS), set_aside=[], counts={"stars": len(mine)},
                release="made for a test", light_curves=None, ranker=ranker, notes=[], inputs=[],
            )
        )  # fmt: skip
    return Unstacked(
        survey="mock", archive=SimpleNamespace(is_local=False, location="nowhere"), clouds=clouds,
        blocks=split(stars, size), ranked=CandidateBlocks(split(stars, size)),
        settings=resolved.model_copy(update={"report": report}), tables=[], calibration=None, notes=[],
    )  # fmt: skip


def test_products_do_not_depend_on_the_blocks(tmp_path):
    lines = []
    for size in (300, 37):
        selection = selection_of(STARS, size)
        folder = tmp_path / str(size)
        folder.mkdir()
        write_products(folder, selection, command="cbminer select")
        lines.append(list(summary_lines(selection)))
    assert lines[0] == lines[1]
    assert len(cutflow_of_run(selection)) == 2 * len(CUTS.cuts)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(names) > 20
    for name in names:
        assert (tmp_path / "300" / name).read_bytes() == (folder / name).read_bytes(), name


def test_a_long_list_is_cut_and_says_so(tmp_path):
    short = load_settings().report.model_copy(update={"table_max": 12})
    run = write_run(tmp_path / "run", table_of(30), report=short)
    report = gather_report(run, stores={}, populations={})
    assert report.n_listed == 12
    assert np.asarray(report.listed["rank"]).tolist() == list(range(1, 13))
    # The others stay in the diagrams, and no star is there twice.
    assert len(set(report.stars["id"])) == len(report.stars) == 30
    (note,) = [note for note in report.notes if "table_max" in note]
    assert "12 first of 30" in note
    assert "other 18 are in candidates.ecsv" in note
    more = gather_report(run, stores={}, populations={}, most=20)
    assert more.n_listed == 20
    assert not any("table_max" in note for note in more.notes)
