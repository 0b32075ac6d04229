"""Columns of a library of light curves: what is true of a row, and its curves."""

import numpy as np
import pyarrow as pa

from cbminer.columns import FloatArray

__all__ = ["BANDS", "TRUTH", "curve_figures", "described_field", "library_fields"]

BANDS = ("I", "V")

# Column, unit and meaning of what is true of a row.
TRUTH: dict[str, tuple[str, str]] = {
    "period": ("d", "period over which the curve is given: the orbital one, twice that of a pulsation"),
    "true_period": ("d", "orbital, pulsation or rotation period; unknown for irregular stars"),
    "inclination": ("deg", "inclination"),
    "mass_ratio": ("", "mass of star 2 over that of star 1"),
    "fillout_factor": ("", "0 at the surface through L1, 1 at the one through L2; contact binaries only"),
    "lobe_filling_1": ("", "radius of star 1 over that of its Roche lobe, of equal volumes"),
    "lobe_filling_2": ("", "the same of star 2"),
    "teff_1": ("K", "mean effective temperature of star 1, of the whole envelope if teff_2 is unknown"),
    "teff_2": ("K", "mean effective temperature of star 2; unknown with one law over a common envelope"),
    "mass_1": ("solMass", "mass of star 1"),
    "mass_2": ("solMass", "mass of star 2"),
    "radius_1": ("solRad", "radius of star 1, of equal volume"),
    "radius_2": ("solRad", "radius of star 2, of equal volume"),
    "separation": ("solRad", "semi-major axis"),
    "star_behind": ("", "1 or 2: the star of a binary that is behind at phase 0, by the deeper minimum in I"),
    "foreground": ("", "1 for a star of the Galaxy in front of the Cloud, else 0"),
    "M_V": ("mag", "absolute V magnitude at maximum; of binaries that of two spheres"),
    "VI0": ("mag", "intrinsic colour (V-I)_0 at maximum; of binaries that of two spheres"),
    "amplitude_I": ("mag", "range of the curve in I, or 2.8 times scatter_I where that is more"),
    "depth1_I": ("mag", "depth in I at phase 0"),
    "depth2_I": ("mag", "depth in I of the other minimum, the faintest point from phase 0.25 to 0.75"),
    "depth1_V": ("mag", "depth in V at phase 0"),
    "depth2_V": ("mag", "depth in V of the other minimum"),
    "a2": ("", "cosine coefficient of order 2 of the flux in I over its maximum"),
    "a4": ("", "the same of order 4"),
    "W": ("", "a4 - a2 (0.125 - a2) in I; above 0 in contact"),
    "scatter_I": ("mag", "rms in I of what changes from cycle to cycle, which the curve leaves out"),
}


def described_field(name: str, kind: pa.DataType, unit: str, meaning: str) -> pa.Field:
    """Make a field with its unit and meaning.

    Parameters
    ----------
    name : str
        Name of the column.
    kind : `~pyarrow.DataType`
        Its type.
    unit : str
        Unit, empty for none.
    meaning : str
        What the column holds.

    Returns
    -------
    `~pyarrow.Field`
        The field.
    """
    return pa.field(name, kind, metadata={"unit": unit, "description": meaning})


def library_fields(kinds: tuple[str, ...], n_phases: int) -> list[pa.Field]:
    """List the columns of every library.

    Parameters
    ----------
    kinds : tuple of str
        Labels.
    n_phases : int
        Points of a curve.

    Returns
    -------
    list of `~pyarrow.Field`
        Number, survey, label, truth and curves.
    """
    curve = pa.list_(pa.float32(), n_phases)
    label = pa.dictionary(pa.int8(), pa.string())
    return [
        described_field("row", pa.int64(), "", "number of the row, from 0"),
        described_field("survey", label, "", "mock: these stars are simulated"),
        described_field("kind", label, "", "label, one of " + ", ".join(kinds)),
        *(described_field(name, pa.float64(), *meaning) for name, meaning in TRUTH.items()),
        *(
            described_field(f"flux_{band}", curve, "", f"flux in {band} over its maximum, evenly from phase 0 on")
            for band in BANDS
        ),
    ]


def curve_figures(flux: FloatArray) -> dict[str, FloatArray]:
    """Measure curves without noise.

    Parameters
    ----------
    flux : `~numpy.ndarray`
        Flux in I and V over its maximum at evenly spaced phases from the deeper minimum on, shape (n, 2, phases).

    Returns
    -------
    dict
        Amplitude, depths in both bands, a2, a4 and W of each curve, by name of the column of truth.
    """
    magnitude = -2.5 * np.log10(flux)
    n_phases = flux.shape[-1]
    second = magnitude[:, :, n_phases // 4 : 3 * n_phases // 4 + 1].max(axis=-1)
    cosine = 2.0 * np.fft.rfft(flux[:, 0], axis=-1).real / n_phases
    a2, a4 = cosine[:, 2], cosine[:, 4]
    return {
        "amplitude_I": magnitude[:, 0].max(axis=-1),
        "depth1_I": magnitude[:, 0, 0],
        "depth2_I": second[:, 0],
        "depth1_V": magnitude[:, 1, 0],
        "depth2_V": second[:, 1],
        "a2": a2,
        "a4": a4,
        "W": a4 - a2 * (0.125 - a2),
    }
