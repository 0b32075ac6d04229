"""Fits of injected systems: how often intervals hold the truth, whether contact is preferred, and seconds a fit.

Contact and near-contact binaries of the library's priors are observed as OGLE-IV would (I = 14.5 to 18), and both
models are fitted to each, by the tables of curves; the injected curves come from the engine at twice the resolution.
Every fit is kept, so that the script goes on where it was stopped; ``--check`` prints the results that are there.

Run: python benchmarks/fits.py --n 50
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from cbminer.lightcurves.cleaning import CleaningSettings, clean
from cbminer.lightcurves.folding import fold
from cbminer.ranking.fit_data import FoldedPoints, prepare_curves
from cbminer.ranking.fit_results import fit_record
from cbminer.ranking.fit_settings import FitSettings
from cbminer.ranking.fit_tables import fit_engine, load_tables
from cbminer.ranking.fitting import estimate_teff, fit_star
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve
from cbminer.synthetic.cadence import draw_third_light, sample_light_curve, seasonal_cadence
from cbminer.synthetic.priors import BinaryPriors, draw_binaries
from cbminer.synthetic.roche import half_temperatures
from cbminer.synthetic.sampling import SamplingSettings
from cbminer.theory.colours import pair_photometry

RESULTS = Path(__file__).parent / "results" / "fits.ecsv"
KINDS = ("contact", "near_contact")
# Of the contact binaries so many are deep and bright enough for the claim that contact is preferred.
DEEP_SHARE, DEEP, BRIGHT = 0.84, 0.3, 17.0
LEAST_DEPTH = 0.08
E_VI0 = 0.05


def draw_system(kind: str, number: int, *, n_of_kind: int, seed: int, settings: FitSettings) -> dict[str, Any]:
    """Draw systems until one varies enough, and is deep and bright where that is asked for."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(KINDS.index(kind), number)))
    engine = fit_engine(settings.tables.model_copy(update={"n_bands": 48}))
    sampling = SamplingSettings()
    phases = np.arange(400) / 400
    must_be_deep = kind == "contact" and number < DEEP_SHARE * n_of_kind
    while True:
        draw = draw_binaries(kind, 1, priors=BinaryPriors(), rng=rng)
        flux = engine.light_curves(draw.systems, phases)[0]
        if flux[0, 200] < flux[0, 0]:
            flux = np.roll(flux, 200, axis=-1)
        blend = draw_third_light(sampling, rng)
        i_mag = float(rng.uniform(14.5, BRIGHT if must_be_deep else 18.0))
        for k, band in enumerate("IV"):
            flux[k] /= flux[k].max()
            flux[k] = blend[band] + (1.0 - blend[band]) * flux[k]
        depth = -2.5 * np.log10(flux[0, 0])
        if depth >= (DEEP if must_be_deep else LEAST_DEPTH):
            break
    teff = half_temperatures(draw.systems)[0]
    light = pair_photometry(draw.radius_1, teff[:1], draw.radius_2, teff[1:])
    colour = float(light.VI0[0])

    def relative_magnitude(cycles, band):
        wave = flux["IV".index(band)]
        return -2.5 * np.log10(np.interp(np.mod(cycles, 1.0) * 400, np.arange(401), np.append(wave, wave[0])))

    period, epoch = float(draw.period[0]), 2455000.0 + float(rng.random())
    curves = sample_light_curve(
        relative_magnitude,
        seasonal_cadence("LMC", sampling, rng=rng),
        brightest={"I": i_mag, "V": i_mag + colour + 0.1},
        period=period,
        epoch=epoch,
        settings=sampling,
        rng=rng,
    )
    return {
        "kind": kind,
        "number": number,
        "star": f"MOCK-FIT-{kind}-{number:03d}",
        "curves": curves,
        "period": period,
        "epoch": epoch,
        "VI0": colour + E_VI0 * float(rng.normal()),
        "true_mass_ratio": float(draw.systems.mass_ratio[0]),
        "true_inclination": float(draw.systems.inclination[0]),
        "true_fillout_factor": float(draw.fillout_factor[0]),
        "true_lobe_filling_1": float(draw.lobe_filling_1[0]),
        "true_lobe_filling_2": float(draw.lobe_filling_2[0]),
        "true_teff_ratio": float(teff[1] / teff[0]),
        "true_teff_1": float(teff[0]),
        "true_third_light": blend["I"],
        "depth1": float(depth),
        "I_mag": i_mag,
    }


def fold_and_clean(system: dict[str, Any]) -> dict[str, FoldedPoints]:
    """Do to the points what the pipeline does."""
    points = {}
    for band, seen in system["curves"].items():
        curve = LightCurve(seen.time, seen.mag.astype(np.float32), seen.mag_err.astype(np.float32))
        packed = pack_light_curves([system["star"]], [curve])
        phase = fold(packed.time, packed.offsets, np.array([system["period"]]), np.array([system["epoch"]]))
        cleaned = clean(packed, phase, settings=CleaningSettings())
        kept = cleaned.curves
        points[band] = FoldedPoints(cleaned.phase, kept.mag.astype(float), kept.mag_err.astype(float))
    return points


