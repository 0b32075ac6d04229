"""The stars of a survey by the script that one would write first, with pandas, astropy, scipy and scikit-learn.

Usage: python benchmarks/straightforward.py ARCHIVE OUT [--workers N]

ARCHIVE is a mock survey in OGLE's layout (benchmarks/repeated_survey.py makes one), OUT a new folder. Nothing of
cbminer is used: full_survey.py runs this beside `cbminer select` on the same stars. It does to a star what a tutorial
would: the text files are read with pandas; outliers are clipped about a running median in phase; the listed period,
half and twice of it are refined with astropy's LombScargle within a cycle over the light curve, as `select` does, and
one is chosen by the BIC; harmonic series of order 4 to 10 are fitted by least squares and one is chosen by the BIC;
depths, W and Fourier terms are read off it. The curves are embedded by scikit-learn's LocallyLinearEmbedding, and a
random forest gives class probabilities; both learn from every fourth star, whose kind the truth table of the mock
survey tells, and the time of learning is told apart. Cuts on colour, magnitude, period, period-luminosity-colour
relation, depths and shape follow, and all stars and the candidates are written in ECSV and FITS. Workers are processes
of joblib. Of astropy's ways to compute a periodogram with several terms the faster one for so few frequencies is used.

It gives less than `select`: no errors of c and of the shapes, no second look for narrow eclipses, no aliases, no search
where a period is refuted, no odds, no figures and no page. Only its time is of interest: it is no judge of `select`.

Needs pandas and scikit-learn, which cbminer does without: pip install pandas scikit-learn. The last line that is
printed holds the seconds of each step in JSON.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import numpy as np

IDENTITY = {"id": (0, 18), "type": (20, 23), "ra": (24, 35), "dec": (36, 47)}
PARAMETERS = ["id", "I_mag", "V_mag", "period", "T0", "depth1", "depth2"]
# Distance modulus and mean reddening E(V-I) as in cbminer's settings; A_V = 2.5 E(V-I).
CLOUDS = {"LMC": (18.477, 0.100), "SMC": (18.977, 0.047)}
GRID = np.arange(200) / 200
FEWEST = 40
AT_A_TIME = 50
FEATURES = ["log_P", "depth1", "depth2", "W", "a1", "a2", "a3", "a4", "rms"]


def read_catalogue(archive):
    """Stars of both Clouds with the path of their light curve."""
    import pandas as pd

    parts = []
    for galaxy in CLOUDS:
        folder = archive / galaxy.lower() / "ecl"
        identity = pd.read_fwf(
            folder / "ident.dat", colspecs=list(IDENTITY.values()), names=list(IDENTITY), header=None
        )
        rows = [
            pd.read_csv(folder / name, sep=r"\s+", names=PARAMETERS, na_values="-")
            for name in ("ecl.dat", "ell.dat")
            if (folder / name).stat().st_size
        ]
        stars = identity.merge(pd.concat(rows), on="id", how="left")
        stars["galaxy"] = galaxy
        stars["path"] = [str(folder / "phot" / "I" / f"{star}.dat") for star in stars["id"]]
        parts.append(stars)
    return pd.concat(parts, ignore_index=True)


def read_curve(path):
    import pandas as pd

    points = pd.read_csv(path, sep=r"\s+", header=None, names=["time", "mag", "mag_err"])
    return points["time"].to_numpy(), points["mag"].to_numpy(), points["mag_err"].to_numpy()


def without_outliers(time, mag, period):
    """Points within 4.5 robust sigma of a running median in phase."""
    import pandas as pd
    from scipy.stats import median_abs_deviation

    order = np.argsort(time / period % 1.0)
    around = pd.Series(np.r_[mag[order][-7:], mag[order], mag[order][:7]]).rolling(15, center=True).median()
    residual = np.empty_like(mag)
    residual[order] = mag[order] - around.to_numpy()[7:-7]
    return np.abs(residual) < 4.5 * median_abs_deviation(residual, scale="normal") + 1e-3


def refined_period(time, mag, error, listed):
    """Best of the listed period, half and twice of it, with terms in proportion: the highest harmonic is the same."""
    from astropy.timeseries import LombScargle

    found = []
    for factor, terms in ((0.5, 2), (1.0, 4), (2.0, 8)):
        middle, step = 1.0 / (factor * listed), 1.0 / np.ptp(time)
        frequency = middle + step * np.linspace(-1.0, 1.0, 41)
        frequency = frequency[frequency > 0]
        power = LombScargle(time, mag, error, nterms=terms).power(frequency, method="chi2", normalization="model")
        best = int(np.argmax(power))
        # chi2 of a constant over that of the model, less one.
        bic = -len(time) * np.log1p(power[best]) + (2 * terms + 1) * np.log(len(time))
        found.append((bic, 1.0 / frequency[best]))
    return min(found)[1]


def basis(phase, order):
    angles = 2 * np.pi * np.outer(phase, np.arange(1, order + 1))
    return np.hstack([np.ones((len(phase), 1)), np.cos(angles), np.sin(angles)])


def harmonic_fit(phase, flux, error):
    """Coefficients of the harmonic series with the lowest BIC, and the scatter about it."""
    best = None
    for order in range(4, 11):
        matrix = basis(phase, order)
        coefficients = np.linalg.lstsq(matrix / error[:, None], flux / error, rcond=None)[0]
        residual = flux - matrix @ coefficients
        bic = np.sum((residual / error) ** 2) + (2 * order + 1) * np.log(len(phase))
        if best is None or bic < best[0]:
            best = bic, order, coefficients, float(np.std(residual))
    return best[1:]


def measure_star(path, listed):
    """Figures of a star, and its curve from 0 to 1; None without enough points."""
    seconds = {"reading text files": -time.perf_counter()}
    points = read_curve(path) if Path(path).exists() else None
    seconds["reading text files"] += time.perf_counter()
    if points is None or len(points[0]) < FEWEST or not np.isfinite(listed):
        return None, seconds
    begin = time.perf_counter()
    good = without_outliers(points[0], points[1], listed)
    times, mag, error = (column[good] for column in points)
    seconds["clipping"] = time.perf_counter() - begin
    begin = time.perf_counter()
    period = refined_period(times, mag, error, listed)
    seconds["periods"] = time.perf_counter() - begin
    begin = time.perf_counter()
    star = measure_shape(times / period % 1.0, mag, error)
    seconds["harmonic fits"] = time.perf_counter() - begin
    return star | {"P": period, "log_P": np.log10(period)}, seconds


def measure_shape(phase, mag, error):
    """Depths, W and Fourier terms of a harmonic fit to the flux, from the deeper minimum on."""
    flux = 10.0 ** (-0.4 * (mag - np.median(mag)))
    order, coefficients, rms = harmonic_fit(phase, flux, flux * error / 1.0857)
    curve = basis(GRID, order) @ coefficients
    curve = np.roll(curve, -int(np.argmin(curve)))
    top = curve.max()
    terms = 2.0 * np.fft.rfft(curve / top).real / len(GRID)
    a1, a2, a3, a4 = terms[1:5]
    return {
        "depth1": -2.5 * np.log10(max(curve[0], 1e-3) / top),
        "depth2": -2.5 * np.log10(max(curve[70:131].min(), 1e-3) / top),
        "W": a4 - a2 * (0.125 - a2),
        "a1": a1,
        "a2": a2,
        "a3": a3,
        "a4": a4,
        "rms": rms,
        "curve": (curve - curve.min()) / np.ptp(curve),
    }


def measure_batch(batch):
    return [measure_star(path, listed) for path, listed in batch]


def measure_all(stars, workers, seconds):
    """Measure all stars, in processes if there are several."""
    tasks = list(zip(stars["path"], stars["period"], strict=True))
    batches = [tasks[first : first + AT_A_TIME] for first in range(0, len(tasks), AT_A_TIME)]
    if workers == 1:
        done = [measure_batch(batch) for batch in batches]
    else:
        from joblib import Parallel, delayed

        done = Parallel(n_jobs=workers)(delayed(measure_batch)(batch) for batch in batches)
    found = []
    for star, spent in (item for batch in done for item in batch):
        found.append(star)
        for step, used in spent.items():
            # Of all workers together.
            seconds[step] += used
    return found


def with_figures(stars, found):
    """Stars that were measured, with their figures, and their curves."""
    import pandas as pd

    measured = [star is not None for star in found]
    figures = pd.DataFrame([{k: v for k, v in star.items() if k != "curve"} for star in found if star is not None])
    kept = stars[measured].drop(columns=["depth1", "depth2"]).reset_index(drop=True)
    return kept.join(figures), np.array([star["curve"] for star in found if star is not None])


def learn(archive, stars, curves):
    """Embedding and forest that every fourth star teaches."""
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.manifold import LocallyLinearEmbedding

    truth = pd.read_csv(archive / "truth.ecsv", comment="#", index_col="id")
    # In a repeated survey a star of another round has the truth of the first.
    kinds = truth["kind"].reindex(stars["id"].str.replace(r"-E\d\d-", "-ECL-", regex=True))
    chosen = np.arange(0, len(stars), 4)
    neighbours = min(20, len(chosen) - 1)
    embedding = LocallyLinearEmbedding(n_neighbors=neighbours, n_components=2, reg=1e-2, eigen_solver="dense")
    forest = RandomForestClassifier(200, random_state=1)
    embedding.fit(curves[chosen])
    forest.fit(stars.loc[chosen, FEATURES], kinds.iloc[chosen])
    return embedding, forest


def select(stars):
    """Absolute magnitudes, colours and cuts."""
    mu, reddening = (stars["galaxy"].map({name: cloud[k] for name, cloud in CLOUDS.items()}) for k in (0, 1))
    stars["M_V"] = stars["V_mag"] - 2.5 * reddening - mu
    stars["VI0"] = stars["V_mag"] - stars["I_mag"] - reddening
    box = stars["M_V"].between(-6.5, -1.0) & (stars["VI0"] < 0.0) & (stars["P"] < 3.0)
    near = np.zeros(len(stars), dtype=bool)
    for galaxy in CLOUDS:
        mine = box & (stars["galaxy"] == galaxy)
        contact = mine & (stars["type"] == "C")
        if contact.sum() < 10:
            continue
        matrix = np.column_stack([stars["log_P"], stars["VI0"], np.ones(len(stars))])
        relation = np.linalg.lstsq(matrix[contact], stars.loc[contact, "M_V"], rcond=None)[0]
        near |= mine & (np.abs(stars["M_V"] - matrix @ relation) < 1.0)
    equal = (stars["depth1"] - stars["depth2"]).abs() < 0.1
    stars["selected"] = near & equal & (stars["W"] < 0)
    return stars


def write(stars, out):
    from astropy.table import Table

    out.mkdir(parents=True)
    for name, table in (("judged", stars), ("candidates", stars[stars["selected"]])):
        content = Table.from_pandas(table.drop(columns="path"))
        content.write(out / f"{name}.ecsv", format="ascii.ecsv")
        content.write(out / f"{name}.fits")


@contextmanager
def timed(seconds, step):
    begin = time.perf_counter()
    yield
    seconds[step] += time.perf_counter() - begin


def import_libraries():
    import astropy.table
    import astropy.timeseries
    import pandas as pd
    import scipy.stats
    import sklearn.ensemble
    import sklearn.manifold

    del astropy, pd, scipy, sklearn


def run(archive, out, workers):
    """Seconds of each step, those of a star being the sum of all workers, and what was found."""
    seconds = defaultdict(float)
    with timed(seconds, "importing libraries"):
        import_libraries()
    with timed(seconds, "reading the catalogue"):
        stars = read_catalogue(archive)
    with timed(seconds, "all light curves"):
        found = measure_all(stars, workers, seconds)
    measured, curves = with_figures(stars, found)
    with timed(seconds, "learning"):
        embedding, forest = learn(archive, measured, curves)
    with timed(seconds, "embedding"):
        place = embedding.transform(curves)
    measured["lle1"], measured["lle2"] = place.T
    with timed(seconds, "classes"):
        odds = forest.predict_proba(measured[FEATURES])
    for kind, probability in zip(forest.classes_, odds.T, strict=True):
        measured[f"P_{kind}"] = probability
    with timed(seconds, "cuts"):
        measured = select(measured)
    with timed(seconds, "writing"):
        write(measured, out)
    return {"seconds": seconds, "measured": len(measured), "candidates": int(measured["selected"].sum())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.workers])
    from threadpoolctl import threadpool_limits

    # There are as many workers as cores.
    with threadpool_limits(1):
        print(json.dumps(run(given.archive, given.out, given.workers)))


if __name__ == "__main__":
    sys.exit(main())
