"""What ``cbminer synth`` makes: one light curve with its comparison, and the sight line of a library."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import astropy.units as u
import numpy as np
from astropy.table import QTable
from matplotlib.figure import Figure

from cbminer.columns import FloatArray
from cbminer.errors import ArchiveError, SettingsError
from cbminer.monitor import Monitor
from cbminer.photometry.cloud_settings import common_distance, mean_reddening
from cbminer.provenance import Provenance, write_provenance
from cbminer.settings import Settings
from cbminer.survey.archive import Archive
from cbminer.synthetic.cadence import template_cadences
from cbminer.synthetic.geometry import (
    fillout_factor,
    lobe_filling,
    potential_in_frame_2,
    sum_of_radii,
    volume_radius,
)
from cbminer.synthetic.library_observed import SightLine
from cbminer.synthetic.limb_darkening import LimbDarkening, LimbDarkeningTable
from cbminer.synthetic.phoebe import phoebe_light_curves
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems

__all__ = [
    "Comparison",
    "SyntheticCurve",
    "compare_with_phoebe",
    "describe_curve",
    "library_sight",
    "make_system",
    "synthetic_curve",
    "write_curve",
]


@dataclass(frozen=True)
class SyntheticCurve:
    """One light curve.

    Attributes
    ----------
    system : BinarySystems
        The binary, a batch of one.
    table : `~astropy.table.QTable`
        Columns phase, flux_I, flux_V over the flux at phase 0.25, and mag_I, mag_V below maximum light.
    """

    system: BinarySystems
    table: QTable


@dataclass(frozen=True)
class Comparison:
    """The same light curve by PHOEBE.

    Attributes
    ----------
    flux : `~numpy.ndarray`
        Flux over that at phase 0.25, third light included, shape (bands, phases).
    rms, depths : dict
        By band, in magnitudes: root mean square difference of the curves without its mean, and differences of the
        two depths, ours less PHOEBE's.
    seconds : float
        CPU time of PHOEBE.
    n_triangles : int
        Triangles of its mesh.
    """

    flux: FloatArray
    rms: dict[str, float]
    depths: dict[str, tuple[float, float]]
    seconds: float
    n_triangles: int


def make_system(
    mass_ratio: float,
    inclination: float,
    *,
    fillout_factor: float | None,
    lobe_fillings: tuple[float | None, float | None],
    teffs: tuple[float, float | None],
    gravity_darkening: float = 1.0,
    albedo: float = 1.0,
) -> BinarySystems:
    """Make one binary of what a user gives.

    Parameters
    ----------
    mass_ratio : float
        Mass of star 2 over that of star 1.
    inclination : float
        Inclination in degrees.
    fillout_factor : float or None
        Fill-out of a contact binary.
    lobe_fillings : tuple of float or None
        R / R_L of the stars of a detached or semi-detached pair.
    teffs : tuple of float or None
        Mean effective temperatures in K. Without the second one, there is one law of temperature over a contact
        binary, and the stars of a detached pair are equally hot.
    gravity_darkening, albedo : float, optional
        Of both stars.

    Returns
    -------
    BinarySystems
        A batch of one.

    Raises
    ------
    SettingsError
        If neither or both of fill-out and lobe fillings are given, or a parameter is out of its range.
    """
    first, second = lobe_fillings
    detached = first is not None and second is not None
    if (fillout_factor is not None) == (first is not None or second is not None) or (
        fillout_factor is None and not detached
    ):
        msg = (
            "give --fillout for a contact binary, or --lobe-filling (or --lobe-filling-1 and --lobe-filling-2) "
            "for one that is not"
        )
        raise SettingsError(msg)
    teff_1, teff_2 = teffs
    if teff_2 is not None and not np.isfinite(teff_2):
        msg = f"teff_2: {teff_2:g}; give a temperature with --teff-2, or leave it out"
        raise SettingsError(msg)
    if first is not None and second is not None:
        return BinarySystems.detached(
            mass_ratio,
            inclination,
            lobe_filling_1=first,
            lobe_filling_2=second,
            teff_1=teff_1,
            teff_2=teff_1 if teff_2 is None else teff_2,
            gravity_darkening=gravity_darkening,
            albedo=albedo,
        )
    return BinarySystems.contact(
        mass_ratio,
        inclination,
        fillout_factor=np.nan if fillout_factor is None else fillout_factor,
        teff_1=teff_1,
        teff_2=np.nan if teff_2 is None else teff_2,
        gravity_darkening=gravity_darkening,
        albedo=albedo,
    )


def synthetic_curve(
    system: BinarySystems, *, engine: RocheEngine, n_phases: int, third_light: Sequence[float] | None = None
) -> SyntheticCurve:
    """Compute one light curve.

    Parameters
    ----------
    system : BinarySystems
        The binary, a batch of one.
    engine : RocheEngine
        Physics and passbands.
    n_phases : int
        Points, evenly from phase 0 on; a multiple of 4, so that conjunctions and quadratures are among them.
    third_light : sequence of float, optional
        Share of the light at phase 0.25 by band; none by default.

    Returns
    -------
    SyntheticCurve
        The curve, with all that is known of the system in the table's metadata.

    Raises
    ------
    SettingsError
        If the number of phases is no multiple of 4.
    """
    if n_phases < 4 or n_phases % 4:
        msg = f"phases: {n_phases}; it must be a multiple of 4"
        raise SettingsError(msg)
    if len(system) != 1:
        msg = f"system: a batch of {len(system)}; give one system"
        raise SettingsError(msg)
    phases = np.arange(n_phases) / n_phases
    blend = [0.0] * len(engine.passbands) if third_light is None else list(third_light)
    flux = engine.light_curves(system, phases, third_light=[blend])[0]
    table = QTable({"phase": phases})
    for band, curve in zip(engine.passbands, flux, strict=True):
        table[f"flux_{band.name}"] = curve
        # Zero at maximum, and not minus zero.
        table[f"mag_{band.name}"] = np.abs(-2.5 * np.log10(curve / curve.max())) * u.mag
        table[f"flux_{band.name}"].info.description = f"flux in {band.name} over that at phase 0.25"
        table[f"mag_{band.name}"].info.description = f"magnitudes in {band.name} below maximum light"
    table["phase"].info.description = "phase, 0 where star 1 is behind"
    table.meta |= {"survey": "mock", "simulated": True} | _facts(system) | _recipe(engine)
    table.meta["third_light"] = blend
    return SyntheticCurve(system, table)


def compare_with_phoebe(curve: SyntheticCurve, *, engine: RocheEngine, n_triangles: int) -> Comparison:
    """Compute the same light curve by PHOEBE.

    Parameters
    ----------
    curve : SyntheticCurve
        Our light curve.
    engine : RocheEngine
        The engine that made it; its limb darkening and reflection are used.
    n_triangles : int
        Triangles of PHOEBE's mesh.

    Returns
    -------
    Comparison
        PHOEBE's curve and the differences.

    Raises
    ------
    SettingsError
        If PHOEBE is missing or cannot make such a system.
    ArchiveError
        If PHOEBE fails.
    """
    phases = np.asarray(curve.table["phase"])
    names = [band.name for band in engine.passbands]
    result = phoebe_light_curves(
        curve.system,
        phases,
        bands=names,
        limb_darkening={band.name: band.limb_darkening for band in engine.passbands},
        bolometric_limb_darkening=engine.bolometric_limb_darkening,
        irradiation=engine.reflection,
        n_triangles=n_triangles,
    )
    if result.failures:
        msg = f"PHOEBE made no curve of this system: {result.failures[0].reason}; leave it out with --no-phoebe"
        raise ArchiveError(msg)
    blend = np.array(curve.table.meta["third_light"])[:, np.newaxis]
    quarter, half = len(phases) // 4, len(phases) // 2
    flux = result.flux[0] / result.flux[0][:, quarter : quarter + 1] * (1.0 - blend) + blend
    rms, depths = {}, {}
    for band, theirs in zip(names, flux, strict=True):
        ours = curve.table[f"mag_{band}"].to_value("mag")
        difference = ours + 2.5 * np.log10(theirs / theirs.max())
        rms[band] = float(difference.std())
        depths[band] = (float(difference[0]), float(difference[half]))
    return Comparison(flux, rms, depths, float(result.seconds[0]), n_triangles)


def describe_curve(curve: SyntheticCurve, comparison: Comparison | None) -> list[str]:
    """Say in lines what a light curve is of.

    Parameters
    ----------
    curve : SyntheticCurve
        The curve.
    comparison : Comparison or None
        The same by PHOEBE, if there is any.

    Returns
    -------
    list of str
        The lines.
    """
    meta = curve.table.meta
    lines = [
        f"{meta['morphology']}: q {meta['mass_ratio']:.3f}, i {meta['inclination']:.2f} deg"
        + (f", fill-out {meta['fillout_factor']:.3f}" if meta["morphology"] == "contact" else ""),
        f"R/R_L {meta['lobe_filling_1']:.3f} and {meta['lobe_filling_2']:.3f}, (R1 + R2)/a {meta['sum_of_radii']:.4f}",
    ]
    bands = [name.removeprefix("mag_") for name in curve.table.colnames if name.startswith("mag_")]
    for band in bands:
        magnitude = curve.table[f"mag_{band}"].to_value("mag")
        lines.append(f"{band}: {magnitude[0]:.4f} mag at phase 0, {magnitude[len(magnitude) // 2]:.4f} mag at 0.5")
    if comparison is not None:
        lines.append(f"PHOEBE, {comparison.seconds:.1f} s of CPU time:")
        lines += [
            f"{band}: rms difference {1e3 * comparison.rms[band]:.2f} mmag, depths "
            f"{1e3 * comparison.depths[band][0]:+.2f} and {1e3 * comparison.depths[band][1]:+.2f} mmag"
            for band in bands
        ]
    return lines


def write_curve(
    folder: Path, curve: SyntheticCurve, comparison: Comparison | None, figure: Figure, *, command: str
) -> None:
    """Write a light curve as ``curve.ecsv`` and ``curve.png``, with provenance.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where to.
    curve : SyntheticCurve
        The curve.
    comparison : Comparison or None
        The same by PHOEBE; it is added to the table.
    figure : `~matplotlib.figure.Figure`
        Its figure.
    command : str
        The command.
    """
    table = curve.table.copy()
    if comparison is not None:
        bands = [name for name in table.colnames if name.startswith("flux_")]
        for name, flux in zip(bands, comparison.flux, strict=True):
            table[f"phoebe_{name}"] = flux
            table[f"phoebe_{name}"].info.description = f"{name} by PHOEBE"
        table.meta["phoebe_triangles"] = comparison.n_triangles
    table.write(folder / "curve.ecsv", format="ascii.ecsv")
    figure.savefig(folder / "curve.png", dpi=150)
    provenance = Provenance(
        command=command,
        survey="mock",
        archive="none",
        galaxies=[],
        releases={},
        settings=dict(table.meta),
        seed=0,
        relations={},
        counts={},
        inputs=[],
    )
    write_provenance(folder, provenance)


def library_sight(
    galaxy: Literal["LMC", "SMC"], *, settings: Settings, lender: Archive | None = None, monitor: Monitor | None = None
) -> SightLine:
    """Say where the stars of a library are and how they are observed.

    Parameters
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.
    settings : Settings
        Distance, reddening, extinction and sampling.
    lender : Archive, optional
        Archive whose light curves lend their epochs; generated ones by default.
    monitor : Monitor, optional
        Where progress is told.

    Returns
    -------
    SightLine
        For `cbminer.synthetic.library.write_library`.

    Raises
    ------
    ArchiveError
        If no light curve of the archive can lend its epochs.
    """
    templates = None
    if lender is not None:
        stars = lender.light_curve_stars(galaxy)[: settings.sampling.most_templates]
        store = lender.light_curves(galaxy, stars, bands=("I", "V"), monitor=monitor)
        in_i, in_v = (store.read(stars, band=band).curves for band in ("I", "V"))
        templates = template_cadences(in_i, in_v, settings=settings.sampling)
    distance, reddening = common_distance(settings.cloud, galaxy), mean_reddening(settings.cloud, galaxy)
    return SightLine(
        galaxy=galaxy,
        distance_modulus=distance.distance_modulus,
        depth_scatter=distance.depth,
        mean_E_VI=reddening.E_VI,
        scatter_E_VI=reddening.scatter,
        extinction=settings.extinction,
        sampling=settings.sampling,
        templates=templates,
    )


def _recipe(engine: RocheEngine) -> dict[str, Any]:
    """Say what of the engine makes the curve what it is."""
    darkening = {band.name: band.limb_darkening for band in engine.passbands}
    darkening["bolometric"] = engine.bolometric_limb_darkening
    return {
        "made_by": f"cbminer {version('cbminer')}",
        "limb_darkening": {name: _plain(law) for name, law in darkening.items()},
        "reflection": engine.reflection,
        "n_bands": engine.n_bands,
    }


def _plain(law: LimbDarkening | LimbDarkeningTable) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(law).items()}


def _facts(system: BinarySystems) -> dict[str, float | str | None]:
    """All that follows of the parameters of one system."""
    q = system.mass_ratio
    own_2 = potential_in_frame_2(system.potential_2, q)
    filling_1, filling_2 = lobe_filling(system.potential_1, q), lobe_filling(own_2, 1.0 / q)
    filled = int(filling_1[0] > 1.0 - 1e-6) + int(filling_2[0] > 1.0 - 1e-6)
    morphology = "contact" if system.is_contact[0] else ("detached", "semi-detached", "touching")[filled]
    numbers = {
        "mass_ratio": q,
        "inclination": system.inclination,
        "potential_1": system.potential_1,
        "potential_2": system.potential_2,
        "teff_1": system.teff_1,
        "teff_2": system.teff_2,
        "gravity_darkening_1": system.gravity_darkening_1,
        "gravity_darkening_2": system.gravity_darkening_2,
        "albedo_1": system.albedo_1,
        "albedo_2": system.albedo_2,
        "fillout_factor": fillout_factor(system.potential_1, q),
        "lobe_filling_1": filling_1,
        "lobe_filling_2": filling_2,
        "volume_radius_1": volume_radius(system.potential_1, q),
        "volume_radius_2": volume_radius(own_2, 1.0 / q),
        "sum_of_radii": sum_of_radii(system.potential_1, system.potential_2, q),
    }
    plain = {name: float(number[0]) for name, number in numbers.items()}
    # JSON has no NaN: with one law over the envelope the temperature of star 2 is not known by itself.
    return {"morphology": morphology} | {name: None if np.isnan(number) else number for name, number in plain.items()}
