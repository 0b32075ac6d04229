"""References: the file is sound, every entry belongs to something that can be used, and a run cites what it used."""

import json
import re
import shutil
from dataclasses import replace

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from population_grids import make_grid, places_of

from cbminer.citation import REFERENCES_FILE, parse_bibtex, references
from cbminer.citation_rules import ACKNOWLEDGEMENTS, RULES, acknowledged, citation_lines, cited
from cbminer.citation_usage import Usage, usage_of_run
from cbminer.classifier.recipe import Method
from cbminer.cli import main
from cbminer.errors import InputFormatError, OutputError
from cbminer.judged import JUDGED_FILE
from cbminer.provenance import Provenance, write_provenance
from cbminer.settings import load_settings
from cbminer.survey.table_settings import preset_names
from cbminer.theory.grid import write_grid

STANDARD = {
    "model": "standard",
    "sha256": json.loads((ROOT / "grids" / "classifier" / "standard.json").read_text())["sha256"],
    "variant": "standard",
    "version": "standard of a test",
}
FOUR = "  author = {A},\n  title = {B},\n  year = {2000},\n"


def keys(usage):
    return [reference.key for reference, _ in cited(usage)]


def run_of(folder, *, change=None, **provenance):
    """Output folder of a run, as far as it tells what was used."""
    folder.mkdir()
    (folder / JUDGED_FILE).touch()
    content = {
        "command": "cbminer select", "survey": "ogle", "archive": "nowhere", "galaxies": ["LMC"], "inputs": [],
        "releases": {"LMC": "a release"}, "seed": 5, "relations": {}, "counts": {}, "ranking": {"LMC": {"stars": 2}},
        "settings": load_settings().model_dump(mode="json"), "classifier": STANDARD,
    }  # fmt: skip
    for name, value in (change or {}).items():
        inner = content["settings"]
        *parts, last = name.split(".")
        for part in parts:
            inner = inner[part]
        inner[last] = value
    write_provenance(folder, Provenance(**(content | provenance)))
    return folder


def measured_of(folder, *, preset, survey="x", change=None):
    """Output folder of the command measure."""
    change = {"table.preset": preset} | (change or {})
    return run_of(folder, change=change, survey=survey, galaxies=[], releases={}, ranking=None)


# The file


def test_the_file_is_sound():
    text = REFERENCES_FILE.read_text()
    assert text.isascii()
    found = parse_bibtex(text, name="citations.bib")
    assert len(found) == text.count("\n@") > 50
    for reference in found.values():
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]+", reference.key)
        assert re.fullmatch(r"1[89]\d\d|20[0-2]\d", reference.fields["year"])
        assert ("eprint" in reference.fields) == ("archiveprefix" in reference.fields)
        assert re.fullmatch(r"10\.\d{4,5}/\S+", reference.fields.get("doi", "10.1000/x"))
        assert re.fullmatch(r"\d{4}\.\d{4,5}|astro-ph/\d{7}", reference.fields.get("eprint", "2000.00000"))
        assert not set("#$_^~") & set(re.sub(r"\\[\^~]", "", reference.fields.get("title", "")))
        assert "@" not in reference.to_bibtex()[1:]
        assert parse_bibtex(reference.to_bibtex() + "\n", name="x") == {reference.key: reference}
        assert not set(reference.to_text()) & set("{}\\")


def test_every_key_is_known_and_every_entry_used():
    used = [key for rule in RULES for key in rule.keys]
    assert len(used) == len(set(used))
    assert set(used) == set(references())


