"""Build the tables of colours and bolometric corrections of hot stars, and of the light of distorted pairs.

Usage: python grids/colours/build.py --limb-darkening g_Claret2011.fits [--output FOLDER]
       python grids/colours/build.py --only distortion [--output FOLDER]

Writes atmospheres.ecsv and distortion.ecsv, and colours.json with where they come from and their hashes, and prints how
they compare with published relations. The first table needs PHOEBE, whose files hold the intensities of the
atmospheres, and the limb darkening of Claret & Bloemen (2011, A&A 529, A75) in the file of that name in the source
package of ellc: pip download ellc==1.8.15 --no-deps --no-binary :all: and unpack data/g_Claret2011.fits.
"""

import argparse
import hashlib
import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.integrate import trapezoid
from scipy.interpolate import PchipInterpolator, RegularGridInterpolator

from cbminer.columns import FloatArray
from cbminer.synthetic.geometry import (
    lagrange_points,
    lobe_filling,
    lobe_radius,
    potential_in_frame_1,
    potential_in_frame_2,
    potential_of_lobe_filling,
    volume_radius,
)
from cbminer.synthetic.limb_darkening import LimbDarkening
from cbminer.synthetic.lobe import AREA, N_COLUMNS, PATCH_SIDE, fill_lobe, lay_bands, make_surface
from cbminer.synthetic.passbands import Passband, standard_passband
from cbminer.synthetic.phoebe import phoebe_passband
from cbminer.synthetic.phoebe_passbands import load_phoebe, phoebe_intensities, phoebe_is_installed, quietly
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems
from cbminer.theory.colours import DWARF_COLOURS, bolometric_correction_v

FOLDER = Path(__file__).parent
ATMOSPHERES, DISTORTION, ABOUT = "atmospheres.ecsv", "distortion.ecsv", "colours.json"

TEFF = np.concatenate([np.arange(8000.0, 13000.0, 500.0), np.arange(13000.0, 50001.0, 1000.0)])
LOG_G = np.arange(2.0, 5.01, 0.5)
M_H = np.array([-1.0, -0.5, 0.0, 0.2])
DWARF_LOG_G = 4.0

_STEFAN_BOLTZMANN = 5.670374419e-8  # W m-2 K-4, CODATA 2018
# The Sun: IAU 2015 B3 for the temperature and gravity, M_bol = 4.74 of IAU 2015 B2 and M_V = 4.81 (Willmer 2018, ApJS
# 236, 47), which fix the zero point of V.
SUN = (5772.0, 4.438, 0.0)
SUN_BC_V = -0.07
# Vega: the atmosphere of Castelli & Kurucz (1994, A&A 281, 817), in whose system its (V-I) is 0.
VEGA = (9550.0, 3.95, -0.5)
VEGA_VI = 0.0

# Least errors: of the zero points and of the limb darkening. Two sets of limb darkening differ by 0.01 mag in V, and
# the observed colour of Vega is uncertain by as much.
BC_FLOOR, VI_FLOOR = 0.02, 0.015
# The range of the relations of bolometric corrections, K.
BC_RELATIONS_FROM = 15000.0

_MU = np.linspace(0.0, 1.0, 2001)


@dataclass(frozen=True)
class DiskV:
    """Flux through V of the atmospheres of Castelli & Kurucz (2004), integrated over the disc.

    Attributes
    ----------
    axes : tuple of `~numpy.ndarray`
        Teff in K, log g and [M/H].
    flux : `~numpy.ndarray`
        Flux in W/m3, NaN where there is no atmosphere.
    """

    axes: tuple[FloatArray, FloatArray, FloatArray]
    flux: FloatArray

    @classmethod
    def read(cls) -> "DiskV":
        """Integrate the intensities that PHOEBE carries over the disc."""
        phoebe = load_phoebe()
        with quietly():
            table = phoebe.get_passband("Johnson:V").ndp["ck2004"]
        mu = importlib.import_module("phoebe.atmospheres.models").CK2004ModelAtmosphere.mus
        intensity = 10.0 ** table.table["imu@energy"]["grid"][..., 0]
        known = np.isfinite(intensity).all(axis=-1)
        flux = np.full(known.shape, np.nan)
        flux[known] = 2.0 * np.pi * trapezoid(PchipInterpolator(mu, intensity[known], axis=-1)(_MU) * _MU, _MU, axis=-1)
        return cls(tuple(table.axes[:3]), flux)

    def at(self, teff: float, log_g: float, m_h: float) -> float:
        """Flux at one place, linear in the logarithms."""
        axes = (np.log10(self.axes[0]), *self.axes[1:])
        table = RegularGridInterpolator(axes, np.log(self.flux))
        return float(np.exp(table((np.log10(teff), log_g, m_h))))

    def on_grid(self) -> FloatArray:
        """Flux on our axes, shape (abundances, temperatures, gravities)."""
        places = [np.searchsorted(axis, wanted) for axis, wanted in zip(self.axes, (TEFF, LOG_G, M_H), strict=True)]
        for axis, wanted, place in zip(self.axes, (TEFF, LOG_G, M_H), places, strict=True):
            if not np.allclose(axis[place], wanted):
                msg = "PHOEBE's axes of the atmospheres of Castelli & Kurucz have changed"
                raise SystemExit(msg)
        return np.moveaxis(self.flux[np.ix_(*places)], 2, 0)


