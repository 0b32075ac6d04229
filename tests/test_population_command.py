"""The command population: what it writes, says and refuses; its figures."""

import json

import numpy as np
import pytest
from astropy.table import QTable
from population_grids import make_grid, places_of

from cbminer.cli import main
from cbminer.report import population_products
from cbminer.report.population_figures import density_figure, mass_ratio_figure, period_figure
from cbminer.report.population_products import report_population, typical_errors
from cbminer.resources import known_massive_contact_binaries
from cbminer.settings import load_settings
from cbminer.theory.grid import write_grid
from cbminer.theory.pair_colours import ColourSettings
from cbminer.theory.phases import Phase
from cbminer.theory.population import make_population
from cbminer.theory.population_settings import CountSettings, PopulationSettings
from cbminer.theory.population_stars import known_stars

PLACES = places_of(np.geomspace(5, 24, 5), np.linspace(0.6, 1, 3), np.geomspace(0.7, 2, 5))


@pytest.fixture(scope="module")
def grid_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grids") / "small"
    write_grid(make_grid(PLACES, contact=3e6), folder)
    return folder


@pytest.fixture(scope="module")
def report():
    settings = PopulationSettings(counts=CountSettings(draws=20))
    return report_population(make_population(make_grid(PLACES), settings=settings), seed=1)


