"""Shapes of real stars: c of OGLE's classes, and of contact and detached binaries of ASAS."""

import csv
import tarfile

import numpy as np
import pytest

from cbminer.flags import Flag
from cbminer.measurement import MeasurementSettings, StarTask, fit_curves
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import parse_light_curve, read_light_curve

# Of ASAS, one star of each class in so many; all of them take half a minute, and have the same area, 0.99.
EVERY = 3


def area_under_curve(high, low):
    """Probability that a star of the first group has the larger value."""
    difference = np.subtract.outer(high, low)
    return np.mean((difference > 0) + 0.5 * (difference == 0))


@pytest.fixture(scope="module")
def ogle(shared_data):
    """Shapes of the OGLE stars and their classes."""
    with (shared_data / "ocvs_labels.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    folder = shared_data / "ocvs" / "lmc" / "ecl"
    listed = {words[0]: words for words in map(str.split, (folder / "ecl.dat").read_text().splitlines())}
    curves = [read_light_curve(folder / "phot" / "I" / f"{row['name']}.dat") for row in rows]
    tasks = [StarTask(row["name"], float(listed[row["name"]][3]), float(listed[row["name"]][4])) for row in rows]
    fitted = fit_curves(pack_light_curves([row["name"] for row in rows], curves), tasks, settings=MeasurementSettings())
    return fitted, np.array([row["ogle2_class"] for row in rows])


def test_c_of_ogle_stars_goes_with_their_class(ogle):
    fitted, kind = ogle
    c = fitted.shapes.c
    assert np.isfinite(c).all()
    medians = {name: np.median(c[kind == name]) for name in ("EA", "EB", "EW")}
    assert medians["EW"] > medians["EB"] > medians["EA"]
    assert medians["EA"] < 0.6
    assert np.mean(c[kind == "EW"] >= 0.7) >= 0.75
    assert np.mean(c[kind == "EA"] >= 0.7) <= 0.10


def test_every_ogle_star_has_a_shape_with_errors_that_make_sense(ogle):
    shapes = ogle[0].shapes
    for name in ("depth1", "depth2", "depth_difference", "W", "c", "eclipse_width1"):
        value, error = getattr(shapes, name), getattr(shapes, f"e_{name}")
        assert np.mean(np.isfinite(value) & (error > 0)) > 0.97, name
    assert np.all(shapes.depth1 > 0.03)
    assert np.median(shapes.e_c) < 0.04
    assert np.mean(shapes.depth1 >= shapes.depth2 - 0.05) > 0.97
    # The curve goes through the points: residuals are those that the survey states, within a factor.
    assert np.median(shapes.scatter / shapes.noise) < 1.6
    assert np.mean((ogle[0].flags & Flag.C_EXTRAPOLATED) != 0) < 0.1


def test_shallow_and_deep_minima_of_real_stars_agree_with_their_widths(ogle):
    fitted, kind = ogle
    shapes = fitted.shapes
    width = shapes.eclipse_width1
    assert np.nanmedian(width[kind == "EA"]) < np.nanmedian(width[kind == "EB"]) < np.nanmedian(width[kind == "EW"])
    w = {name: np.median(shapes.W[kind == name]) for name in ("EA", "EW")}
    assert w["EW"] > w["EA"]


@pytest.fixture(scope="module")
def asas(shared_data):
    """Measured c of contact and of detached binaries."""
    with (shared_data / "asas" / "index.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["class"] in ("Contact Systems", "Detached")]
    rows = [row for name in ("Contact Systems", "Detached") for row in [r for r in rows if r["class"] == name][::EVERY]]
    wanted = {f"lc/{row['id']}.dat": row for row in rows}
    found = {}
    with tarfile.open(shared_data / "asas" / "lc.tar.gz") as archive:
        for member in archive:
            if member.name in wanted:
                data = archive.extractfile(member).read()
                found[member.name] = parse_light_curve(shared_data / member.name, data)
    assert set(found) == set(wanted)
    tasks = [
        StarTask(row["id"], float(row["acvs_period_d"]), 2450000 + float(row["acvs_t0_hjd_minus_2450000"]))
        for row in wanted.values()
    ]
    curves = pack_light_curves([task.star for task in tasks], [found[name] for name in wanted])
    shapes = fit_curves(curves, tasks, settings=MeasurementSettings()).shapes
    return shapes.c, np.array([row["class"] for row in wanted.values()])


def test_c_alone_tells_contact_from_detached_binaries_of_asas(asas):
    c, kind = asas
    known = np.isfinite(c)
    assert np.mean(known) > 0.9
    contact, detached = (c[known & (kind == name)] for name in ("Contact Systems", "Detached"))
    assert min(len(contact), len(detached)) > 130
    assert area_under_curve(contact, detached) > 0.97
    assert np.median(contact) > 0.7
    assert np.median(detached) < 0.5
