"""Where to look a star up. Links are followed by whoever clicks them; nothing is ever loaded from there."""

import math
from dataclasses import dataclass
from urllib.parse import quote

__all__ = ["StarLink", "star_links"]

_RADIUS_ARCSEC = 5
_FIELD_DEG = 0.05


@dataclass(frozen=True)
class StarLink:
    """A link to a star in some service."""

    name: str
    address: str


def star_links(star: str, *, ra: float, dec: float, simulated: bool) -> tuple[StarLink, ...]:
    """Links to an observed star.

    Parameters
    ----------
    star : str
        Identifier.
    ra, dec : float
        ICRS, degrees.
    simulated : bool
        Whether the star is simulated; such a star has no links.

    Returns
    -------
    tuple of StarLink
        SIMBAD, VizieR, Aladin Lite and ESASky by position, and OGLE's own page by the identifier.

    Notes
    -----
    Addresses follow https://simbad.cds.unistra.fr/guide/sim-url.htx for SIMBAD, and the forms that the other services
    give themselves when a position is shared.
    """
    if simulated:
        return ()
    links = []
    if math.isfinite(ra) and math.isfinite(dec):
        place = quote(f"{ra:.6f} {dec:+.6f}")
        links = [
            StarLink(
                "SIMBAD",
                f"https://simbad.cds.unistra.fr/simbad/sim-coo?Coord={place}&CooFrame=ICRS&CooEpoch=2000&CooEqui=2000"
                f"&Radius={_RADIUS_ARCSEC}&Radius.unit=arcsec",
            ),
            StarLink("VizieR", f"https://vizier.cds.unistra.fr/viz-bin/VizieR?-c={place}&-c.rs={_RADIUS_ARCSEC}"),
            StarLink(
                "Aladin Lite",
                f"https://aladin.cds.unistra.fr/AladinLite/?target={place}&fov={_FIELD_DEG}&survey=P%2FDSS2%2Fcolor",
            ),
            StarLink("ESASky", f"https://sky.esa.int/esasky/?target={place}&fov={_FIELD_DEG}&cooframe=J2000&sci=true"),
        ]
    if star.startswith("OGLE-"):
        links.append(StarLink("OGLE", f"https://ogledb.astrouw.edu.pl/~ogle/OCVS/getobj.php?s={quote(star)}"))
    return tuple(links)
