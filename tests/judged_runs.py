"""Output folders of small runs, judged by the real cuts, without light curves."""

from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.catalogue.schema import conform, round_columns
from cbminer.catalogue.writers import CatalogueTitle, write_catalogue
from cbminer.columns import float_column
from cbminer.completeness.rejudging import plain_stars, with_plc_columns
from cbminer.photometry.magnitudes import ExtinctionSettings, add_intrinsic_photometry
from cbminer.provenance import Provenance, write_provenance
from cbminer.selection.cutflow import SelectionSettings, judge
from cbminer.settings import load_settings

ERRORS = {
    "e_period": 1e-6, "e_depth1": 0.003, "e_depth2": 0.003, "e_depth_difference": 0.004, "e_W": 0.001, "e_c": 0.01,
    "e_asymmetry": 0.005, "e_phase_secondary": 0.001,
}  # fmt: skip
SHAPE = {
    "depth1": 0.4, "depth2": 0.39, "depth_difference": 0.01, "W": 0.02, "c": 0.85, "asymmetry": 0.02,
    "phase_secondary": 0.5, "excess_scatter": 0.01,
}  # fmt: skip
UNITS = {"period": "d", "depth1": "mag", "depth2": "mag", "depth_difference": "mag"}


def table_of(n, *, galaxy="LMC", settings=None, period=1.0, M_V=-3.0, off=0.0, e_E_VI=0.0, **columns):
    """Judged stars on the relation, all of them candidates unless a column says otherwise; no reddening."""
    period, M_V, off = (np.broadcast_to(np.asarray(x, float), n) for x in (period, M_V, off))
    galaxy = np.broadcast_to(galaxy, n)
    modulus = np.where(galaxy == "LMC", 18.477, 18.977)
    colour = (M_V - off + 0.05 + 3.61 * np.log10(period)) / 11.65
    stars = QTable({"id": [f"OGLE-{g}-ECL-{i:05d}" for i, g in enumerate(galaxy, start=1)], "galaxy": galaxy})
    stars["type"], stars["survey"] = np.full(n, "C"), np.full(n, "ogle")
    stars["flags"] = np.zeros(n, dtype=int)
    numbers = {
        "RAJ2000": (80.0 + 0.01 * np.arange(n), "deg"), "DEJ2000": (np.full(n, -69.0), "deg"),
        "V_mag": (M_V + modulus, "mag"), "I_mag": (M_V + modulus - colour, "mag"), "E_VI": (np.zeros(n), "mag"),
        "e_E_VI": (np.full(n, e_E_VI), "mag"), "distance_modulus": (modulus, "mag"),
        "e_distance_modulus": (np.full(n, 0.024), "mag"), "period": (period, "d"),
    }  # fmt: skip
    numbers |= {name: (np.full(n, value), UNITS.get(name, "")) for name, value in SHAPE.items()}
    numbers |= {name: (np.full(n, value), UNITS.get(name[2:], "")) for name, value in ERRORS.items()}
    for name, data in columns.items():
        numbers[name] = (np.broadcast_to(np.asarray(data, float), n), numbers.get(name, (None, "mag"))[1])
    for name, (data, unit) in numbers.items():
        stars[name] = float_column(data, unit)
    stars = round_columns(add_intrinsic_photometry(stars, ExtinctionSettings()))
    return judged(conform(stars), settings or SelectionSettings())


def on_relation(stars, settings):
    """Put the residuals about the relation of the settings into a copy."""
    plain, result = with_plc_columns(plain_stars(stars), settings), stars.copy()
    for name, unit in (("plc_residual", "mag"), ("e_plc_residual", "mag"), ("plc_significance", "")):
        result[name] = float_column(plain[name], unit)
    return result


def judged(stars, settings):
    """Judge stars by the real cuts, ranked in their order."""
    stars = on_relation(stars, settings)
    plain = plain_stars(stars)
    result = judge(stars, settings)
    chosen = np.asarray(result["selected"])
    result["rank"] = np.where(chosen, np.cumsum(chosen), 0)
    labels = np.where(plain["M_V"] < settings.main_sequence.O_star_M_V, "O", "B")
    result["spectral_label"] = np.where(settings.main_sequence.apply(plain).passed, labels, "")
    result = conform(result)
    # No ranking has been made of these stars.
    result.remove_column("bona_fide")
    return result


def random_table(n=300, *, seed=1, settings=None, **columns):
    """Stars about the limits of every cut."""
    rng = np.random.default_rng(seed)
    drawn = {
        "galaxy": rng.choice(["LMC", "SMC"], n),
        "period": 10.0 ** rng.normal(0.1, 0.25, n),
        "M_V": rng.normal(-2.0, 1.2, n),
        "off": rng.normal(0.0, 0.8, n),
        "depth1": rng.uniform(0.02, 1.3, n),
        "depth_difference": np.abs(rng.normal(0.0, 0.05, n)),
        "W": rng.normal(0.005, 0.01, n),
        "c": rng.normal(0.78, 0.06, n),
        "asymmetry": np.abs(rng.normal(0.0, 0.06, n)),
        "phase_secondary": rng.normal(0.5, 0.005, n),
        "excess_scatter": np.abs(rng.normal(0.0, 0.08, n)),
        "e_E_VI": 0.04,
        "e_asymmetry": rng.uniform(0.005, 0.06, n),
        "e_phase_secondary": rng.uniform(0.0005, 0.006, n),
        "e_depth_difference": rng.uniform(0.002, 0.02, n),
    }
    drawn["c"][rng.random(n) < 0.1] = np.nan
    drawn["W"][rng.random(n) < 0.05] = np.nan
    drawn["depth2"] = drawn["depth1"] - drawn["depth_difference"]
    return table_of(n, settings=settings, **(drawn | columns))


def write_run(folder: Path, stars, *, settings=None, survey="ogle", galaxies=("LMC", "SMC"), **sections):
    """Write the products of a run that a later command reads, and a catalogue in every format."""
    folder.mkdir(parents=True, exist_ok=True)
    title = CatalogueTitle("Judged stars", survey, "made for a test", "0")
    write_catalogue(conform(stars), folder, "judged", title=title)
    resolved = load_settings()
    if settings is not None:
        resolved = resolved.model_copy(update={"selection": settings})
    resolved = resolved.model_copy(update=sections)
    write_provenance(
        folder,
        Provenance(
            "cbminer select", survey, "nowhere", list(galaxies), dict.fromkeys(galaxies, "a release"),
            resolved.model_dump(mode="json"), 5, {}, {}, [],
        ),
    )  # fmt: skip
    return folder