def test_the_program_is_cited_as_its_own_file_says():
    own, text = references()["cbminer"], (ROOT / "CITATION.cff").read_text()
    assert f'title: "{own.fields["title"]}"' in text
    assert f'name: "{own.fields["author"].strip("{}")}"' in text
    assert f'date-released: "{own.fields["year"]}-' in text
    assert f"version: {own.fields['version']}" in text
    method = references()["Menon2026"].fields
    assert all(f"family-names: {name}" in text for name in method["author"].split(" and "))
    assert re.sub(r"[{}]", "", method["title"]) in text


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("Matijevic2012", "Matijevič et al. 2012, The Astronomical Journal, 143, 123"),
        (
            "Glowacki2025",
            "Głowacki et al. 2025, Over 75 000 Eclipsing Binaries in the Magellanic Clouds, release of the OGLE",
        ),
        ("Bodi2021", "Bódi & Hajdu 2021, The Astrophysical Journal Supplement Series, 255, 1, arXiv:2106.01039"),
        (
            "Hurley2000",
            "Hurley, Pols & Tout 2000, Monthly Notices of the Royal Astronomical Society, 315, 543, doi:10.1046/",
        ),
        ("VonZeipel1924", "von Zeipel 1924,"),
        (
            "Gaia2023",
            "Gaia Collaboration et al. 2023, Astronomy & Astrophysics, 674, A1, doi:10.1051/0004-6361/202243940",
        ),
        (
            "cbminer",
            "cbminer developers 2026, cbminer: mining photometric surveys for massive contact binaries, version ",
        ),
    ],
)
def test_lines(key, expected):
    assert references()[key].to_text().startswith(expected)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (f"@misc{{a,\n{FOUR}}}\n@misc{{a,\n{FOUR}}}\n", "the key a stands there twice: rename one"),
        ("@misc{a,\n  author = {A},\n  year = {2000},\n}\n", "the entry a has no title: add it"),
        (f"@article{{a,\n{FOUR}}}\n", "the entry a has no journal"),
        (f"@misc{{a,\n{FOUR}  note = {{B}} }} {{}},\n}}\n", "braces that do not match"),
        (f"@misc{{a,\n{FOUR}{FOUR}}}\n", "a field twice"),
        (f"@misc{{a,\n{FOUR}\n", "'@misc{a,.* is no BibTeX entry with a line a field"),
        (f"words\n@misc{{a,\n{FOUR}}}\n", "'words' is no BibTeX entry"),
        (f"@misc{{a b,\n{FOUR}}}\n", "is no BibTeX entry"),
    ],
)
def test_unsound_bibtex(text, match):
    with pytest.raises(InputFormatError, match=match):
        parse_bibtex(text, name="a.bib")


@settings(max_examples=100)
@given(data=st.data())
def test_damaged_bibtex_is_read_or_refused(data):
    whole = REFERENCES_FILE.read_text()[:1500]
    start = data.draw(st.integers(0, len(whole)))
    end = start + data.draw(st.integers(0, 30))
    text = whole[:start] + data.draw(st.text(st.sampled_from("@{}\n,=%a \\"), max_size=6)) + whole[end:]
    try:
        found = list(parse_bibtex(text, name="a.bib").values())
    except InputFormatError:
        found = []
    assert all(parse_bibtex(item.to_bibtex() + "\n", name="b") for item in found)


# Runs


def test_an_observed_run(tmp_path):
    usage = usage_of_run(run_of(tmp_path / "run", releases={"LMC": "OGLE-IV, Pawlak et al. 2016"}))
    found = keys(usage)
    assert found[:2] == ["Menon2026", "cbminer"]
    for key in ("Udalski2015", "Pawlak2016", "Pietrzynski2019", "Skowron2021", "Wu2023", "Hurley2000", "Garrison2024"):
        assert key in found
    for key in ("Glowacki2025", "Graczyk2020", "Ochsenbein2000", "Lange2023", "Prsa2016", "Gaia2023", "Vargas2024"):
        assert key not in found
    assert usage.remarks == ()
    assert [item.service for item in acknowledged(usage)] == ["OGLE"]