@dataclass(frozen=True)
class DiskRatio:
    """Mean over normal intensity in V, over that in I: the limb darkening in the colour.

    Attributes
    ----------
    axes : tuple of `~numpy.ndarray`
        [M/H], log g and log Teff.
    ratio : `~numpy.ndarray`
        The ratio, NaN where there is no atmosphere.
    mean_v : `~numpy.ndarray`
        Mean over normal intensity in V.
    """

    axes: tuple[FloatArray, FloatArray, FloatArray]
    ratio: FloatArray
    mean_v: FloatArray

    @classmethod
    def read(cls, path: Path) -> "DiskRatio":
        """Read the four-parameter laws of Claret & Bloemen (2011)."""
        with fits.open(path) as file:
            log_teff, log_g, m_h = (file[name].data.astype(float) for name in ("logTeff", "logg", "M_H"))
            bands = [str(row[0]).strip() for row in file["Band"].data]
            # The first plane of each band is the exponent of gravity darkening.
            laws = {band: file[0].data[bands.index(band)][1:].astype(float) for band in ("V", "I")}
        order = np.arange(1, 5)[:, None, None, None]
        mean = {band: 1.0 - (law * order / (order + 4.0)).sum(axis=0) for band, law in laws.items()}
        return cls((np.round(m_h, 3), log_g, log_teff), mean["V"] / mean["I"], mean["V"])

    def on_grid(self, quantity: FloatArray) -> FloatArray:
        """Quantity on our axes, shape (abundances, temperatures, gravities), of the nearest temperature."""
        m_h, log_g, log_teff = self.axes
        nearest = np.abs(log_teff[:, None] - np.log10(TEFF)).argmin(axis=0)
        places = np.ix_(np.searchsorted(m_h, M_H), np.searchsorted(log_g, LOG_G), nearest)
        return np.swapaxes(quantity[places], 1, 2)

    def at(self, teff: float, log_g: float, m_h: float) -> float:
        """Ratio at one place."""
        return float(RegularGridInterpolator(self.axes, self.ratio)((m_h, log_g, np.log10(teff))))


def atmospheres(limb_darkening: Path) -> tuple[Table, dict[str, Any]]:
    """Make the table of single stars, and what is to be said about it."""
    disk, ratio = DiskV.read(), DiskRatio.read(limb_darkening)
    zero_v = SUN_BC_V - 2.5 * np.log10(disk.at(*SUN) / (_STEFAN_BOLTZMANN * SUN[0] ** 4))
    zero_vi = VEGA_VI + 2.5 * np.log10(normal_ratio(*VEGA) * ratio.at(*VEGA))
    m_h, teff, log_g = np.meshgrid(M_H, TEFF, LOG_G, indexing="ij")
    correction = zero_v + 2.5 * np.log10(disk.on_grid() / (_STEFAN_BOLTZMANN * teff**4))
    colour = zero_vi - 2.5 * np.log10(normal_ratio(teff, log_g, m_h) * ratio.on_grid(ratio.ratio))
    known = np.isfinite(correction) & np.isfinite(colour)
    errors = [error[:, np.newaxis] for error in _errors(correction, colour)]
    table = Table(
        {
            "M_H": m_h[known],
            "Teff": teff[known],
            "log_g": log_g[known],
            "BC_V": np.round(correction[known], 4),
            "VI0": np.round(colour[known], 4),
            "e_BC_V": np.round(np.broadcast_to(errors[0], teff.shape)[known], 3),
            "e_VI0": np.round(np.broadcast_to(errors[1], teff.shape)[known], 3),
        }
    )
    _describe(table)
    zero_points = {"zero_point_V": round(zero_v, 5), "zero_point_VI": round(zero_vi, 5)}
    table.meta.update(zero_points)
    compare(correction, colour, ratio.on_grid(ratio.mean_v), disk)
    return table, zero_points