def test_a_population_is_tables_figures_and_a_provenance(grid_folder, tmp_path, capsys):
    out = tmp_path / "population"
    command = ["population", "--galaxy", "SMC", "--grid", str(grid_folder), "--out", str(out), "--seed", "3"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "SMC: 75 runs, regular in primary mass, q and log P, 5 x 3 x 5" in said
    assert "0.05 solar masses a year" in said
    assert "the grid states no errors of its models" in said
    numbers = QTable.read(out / "numbers.ecsv")
    expected = make_population(make_grid(PLACES, contact=3e6), "SMC").number(Phase.CONTACT)
    assert numbers["number"][0] == pytest.approx(expected)
    assert f"{expected:.3g}" in said
    assert numbers.meta["galaxy"] == "SMC"
    summary = QTable.read(out / "summary.ecsv")
    assert summary.colnames == ["what", "contact", "near_contact"]
    table = QTable.read(out / "period_mass_ratio.ecsv")
    assert table["period_low"].unit == "d"
    assert table["number"][table["phase"] == "contact"].sum() == pytest.approx(expected, rel=1e-4)
    for name in ("densities", "periods", "mass_ratios"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (out / f"{name}.pdf").is_file()
    provenance = json.loads((out / "provenance.json").read_text(), parse_constant=pytest.fail)
    assert provenance["inputs"][0]["n_files"] == 2
    assert provenance["seed"] == 3
    assert provenance["settings"]["population"]["star_formation"]["rate_SMC"] == 0.05


def test_settings_reach_the_population_and_a_wrong_one_is_named(grid_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(population_products, "save_figure", lambda *_: [])
    file = tmp_path / "my.toml"
    file.write_text("[population.star_formation]\nrate_LMC = 2.0\n[population.counts]\ndraws = 20\n")
    out = ["--grid", str(grid_folder), "--out", str(tmp_path / "p"), "--overwrite"]
    assert main(["population", "--galaxy", "LMC", "--settings", str(file), *out]) == 0
    assert "2 solar masses a year" in capsys.readouterr().out
    file.write_text("[population.periods]\nleast = 4.0\n")
    assert main(["population", "--galaxy", "LMC", "--settings", str(file), *out]) == 2
    assert "population.periods: extended_to, least and most must rise" in capsys.readouterr().err


def test_what_is_no_grid_and_a_folder_that_is_taken_are_refused(grid_folder, tmp_path, capsys):
    assert main(["population", "--galaxy", "LMC", "--grid", str(tmp_path), "--out", str(tmp_path / "p")]) == 1
    assert "is no grid" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    taken = ["--grid", str(grid_folder), "--out", str(tmp_path / "taken"), "--overwrite"]
    assert main(["population", "--galaxy", "LMC", *taken]) == 1
    assert "left alone" in capsys.readouterr().err
    assert (tmp_path / "taken" / "notes.txt").read_text() == "mine"


def test_figures_have_magnitudes_upside_down_units_and_the_known_systems(report):
    known = known_massive_contact_binaries()
    stars = known_stars(known, colours=ColourSettings())
    figure = density_figure(report.densities, stars, title="models", e_M_V=0.1, e_VI0=0.05)
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == ["contact", "near contact", "", ""]
    for axes in figure.axes:
        bottom, top = axes.get_ylim()
        assert bottom > top
        shown = np.vstack(
            [item.get_offsets().filled(np.nan) for item in axes.collections if len(item.get_offsets()) > 1]
        )
        assert np.nanmin(shown[:, 1]) > top
    assert "mag" in figure.axes[0].get_ylabel()
    assert "mag" in figure.axes[2].get_xlabel()
    periods = period_figure(report.maps, known, title="models", period_max=3.0)
    labels = periods.axes[0].get_legend_handles_labels()[1]
    assert any("limit of the selection, 3 d" in label for label in labels)
    ratios = mass_ratio_figure(report.maps, known, title="models")
    assert [axes.get_xlabel() for axes in ratios.axes[:2]] == ["P [d]", "P [d]"]


def test_known_systems_lie_where_their_parameters_put_them():
    known = known_massive_contact_binaries()
    stars = known_stars(known, colours=ColourSettings())
    place = list(stars.name).index("VFTS352")
    # Two O stars of 41 kK and 7.2 solar radii: M_bol = -8.6, BC_V = -3.8.
    assert stars.M_V[place] == pytest.approx(-5.1, abs=0.25)
    assert stars.in_clouds[place]
    assert stars.log_P[place] == pytest.approx(np.log10(1.124), abs=1e-3)
    # Radii of one system are not known.
    assert np.isnan(stars.M_V[list(stars.name).index("SSN 7")])


def test_typical_errors_are_those_of_a_star_of_mean_reddening():
    settings = load_settings()
    assert typical_errors(settings, "LMC") == pytest.approx((0.1156, 0.0590), abs=2e-4)
    # The depth of the SMC and its smaller scatter of reddening.
    assert typical_errors(settings, "SMC")[1] == pytest.approx((0.035**2 + 0.02**2 + 0.025**2) ** 0.5)


def run_command(grid, folder, capsys, settings="", galaxy="LMC"):
    write_grid(grid, folder / "grid")
    (folder / "my.toml").write_text(f"[population.counts]\ndraws = 20\n{settings}")
    out = folder / "p"
    command = ["population", "--galaxy", galaxy, "--grid", str(folder / "grid"), "--out", str(out)]
    assert main([*command, "--settings", str(folder / "my.toml")]) == 0
    return QTable.read(out / "numbers.ecsv"), {file.name for file in out.iterdir()}, capsys.readouterr().out


def empty_case(case):
    """A grid without a density of one phase or both, settings, the phases that are left, and why."""
    grid = make_grid(PLACES)
    if case == "none in the grid":
        return make_grid(PLACES, near=0.0), "", ["contact"], "no model of the grid is in this phase"
    if case == "none within the limits":
        return grid, 'M_V_faint = "-6.4 mag"\n', [], r"is within the limits of [population.counts]"
    if case == "none counts":
        end = ["Roche-lobe overflow at ZAMS"] * len(PLACES)
        return make_grid(PLACES, end=end), "", [], "all overflow at zero age"
    grid.steps["log_L2"] = np.nan
    return grid, "", [], "no known luminosity, temperature, mass or radius of a star"


@pytest.mark.parametrize("case", ["none in the grid", "none within the limits", "none counts", "no magnitudes"])
def test_an_empty_phase_is_told_and_the_rest_is_written(case, tmp_path, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr(population_products, "save_figure", lambda _, path: drawn.append(path.name))
    grid, settings, left, why = empty_case(case)
    numbers, files, said = run_command(grid, tmp_path, capsys, settings)
    assert {"numbers.ecsv", "summary.ecsv", "period_mass_ratio.ecsv", "provenance.json"} <= files
    told = numbers.meta["no_density"]
    assert set(told) == {"contact", "near_contact"} - set(left)
    assert all(why in reason for reason in told.values())
    assert f"near contact: no density, nor a figure of it: {told['near_contact']}" in said
    assert ("densities" in drawn) == bool(left)
    assert ("periods" in drawn) == (case != "none counts")


def test_a_grid_of_another_metallicity_is_flagged(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(population_products, "save_figure", lambda *_: [])
    numbers, _, said = run_command(make_grid(PLACES, Z=0.0047), tmp_path, capsys, galaxy="SMC")
    assert "Z = 0.0047; WARNING: that of the SMC is 0.0021" in said
    assert numbers.meta["metallicity_differs"] is True
    assert (numbers.meta["Z"], numbers.meta["Z_of_the_Cloud"]) == pytest.approx((0.0047, 0.0021))
    (tmp_path / "other").mkdir()
    numbers, _, said = run_command(make_grid(PLACES, Z=0.0047), tmp_path / "other", capsys)
    assert "WARNING" not in said
    assert numbers.meta["metallicity_differs"] is False
    assert "extrapolated: share of the number born at P < 1.41 d" in said
