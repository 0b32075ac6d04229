"""Fits of a run: the archive is opened again, kept fits are used again, and what is wrong is said."""

import numpy as np
import pytest
from astropy.table import Table
from conftest import ecl_line, ident_line
from fit_tables import SMALL, true_flux

from cbminer import fits as fits_module
from cbminer.cli import main
from cbminer.errors import OutputError, UnknownStarError
from cbminer.fits import fit_run
from cbminer.ranking.fit_model import CONTACT
from cbminer.report.fit_products import describe_fits, write_fits

pytest.importorskip("nautilus")
pytest.importorskip("corner")

STAR, SPARSE = "OGLE-LMC-ECL-00001", "OGLE-LMC-ECL-00002"
PERIOD, EPOCH = 0.9, 2455000.5


def light_curve(n, *, seed, band="I"):
    rng = np.random.default_rng(seed)
    time = np.sort(2455000.0 + 1800.0 * rng.random(n))
    flux = true_flux(CONTACT, (0.9, 78.0, 0.5, 1.0, 0.0, 0.0))["IV".index(band)]
    phase = ((time - EPOCH) / PERIOD) % 1.0
    mag = 16.0 - 2.5 * np.log10(np.interp(phase, np.arange(401) / 400, np.append(flux, flux[0])))
    noisy = mag + 0.03 * rng.normal(size=n)
    return "".join(f"{t:13.5f} {m:6.3f} {0.03:5.3f}\n" for t, m in zip(time, noisy, strict=True))


@pytest.fixture
def run(write_archive, tmp_path, capsys):
    folder = write_archive([ident_line(STAR), ident_line(SPARSE)], [ecl_line(STAR), ecl_line(SPARSE)])
    for band, n in (("I", 300), ("V", 40)):
        (folder / "phot" / band).mkdir(parents=True)
        (folder / "phot" / band / f"{STAR}.dat").write_text(light_curve(n, seed=n, band=band))
    (folder / "phot" / "I" / f"{SPARSE}.dat").write_text(light_curve(45, seed=3))
    out = tmp_path / "run"
    archive = str(folder.parents[1])
    assert main(["select", "--galaxy", "LMC", "--archive", archive, "--out", str(out), "--jobs", "1"]) == 0
    capsys.readouterr()
    return out


def test_fits_of_a_run(run, tmp_path, monkeypatch):
    options = {"settings": SMALL, "cache": tmp_path / "cache", "seed": 2}
    found = fit_run(run, [STAR, SPARSE.lower()], **options)
    assert (found.fitted, found.reused) == (1, 0)
    assert list(found.left_out) == [SPARSE]
    assert "45 points in I, a fit needs 60" in found.left_out[SPARSE]
    (fit,) = found.fits
    assert sorted(fit.curves.bands) == ["I", "V"]
    assert abs(fit.contact.interval("inclination")[1] - 78.0) < 6.0
    write_fits(found)
    table = Table.read(run / "fits" / "fits.ecsv")
    assert [str(star) for star in Table.read(run / "fits" / "fits.fits")["id"].astype(str)] == [STAR]
    assert table["id"].tolist() == [STAR]
    assert table["contact_inclination"].unit == "deg"
    assert table["ln_bayes_contact"][0] == pytest.approx(fit.ln_bayes_contact, rel=1e-3)
    assert Table.read(run / "fits" / "left_out.ecsv")["id"].tolist() == [SPARSE]
    drawn = {path.name for path in (run / "fits" / "figures").iterdir()}
    assert drawn == {f"{STAR}_{end}" for end in ("contact.png", "near_contact.png", "fit.png", "fit.pdf")}
    assert any(line.startswith(f"{STAR}: ln B = ") for line in describe_fits(found))
    # What is kept is used again, unless the settings are others.
    monkeypatch.setattr(fits_module, "fit_star", None)
    again = fit_run(run, [STAR], **options)
    assert (again.fitted, again.reused) == (0, 1)
    assert again.fits[0].ln_bayes_contact == fit.ln_bayes_contact
    with pytest.raises(TypeError):
        fit_run(run, [STAR], **(options | {"seed": 3}))
    with pytest.raises(TypeError):
        fit_run(run, [STAR], overwrite=True, **options)


def test_wrong_requests(run, tmp_path):
    options = {"settings": SMALL, "cache": tmp_path / "cache"}
    with pytest.raises(UnknownStarError, match=r"ECL-00003 is not in the run .*; the nearest names are OGLE-LMC-ECL"):
        fit_run(run, ["OGLE-LMC-ECL-00003"], **options)
    with pytest.raises(UnknownStarError, match="there is no run"):
        fit_run(tmp_path / "nowhere", **options)
    with pytest.raises(OutputError, match="not the output of a run"):
        fit_run(tmp_path, **options)
    judged = Table.read(run / "judged.fits")
    judged["rank"] = np.zeros(len(judged), dtype=int)
    judged.write(run / "judged.fits", overwrite=True)
    with pytest.raises(OutputError, match="has a rank"):
        fit_run(run, **options)