def test_a_simulated_run_says_that_nothing_was_observed(tmp_path):
    usage = usage_of_run(run_of(tmp_path / "run", survey="mock", releases={"LMC": "simulated"}))
    assert not {"Udalski2015", "Pawlak2016", "Glowacki2025", "Ochsenbein2000"} & set(keys(usage))
    assert any("SIMULATED: nothing observed was used" in remark for remark in usage.remarks)
    assert acknowledged(usage) == []


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("OGLE-IV, later than Pawlak et al. 2016 (Glowacki et al. 2025 or after)", {"Pawlak2016", "Glowacki2025"}),
        ("OGLE-III, Graczyk et al. 2011", {"Graczyk2011"}),
        ("OGLE-III, Pawlak et al. 2013", {"Pawlak2013"}),
        ("not recognised", {"Pawlak2016", "Glowacki2025"}),
    ],
)
def test_releases(tmp_path, release, expected):
    usage = usage_of_run(run_of(tmp_path / "run", releases={"LMC": release}))
    assert {"Pawlak2016", "Glowacki2025", "Graczyk2011", "Pawlak2013"} & set(keys(usage)) == expected
    assert any("cite the one that you mined" in remark for remark in usage.remarks) == (release == "not recognised")


def test_the_user_is_told_what_only_the_user_knows(tmp_path):
    change = {
        "reddening.map": "maps/mine.csv", "morphology_table.table": "c.ecsv", "selection.plc.mode": "coefficients",
        "cloud.LMC.distance.distance_modulus": "18.5 mag", "ranking.grid": str(tmp_path / "absent"),
    }  # fmt: skip
    usage = usage_of_run(
        run_of(tmp_path / "run", change=change, survey="ASAS-SN", classifier=STANDARD | {"sha256": "0"})
    )
    text = "\n".join(citation_lines(usage, bibtex=False))
    for words in (
        "the stars are of ASAS-SN: cite that survey", "map mine.csv: cite its source", "c is of c.ecsv",
        "coefficients of the period-luminosity-colour relation were given", "modulus of the LMC is 18.5 mag",
        "grid absent: cite its source; it could not be read", "standard of a test has no card here",
    ):  # fmt: skip
        assert words in text
    assert not {"Hurley2000", "Wu2023", "PecautMamajek2013", "Udalski2015"} & set(keys(usage))


SELECTION = {
    "Skowron2021", "Pawlak2016PLC", "Pietrzynski2019", "Graczyk2020", "PecautMamajek2013", "LanzHubeny2007",
    "Kroupa2001", "Hurley2000", "Udalski2015", "Ochsenbein2000", "VanDerMarel2001",
}  # fmt: skip


@pytest.mark.parametrize(
    ("preset", "survey", "expected"),
    [
        ("gaia", "Gaia DR3", {"Gaia2016", "Gaia2023", "Eyer2023"}),
        ("gaia-raw", "Gaia DR3", {"Gaia2016", "Gaia2023", "Eyer2023"}),
        ("asas-sn", "ASAS-SN", {"Shappee2014", "Hart2023"}),
        ("ztf", "ZTF", {"Bellm2019", "Masci2019"}),
        ("ztf-alerce", "ZTF alerts", {"Bellm2019", "Masci2019", "Forster2021"}),
        ("rubin", "Rubin DP1", {"Ivezic2019"}),
        ("rubin-nested", "Rubin", {"Ivezic2019"}),
        ("", "mine", set()),
    ],
)
def test_measured_tables_cite_their_survey_and_nothing_of_a_selection(preset, survey, expected, tmp_path):
    change = {"morphology_table.table": "vizier", "population.colours.source": "pecaut-mamajek"}
    usage = usage_of_run(measured_of(tmp_path / "out", preset=preset, survey=survey, change=change))
    found = set(keys(usage))
    assert expected <= found
    assert not found & SELECTION
    assert {"Bodi2021", "Palmer2009", "Wu2023"} <= found
    assert [item.service for item in acknowledged(usage)] == (["Gaia"] if "gaia" in preset else [])
    (remark,) = usage.remarks
    assert survey in remark
    assert ("acknowledge" in remark) == bool(preset)
    simulated = usage_of_run(measured_of(tmp_path / "mock", preset=preset, survey="mock"))
    assert not expected & set(keys(simulated))


