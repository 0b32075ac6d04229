"""The odds of a star as page and sheets show them: the parts they are made of, and why any is not known."""

from dataclasses import dataclass

import numpy as np
from astropy.table import QTable

from cbminer.columns import values
from cbminer.flags import Flag

__all__ = ["ODDS_PARTS", "OddsPart", "absent_odds"]


@dataclass(frozen=True)
class OddsPart:
    """A part of the logarithm of the odds of contact against near contact.

    Attributes
    ----------
    name : str
        Column.
    label : str
        What it is called.
    flag : Flag or None
        Set where what it rests on is not known; None if it always is.
    absent : str
        What is written in its place then.
    """

    name: str
    label: str
    flag: Flag | None = None
    absent: str = ""

    def text(self, value: float, flags: int) -> str:
        """Write the part of a star.

        Parameters
        ----------
        value : float
            Value of the column; NaN if unknown.
        flags : int
            Flags of the star.

        Returns
        -------
        str
            The number with its sign, or why there is none. Without magnitude and colour the period alone may still
            say something.
        """
        if self.flag is not None and flags & self.flag:
            return f"{value:+.2f} (period alone)" if np.isfinite(value) and value != 0 else self.absent
        return f"{value:+.2f}" if np.isfinite(value) else "not known"


ODDS_PARTS = (
    OddsPart("ln_odds_prior", "frequency in the survey"),
    OddsPart("ln_odds_place", "period, magnitude and colour", Flag.NO_PLACE_EVIDENCE, "no place"),
    OddsPart("ln_odds_curve", "light curve", Flag.NO_CURVE_EVIDENCE, "no light curve"),
    OddsPart("ln_odds", "sum"),
    OddsPart("ln_odds_population", "theoretical population alone, not in the sum"),
)


def absent_odds(stars: QTable) -> list[str | None]:
    """Say why stars have no odds.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars in the schema.

    Returns
    -------
    list of str or None
        A sentence for every star without odds: they are lacking only where there is no light curve to judge by, and
        either no period or too few light curves in the survey.
    """
    odds, period = values(stars, "ln_odds"), values(stars, "period", "d")
    curve = (np.asarray(stars["flags"], dtype=np.int64) & Flag.NO_CURVE_EVIDENCE) == 0
    return [
        _reason(has_curve=bool(judged), period=float(days)) if np.isnan(known) else None
        for known, days, judged in zip(odds, period, curve, strict=True)
    ]


def _reason(*, has_curve: bool, period: float) -> str:
    if has_curve:
        return "The run has not ranked the star."
    if np.isnan(period):
        return "The star has neither a light curve to judge by nor a period."
    return "The star has no light curve to judge by, and the survey too few to tell by its place alone."