def fit_one(kind: str, number: int, *, n_of_kind: int, seed: int, settings: FitSettings, tables: Any) -> dict[str, Any]:
    """Draw, observe and fit one system."""
    system = draw_system(kind, number, n_of_kind=n_of_kind, seed=seed, settings=settings)
    curves = prepare_curves(system["star"], fold_and_clean(system), settings=settings.data)
    teff = estimate_teff(system["VI0"], E_VI0, priors=settings.priors)
    fit = fit_star(curves, tables=tables, teff_1=teff, seed=seed, settings=settings)
    kept = {key: item for key, item in system.items() if not isinstance(item, dict)}
    return {"survey": "mock", **kept, **fit_record(fit)}


def report(table: Table) -> None:
    """Print coverage, preference and seconds."""
    kind = np.asarray(table["kind"], dtype=str)
    for name, prefix, parameters in (
        ("contact", "contact", ("inclination", "fillout_factor", "teff_ratio", "mass_ratio")),
        ("near_contact", "near", ("inclination", "teff_ratio", "mass_ratio", "lobe_filling_1", "lobe_filling_2")),
    ):
        rows = table[kind == name]
        if not len(rows):
            continue
        print(f"{name}: {len(rows)} systems, 68 % intervals that hold the truth, and median error")
        for parameter in parameters:
            truth = np.asarray(rows[f"true_{parameter}"])
            low, high = (np.asarray(rows[f"{prefix}_{parameter}_{end}"]) for end in ("p16", "p84"))
            held = (truth >= low) & (truth <= high)
            off = np.median(np.abs(np.asarray(rows[f"{prefix}_{parameter}"]) - truth))
            print(f"  {parameter:16s} {held.mean():4.0%} ({held.sum()} of {len(rows)})   {off:.3g}")
    odds = np.asarray(table["ln_bayes_contact"])
    deep = (kind == "contact") & (np.asarray(table["depth1"]) > DEEP) & (np.asarray(table["I_mag"]) < BRIGHT)
    print(f"contact preferred: {(odds[deep] > 0).sum()} of {deep.sum()} contact systems deeper than {DEEP} mag, I < 17")
    near = kind == "near_contact"
    print(f"near contact preferred: {(odds[near] < 0).sum()} of {near.sum()} near-contact systems")
    unsure = np.abs(odds) < np.log(10.0)
    of_contact, of_near = (np.asarray(table[f"{name}_chi2"] / table[f"{name}_dof"]) for name in ("contact", "near"))
    reduced = np.median(np.where(near, of_near, of_contact))
    print(f"odds below 10: {unsure.sum()} of {len(table)}; chi2 / dof of the true model, median {reduced:.2f}")
    seconds = np.asarray(table["seconds"])
    print(f"CPU seconds a star, both models: median {np.median(seconds):.0f}, at most {seconds.max():.0f}")
    errors = np.maximum(table["contact_table_error"], table["near_table_error"])
    print(f"tables against the engine: median rms {1e3 * np.median(errors):.2f} mmag, at most {1e3 * errors.max():.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cbminer-fits")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="do every Nth system from the Kth on: K N")
    parser.add_argument("--gather", action="store_true", help="only put together what is done")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        kept = Table.read(given.out)
        print(kept.meta["comment"])
        report(kept)
        return
    settings = FitSettings()
    tables = load_tables(settings, cache=given.work, threads=1)
    rows = []
    for number in range(given.n):
        kind = KINDS[number % 2]
        place = given.work / f"{given.seed}-{given.n}" / f"{kind}-{number // 2:03d}.json"
        mine = number // 2 % given.part[1] == given.part[0] and not given.gather
        if not place.exists() and mine:
            n_of_kind = (given.n + 1) // 2
            row = fit_one(kind, number // 2, n_of_kind=n_of_kind, seed=given.seed, settings=settings, tables=tables)
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = place.with_suffix(".partial")
            temporary.write_text(json.dumps(row))
            temporary.replace(place)
            print(f"{kind} {number // 2}: ln B = {row['ln_bayes_contact']:.1f}, {row['seconds']:.0f} s", flush=True)
        if place.exists():
            rows.append(json.loads(place.read_text()))
    table = Table(rows)
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name].info.format = ".5g"
    done = f"{len(rows)} of {given.n} systems"
    table.meta["comment"] = f"simulated systems; seed {given.seed}; {done}; benchmarks/fits.py"
    print(done)
    table.write(given.out, format="ascii.ecsv", overwrite=True)
    report(table)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