def test_every_preset_of_a_table_has_its_references():
    for preset in preset_names():
        usage = Usage(survey="x", settings={"table": {"preset": preset}})
        assert len(keys(usage)) > len(keys(Usage(survey="x"))), preset


def test_what_the_user_gave_is_not_cited_as_the_package_s(tmp_path):
    change = {"cloud.LMC.distance.distance_modulus": "18.5 mag", "selection.plc.mode": "coefficients"}
    found = keys(usage_of_run(run_of(tmp_path / "run", change=change, galaxies=["LMC", "SMC"])))
    assert not {"Pietrzynski2019", "Pawlak2016PLC", "PecautMamajek2013", "LanzHubeny2007"} & set(found)
    assert "Graczyk2020" in found


def test_odd_provenance_is_told(tmp_path):
    with pytest.raises(OutputError, match=r"provenance\.json is not as cbminer writes it"):
        usage_of_run(run_of(tmp_path / "run", releases=["LMC"]))


@pytest.mark.parametrize(("code", "fabry"), [("MESA of Fabry et al. 2025", True), ("MESA", False)])
def test_an_imported_grid(tmp_path, code, fabry):
    write_grid(make_grid(places_of([10.0], [0.9], [1.0]), about={"code": code}), tmp_path / "my-grid")
    usage = usage_of_run(run_of(tmp_path / "run", change={"ranking.grid": str(tmp_path / "my-grid")}))
    assert ("Fabry2025" in keys(usage)) == fabry
    assert "Hurley2000" not in keys(usage)
    assert any(remark == "the population is of the grid my-grid: cite its source" for remark in usage.remarks)


def test_later_products(tmp_path):
    run = run_of(tmp_path / "run")
    (run / "fits").mkdir()
    (run / "fits" / "fits.ecsv").write_text("# %ECSV 1.0\n")
    assert {"Lange2023", "ForemanMackey2016"} <= set(keys(usage_of_run(run)))
    assert "Prsa2016" not in keys(usage_of_run(run))
    (run / "fits" / "fits.ecsv").write_text("# contact_phoebe_rms\n")
    (run / "cross_match_gaia.ecsv").write_text("")
    (run / "cross_match_simbad.ecsv").write_text("")
    (run / "completeness").mkdir()
    usage = usage_of_run(run)
    expected = {
        "Prsa2016",
        "Jones2020",
        "Conroy2020",
        "Gaia2016",
        "Mowlavi2023",
        "Wenger2000",
        "Ochsenbein2000",
        "Brown2001",
    }
    assert expected <= set(keys(usage))
    assert [item.service for item in acknowledged(usage)] == ["OGLE", "VizieR", "SIMBAD", "Gaia"]