def normal_ratio(teff: Any, log_g: Any, m_h: Any) -> Any:
    """Compute the normal intensity in V over that in I of the Kurucz atmospheres of the Wilson-Devinney code."""
    v, i = (phoebe_intensities(band, teff, log_g, atmosphere="kurucz", abundance=m_h) for band in ("V", "I"))
    return v / i


def _errors(correction: FloatArray, colour: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Errors by temperature: how far published relations of dwarfs lie from the table."""
    difference_bc = _dwarfs(correction) - bolometric_correction_v(TEFF)
    # Below the range of the relations their difference where it begins stands for the error.
    first = np.searchsorted(TEFF, BC_RELATIONS_FROM)
    difference_bc[:first] = difference_bc[first]
    nearest = np.clip(TEFF, DWARF_COLOURS.teff[0], DWARF_COLOURS.teff[-1])
    difference_vi = np.interp(nearest, TEFF, _dwarfs(colour)) - DWARF_COLOURS.at(nearest)
    return np.hypot(difference_bc, BC_FLOOR), np.hypot(difference_vi, VI_FLOOR)


def _dwarfs(values: FloatArray) -> FloatArray:
    """Values of dwarfs of solar abundance by temperature: at log g 4, or the least above it that has an atmosphere."""
    solar = values[int(np.flatnonzero(M_H == 0.0)[0])][:, LOG_G >= DWARF_LOG_G]
    return solar[np.arange(len(solar)), np.isfinite(solar).argmax(axis=1)]


def _describe(table: Table) -> None:
    about = {
        "M_H": ("", "abundance [M/H]"),
        "Teff": ("K", "effective temperature"),
        "log_g": ("", "log10 of the gravity in cm/s2"),
        "BC_V": ("mag", "bolometric correction in V, M_bol - M_V"),
        "VI0": ("mag", "intrinsic colour (V-I), Johnson V and Cousins I"),
        "e_BC_V": ("mag", "error of BC_V: published relations of dwarfs against the table, and zero point"),
        "e_VI0": ("mag", "error of VI0: the observed dwarf sequence against the table, and zero point"),
    }
    for name, (unit, text) in about.items():
        table[name].unit = unit or None
        table[name].description = text


def compare(correction: FloatArray, colour: FloatArray, mean_v: FloatArray, disk: DiskV) -> None:
    """Print the table of dwarfs beside published relations, and the two sets of atmospheres in V."""
    solar = int(np.flatnonzero(M_H == 0.0)[0])
    print("Teff   BC_V: table, relations   (V-I): table, dwarf sequence   (dwarfs of solar abundance)")
    for k in np.searchsorted(TEFF, [8000, 10000, 12000, 15000, 18000, 20000, 25000, 30000, 32000, 35000, 40000, 50000]):
        print(
            f"{TEFF[k]:6.0f}  {_dwarfs(correction)[k]:7.3f} {bolometric_correction_v(TEFF[k]):7.3f}   "
            f"{_dwarfs(colour)[k]:7.3f} {DWARF_COLOURS.at(TEFF[k]):7.3f}"
        )
    own = disk.on_grid()
    v = phoebe_intensities("V", *np.meshgrid(TEFF, LOG_G, indexing="ij"), atmosphere="kurucz", abundance=0.0)
    other = np.pi * v * mean_v[solar]
    difference = 2.5 * np.log10(other / own[solar])
    print(
        f"V of the two sets of atmospheres and limb darkening: {np.nanmean(difference):+.3f} mag, "
        f"rms {np.nanstd(difference):.3f}, worst {np.nanmax(np.abs(difference)):.3f}"
    )


INCLINATIONS = np.arange(0.0, 91.0, 5.0)
MASS_RATIOS = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
DETACHED = np.array([0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99])
CONTACT = np.array([0.02, 0.1, 0.25, 0.5, 0.75, 1.0])
# A B star; limb darkening of Claret & Bloemen (2011) at 25 kK, log g 4, as the linear law of the same mean.
DISTORTED_TEFF = 25000.0
DARKENING = {"I": 0.17, "V": 0.24}
BOLOMETRIC_DARKENING = 0.35
PHASES = np.linspace(0.0, 0.5, 41)
N_BANDS = 48


def distortion() -> Table:
    """Make the table of distorted pairs."""
    rows = []
    for q in MASS_RATIOS:
        for filling in DETACHED:
            rows += _rows(q, filling, _detached(q, filling), INCLINATIONS)
        for depth in CONTACT:
            rows += _rows(q, 1.0 + depth, _in_contact(q, depth), INCLINATIONS)
    names = ("mass_ratio", "filling", "inclination", "V_at_maximum", "VI_at_maximum")
    table = Table(rows=rows, names=names)
    table["inclination"].unit = "deg"
    about = (
        "mass of the less massive star over that of the other",
        "radius over Roche radius of both stars; in contact 1 and the part of the way of the less massive one to L2",
        "inclination of the orbit",
        "V at maximum light less that of two spheres of the same volumes and luminosity",
        "(V-I) there less that of the spheres",
    )
    for name, text in zip(names, about, strict=True):
        table[name].description = text
    for name in ("V_at_maximum", "VI_at_maximum"):
        table[name] = np.round(table[name], 4)
        table[name].unit = "mag"
    return table


@dataclass(frozen=True)
class Pair:
    """A pair of one effective temperature.

    Attributes
    ----------
    potentials : tuple of float
        Potentials of both surfaces in the frame of star 1.
    radii : tuple of float
        Radii of spheres of the same volumes, in separations.
    contact : bool
        Whether they share an envelope.
    """

    potentials: tuple[float, float]
    radii: tuple[float, float]
    contact: bool


def _detached(q: float, filling: float) -> Pair:
    second = potential_in_frame_1(potential_of_lobe_filling(filling, 1.0 / q), q)
    radii = (filling * float(lobe_radius(q)), filling * float(lobe_radius(1.0 / q)))
    return Pair((float(potential_of_lobe_filling(filling, q)), float(second)), radii, contact=False)


def _in_contact(q: float, depth: float) -> Pair:
    """Pair whose less massive star is a part of the way to L2."""
    outer = float(lobe_filling(potential_in_frame_2(lagrange_points(q).potential_2, q), 1.0 / q))
    own = potential_of_lobe_filling(1.0 + depth * (outer - 1.0), 1.0 / q)
    potential = float(potential_in_frame_1(own, q))
    radii = (float(volume_radius(potential, q)), float(volume_radius(own, 1.0 / q)))
    return Pair((potential, potential), radii, contact=True)


def _area(potential: float, q: float, *, contact: bool, second: bool) -> float:
    surface = make_surface(potential, q, contact, second)
    edges, patches = lay_bands(N_BANDS // PATCH_SIDE, surface)
    cells = np.empty((PATCH_SIDE**2 * patches.sum(), N_COLUMNS))
    fill_lobe(cells, edges, patches, surface)
    return float(4.0 * cells[:, AREA].sum())


def _rows(q: float, filling: float, pair: Pair, inclinations: FloatArray) -> list[tuple[float, ...]]:
    change = -2.5 * np.log10(relative_light(q, pair, inclinations).max(axis=2))
    return [(q, filling, tilt, v, v - i) for tilt, (i, v) in zip(inclinations.tolist(), change.tolist(), strict=True)]


def relative_light(
    q: float,
    pair: Pair,
    inclinations: FloatArray,
    *,
    teff: float = DISTORTED_TEFF,
    passbands: tuple[Passband, ...] | None = None,
) -> FloatArray:
    """Light of a pair over that of its spheres, shape (inclinations, bands I and V, phases)."""
    bands = passbands or (_black_body("I"), _black_body("V"))
    discs = np.pi * np.square(pair.radii)
    areas = np.array([_area(pair.potentials[k], q, contact=pair.contact, second=k == 1) for k in (0, 1)])
    # The luminosity of the spheres comes from the larger or smaller surface of the distorted stars.
    ratio = np.full(2, discs.sum() / areas.sum()) if pair.contact else discs / areas
    own = teff * (4.0 * ratio) ** 0.25
    systems = BinarySystems(
        mass_ratio=np.full(len(inclinations), q),
        inclination=inclinations,
        potential_1=np.asarray(pair.potentials[0]),
        potential_2=np.asarray(pair.potentials[1]),
        teff_1=np.asarray(own[0]),
        teff_2=np.asarray(np.nan if pair.contact else own[1]),
        gravity_darkening_1=np.asarray(1.0),
        gravity_darkening_2=np.asarray(1.0),
        albedo_1=np.asarray(1.0),
        albedo_2=np.asarray(1.0),
    )
    heating = LimbDarkening("linear", (BOLOMETRIC_DARKENING,))
    engine = RocheEngine(passbands=bands, n_bands=N_BANDS, bolometric_limb_darkening=heating, log_g=DWARF_LOG_G)
    flux = engine.light_curves(systems, PHASES, normalised=False)
    spheres = discs.sum() * np.array([_disc_mean(band, teff) for band in bands])
    return np.asarray(flux / spheres[:, np.newaxis])


def _black_body(band: Literal["V", "I"]) -> Passband:
    return standard_passband(band).darkened_by(LimbDarkening("linear", (DARKENING[band],)))


def _disc_mean(band: Passband, teff: float) -> float:
    """Look up the mean intensity over the disc of a sphere, at the gravity that the engine gives to star 1."""
    at_teff = [np.interp(np.log(teff), band.log_teff, column) for column in band.log_intensity.T]
    normal = float(np.exp(np.interp(DWARF_LOG_G, band.log_g, at_teff)))
    return normal * (1.0 - float(band.limb_darkening.at(np.asarray(teff))[0]) / 3.0)


def check_distortion() -> None:
    """Print the change at maximum light at other temperatures, and with Kurucz atmospheres if PHOEBE is there."""
    tilts = np.array([30.0, 60.0, 90.0])
    sets: dict[str, tuple[Passband, ...] | None] = {"black bodies": None}
    if phoebe_is_installed():
        laws = {band: LimbDarkening("linear", (DARKENING[band],)) for band in ("I", "V")}
        bands = (phoebe_passband(band, abundance=-0.5, limb_darkening=law) for band, law in laws.items())
        sets["Kurucz atmospheres"] = tuple(bands)
    print("change of V and (V-I) at maximum light at 30, 60 and 90 degrees, equal masses")
    for name, pair in (("R/R_L = 0.95", _detached(1.0, 0.95)), ("half of the way to L2", _in_contact(1.0, 0.5))):
        for kind, bands_of_kind in sets.items():
            for teff in (18000.0, 25000.0, 36000.0):
                light = relative_light(1.0, pair, tilts, teff=teff, passbands=bands_of_kind).max(axis=2)
                i, v = -2.5 * np.log10(light.T)
                print(f"  {name}, {teff:.0f} K, {kind}: {np.round(v, 4).tolist()}, {np.round(v - i, 4).tolist()}")


def main() -> None:
    """Build, write and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limb-darkening", type=Path)
    parser.add_argument("--only", choices=("atmospheres", "distortion"))
    parser.add_argument("--output", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    about = json.loads((folder / ABOUT).read_text()) if (folder / ABOUT).is_file() else {}
    if arguments.only != "distortion":
        if arguments.limb_darkening is None:
            parser.error("--limb-darkening is needed for the atmospheres")
        table, numbers = atmospheres(arguments.limb_darkening)
        about["atmospheres"] = {**numbers, "sources": SOURCES, **_write(table, folder / ATMOSPHERES)}
    if arguments.only != "atmospheres":
        check_distortion()
        about["distortion"] = {**MADE_WITH, **_write(distortion(), folder / DISTORTION)}
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n")


MADE_WITH = {"engine_bands": N_BANDS, "phases": len(PHASES), "Teff": DISTORTED_TEFF, "limb_darkening": DARKENING}
SOURCES = {
    "V": "Castelli & Kurucz (2004) intensities in Johnson V, integrated over the disc, from PHOEBE's passband tables",
    "V-I": "Kurucz normal intensities of the Wilson-Devinney code (van Hamme & Wilson 2003, ASP Conf. 298, 323), "
    "from PHOEBE's atmcof.dat, times the limb darkening of Claret & Bloemen (2011, A&A 529, A75)",
    "zero point of V": f"BC_V of the Sun = {SUN_BC_V}: M_bol = 4.74 (IAU 2015 B2) and M_V = 4.81 (Willmer 2018, "
    "ApJS 236, 47)",
    "zero point of V-I": f"(V-I) of Vega = {VEGA_VI}: {VEGA[0]:g} K, log g {VEGA[1]:g}, [M/H] {VEGA[2]:g} "
    "(Castelli & Kurucz 1994, A&A 281, 817)",
}


def _write(table: Table, path: Path) -> dict[str, Any]:
    table.write(path, format="ascii.ecsv", overwrite=True)
    return {"file": path.name, "rows": len(table), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


if __name__ == "__main__":
    sys.exit(main())
