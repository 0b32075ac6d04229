"""Coordinates in sexagesimal notation: rounded once, as whole ticks, so that no second reads 60."""

import re

__all__ = ["dec_degrees", "dec_text", "ra_degrees", "ra_text"]

_PARTS = r"(\d{{1,2}}){0}(\d{{1,2}}){0}(\d{{1,2}}(?:\.\d*)?)"


def ra_text(degrees: float, *, separator: str = ":", decimals: int = 3) -> str:
    """Right ascension as hours, minutes and seconds.

    Parameters
    ----------
    degrees : float
        Right ascension; any turn of the circle is taken off.
    separator : str, optional
        What stands between the parts.
    decimals : int, optional
        Decimals of the seconds of time; with three, the rounding is at most 0.0075 arcsec.

    Returns
    -------
    str
        Such as ``05:28:31.560``; never 24 hours.
    """
    ticks = round(degrees % 360.0 * 240.0 * 10**decimals) % (86400 * 10**decimals)
    return _joined(ticks, separator, decimals)


def dec_text(degrees: float, *, separator: str = ":", decimals: int = 2) -> str:
    """Declination as degrees, minutes and seconds, always with its sign.

    Parameters
    ----------
    degrees : float
        Declination from -90 to 90.
    separator : str, optional
        What stands between the parts.
    decimals : int, optional
        Decimals of the seconds of arc; with two, the rounding is at most 0.005 arcsec.

    Returns
    -------
    str
        Such as ``-00:16:00.05``.

    Raises
    ------
    ValueError
        If it is no declination.
    """
    if not -90.0 <= degrees <= 90.0:
        msg = f"{degrees} is no declination"
        raise ValueError(msg)
    ticks = round(abs(degrees) * 3600.0 * 10**decimals)
    return ("-" if degrees < 0 else "+") + _joined(ticks, separator, decimals)


def ra_degrees(text: str, *, separator: str = ":") -> float:
    """Read a right ascension.

    Parameters
    ----------
    text : str
        Hours, minutes and seconds.
    separator : str, optional
        What stands between the parts.

    Returns
    -------
    float
        Degrees from 0 to below 360.

    Raises
    ------
    ValueError
        If the text is none, or a part is out of range.
    """
    found = re.fullmatch(_PARTS.format(re.escape(separator)), text, flags=re.ASCII)
    hours, minutes, seconds = (float(part) for part in found.groups()) if found else (99.0, 0.0, 0.0)
    if hours >= 24 or minutes >= 60 or seconds >= 60:
        msg = f"{text!r} is no right ascension such as {ra_text(82.1315, separator=separator)}"
        raise ValueError(msg)
    return (hours * 3600.0 + minutes * 60.0 + seconds) / 240.0


def dec_degrees(text: str, *, separator: str = ":") -> float:
    """Read a declination.

    Parameters
    ----------
    text : str
        Sign, degrees, minutes and seconds.
    separator : str, optional
        What stands between the parts.

    Returns
    -------
    float
        Degrees; of ``-00`` the sign counts too.

    Raises
    ------
    ValueError
        If the text is none, or a part is out of range.
    """
    found = re.fullmatch("([+-])" + _PARTS.format(re.escape(separator)), text, flags=re.ASCII)
    degrees, minutes, seconds = (float(part) for part in found.groups()[1:]) if found else (99.0, 0.0, 0.0)
    size = degrees + minutes / 60.0 + seconds / 3600.0
    if minutes >= 60 or seconds >= 60 or size > 90:
        msg = f"{text!r} is no declination such as {dec_text(-69.5, separator=separator)}"
        raise ValueError(msg)
    return -size if text.startswith("-") else size


def _joined(ticks: int, separator: str, decimals: int) -> str:
    whole, part = divmod(ticks, 10**decimals)
    minutes, seconds = divmod(whole, 60)
    first, minutes = divmod(minutes, 60)
    fraction = f".{part:0{decimals}d}" if decimals else ""
    return separator.join((f"{first:02d}", f"{minutes:02d}", f"{seconds:02d}{fraction}"))