def test_every_entry_is_reached_by_a_run(tmp_path):
    """No entry is there that no run could ever print, and every method of binarisation has one."""
    variants = [
        {}, {"survey.catalogue": "vizier"}, {"morphology_table.table": "vizier"},
        {"cloud.LMC.distance.geometry": "plane"}, {"population.colours.source": "pecaut-mamajek"},
    ]  # fmt: skip
    releases = [
        "OGLE-IV, Pawlak et al. 2016",
        "Glowacki et al. 2025",
        "OGLE-III, Graczyk et al. 2011",
        "OGLE-III, Pawlak et al. 2013",
    ]
    usages = [
        usage_of_run(run_of(tmp_path / f"{i}-{j}", change=change, releases={"LMC": release}, galaxies=["LMC", "SMC"]))
        for i, change in enumerate(variants)
        for j, release in enumerate(releases[: None if i == 0 else 1])
    ]
    usages += [
        usage_of_run(measured_of(tmp_path / preset, preset=preset))
        for preset in ("gaia", "asas-sn", "ztf-alerce", "rubin", "hats")
    ]
    change = {"table.parallax_column": ["plx"], "parallax.zero_point": "0.017 mas"}
    usages.append(usage_of_run(run_of(tmp_path / "parallaxes", change=change, survey="mine", galaxies=["MW"])))
    usages += [replace(usages[0], network=method) for method in Method.__args__ if method != "float"]
    usages.append(replace(usages[0], products=frozenset({"fits", "phoebe", "completeness", "gaia", "simbad"})))
    assert {key for usage in usages for key in keys(usage)} == set(references())
    plain = set(keys(replace(usages[0], network="")))
    for method in Method.__args__:
        assert (set(keys(replace(usages[0], network=method))) > plain) == (method != "float")
    assert {item.service for usage in usages for item in acknowledged(usage)} == {x.service for x in ACKNOWLEDGEMENTS}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, set()),
        ({"parallax.zero_point": "0.017 mas"}, set()),
        ({"table.parallax_column": ["plx"]}, {"BailerJones2015"}),
        ({"table.parallax_column": ["plx"], "parallax.zero_point": "-0.02 mas"}, {"BailerJones2015", "Lindegren2021"}),
    ],
)
def test_parallaxes_that_were_used_are_cited(change, expected, tmp_path):
    usage = usage_of_run(run_of(tmp_path / "run", change=change, survey="mine", galaxies=["MW"]))
    assert set(keys(usage)) & {"BailerJones2015", "Lindegren2021"} == expected


def test_settings_that_rules_look_at_exist():
    """A setting that was renamed would never apply again, and nobody would notice."""
    usage = Usage(settings=load_settings().model_dump(mode="json"))
    for path in (
        "survey.catalogue", "selection.plc.mode", "population.colours.source", "period_choice.search",
        "cloud.LMC.distance.geometry", "cloud.SMC.distance.distance_modulus", "table.preset",
        "parallax.zero_point",
    ):  # fmt: skip
        assert usage.setting(path) is not None
    for path in ("morphology_table", "reddening", "ranking"):
        assert {"morphology_table": "table", "reddening": "map", "ranking": "grid"}[path] in usage.setting(path)
    assert usage.setting("nothing.of.the.kind") is None


def test_an_older_run_without_odds_or_network(tmp_path):
    usage = usage_of_run(run_of(tmp_path / "run", ranking=None, classifier=None))
    assert not {"Hurley2000", "Kroupa2001", "Guo2017", "Wu2023", "CastelliKurucz2003"} & set(keys(usage))
    assert "Bodi2021" in keys(usage)


# The command


def test_bibtex_of_the_command_is_bibtex(tmp_path, capsys):
    change = {"morphology_table.table": "vizier", "reddening.map": "me@home.csv"}
    run = run_of(tmp_path / "run", change=change)
    assert main(["cite", "--run", str(run)]) == 0
    text = capsys.readouterr().out
    assert list(parse_bibtex(text, name="output")) == keys(usage_of_run(run))
    assert all("@" not in line for line in text.splitlines() if line.startswith("%"))
    assert "map me(at)home.csv" in text
    assert "% VizieR: This research has made use of the VizieR catalogue access tool" in text
    assert "% For the method:\n@article{Menon2026," in text


def test_text_of_the_command(tmp_path, capsys, monkeypatch):
    run = run_of(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    # The only run here is meant.
    assert main(["cite", "--format", "text"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("References of what this run used.")
    assert "  Eggleton 1983, The Astrophysical Journal, 268, 368, doi:10.1086/160960" in text
    assert "@" not in text
    shutil.rmtree(run)
    assert main(["cite", "--format", "text"]) == 0
    everything = capsys.readouterr().out
    assert everything.startswith("References of all that cbminer can use.\nTo be seen to by you: no run was named")
    assert everything.count("\n  ") == len(references())


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["cite", "--run", str(tmp_path)]) == OutputError.exit_status
    assert "is not the output of a run" in capsys.readouterr().err
