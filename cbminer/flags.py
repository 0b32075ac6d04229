"""Bit flags of a star: what was missing, and which substitute was used for it."""

from enum import IntFlag

__all__ = ["FLAG_MEANINGS", "Flag", "decode_flags"]


class Flag(IntFlag):
    """What a reader of the catalogue should know about a star before trusting its numbers."""

    NO_CATALOGUE_ROW = 1
    NO_V = 2
    NO_I = 4
    NO_PERIOD = 8
    NO_EPOCH = 16
    SATURATION_RISK = 32
    MEAN_REDDENING = 64
    OUTSIDE_REDDENING_MAP = 128
    NO_LIGHT_CURVE = 256
    LIGHT_CURVE_NOT_READ = 512
    LIGHT_CURVE_UNREADABLE = 1024
    LIGHT_CURVE_DAMAGED = 2048
    TOO_FEW_POINTS = 4096
    PHASE_GAP = 8192
    C_UNKNOWN = 16384
    DEGENERATE = 32768
    FEW_POINTS = 65536
    NEGATIVE_REDDENING = 131072
    BLANK_REDDENING = 262144
    PERIOD_DOUBTED = 524288
    PERIOD_REPLACED = 1048576
    PERIOD_AMBIGUOUS = 2097152
    C_EXTRAPOLATED = 4194304
    C_PUBLISHED = 8388608
    OUTSIDE_POPULATION = 16777216
    NO_PLACE_EVIDENCE = 33554432
    NO_CURVE_EVIDENCE = 67108864
    NO_DISTANCE = 134217728
    POOR_PARALLAX = 268435456
    NO_REDDENING = 536870912
    GIVEN_PHOTOMETRY = 1073741824


FLAG_MEANINGS: dict[Flag, str] = {
    Flag.NO_CATALOGUE_ROW: "in ident.dat, but without a row in ecl.dat or ell.dat",
    Flag.NO_V: "no V magnitude, so no colour",
    Flag.NO_I: "no I magnitude",
    Flag.NO_PERIOD: "no period",
    Flag.NO_EPOCH: "no epoch of the primary minimum",
    Flag.SATURATION_RISK: "brighter than the saturation limit of the survey",
    Flag.MEAN_REDDENING: "mean reddening of the Cloud, not a map",
    Flag.OUTSIDE_REDDENING_MAP: "outside the reddening map that was given",
    Flag.NO_LIGHT_CURVE: "no light curve in the archive",
    Flag.LIGHT_CURVE_NOT_READ: "light curve not needed after the catalogue-level cuts, so not read",
    Flag.LIGHT_CURVE_UNREADABLE: "light curve could not be read",
    Flag.LIGHT_CURVE_DAMAGED: "lines of the light curve were set aside",
    Flag.TOO_FEW_POINTS: "too few points for a shape",
    Flag.PHASE_GAP: "phases not covered well enough for a shape",
    Flag.C_UNKNOWN: "no c: judged on the Fourier shape alone",
    Flag.DEGENERATE: "light curve that cannot tell contact from near contact or from a close pair without eclipses",
    Flag.FEW_POINTS: "fewer points than the highest harmonic order asks for: order was limited",
    Flag.NEGATIVE_REDDENING: "negative reddening of the map, kept as it is",
    Flag.BLANK_REDDENING: "in the reddening map, but in a cell without a value",
    Flag.PERIOD_DOUBTED: "listed period that the light curve does not confirm",
    Flag.PERIOD_REPLACED: "period of the light curve in place of the listed one",
    Flag.PERIOD_AMBIGUOUS: "light curve that alone cannot tell the period from half or twice of it",
    Flag.C_EXTRAPOLATED: "light curve unlike every training curve of c",
    Flag.C_PUBLISHED: "published c in place of the measured one",
    Flag.OUTSIDE_POPULATION: "period, magnitude and colour that no contact model comes near to",
    Flag.NO_PLACE_EVIDENCE: "odds without magnitude and colour, which are not known",
    Flag.NO_CURVE_EVIDENCE: "odds without a light curve",
    Flag.NO_DISTANCE: "no distance of its own, and none that all stars have in common",
    Flag.POOR_PARALLAX: "parallax too uncertain for a distance, or not above zero",
    Flag.NO_REDDENING: "no reddening: no value of its own, none of a map, and no mean",
    Flag.GIVEN_PHOTOMETRY: "absolute magnitude or intrinsic colour as the table gives them, errors as if independent",
}


def decode_flags(value: int) -> list[str]:
    """Names of the bits that are set.

    Parameters
    ----------
    value : int
        The ``flags`` column of one star.

    Returns
    -------
    list of str
        Names in the order of the bits.
    """
    return [flag.name or "" for flag in Flag if value & flag]
