"""Completeness and contamination: shares of injected stars that end in a sample, over what is true of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from scipy.special import betaincinv

from cbminer.columns import FloatArray, float_column, label_column, text_column, values
from cbminer.completeness.systems import KINDS
from cbminer.theory.population_settings import CountSettings

__all__ = [
    "AXES",
    "MAPS",
    "SAMPLES",
    "Axis",
    "Mask",
    "RateMap",
    "axis_values",
    "jeffreys_interval",
    "rate_map",
    "samples_of",
    "tabulate_cuts",
    "tabulate_rates",
]

Mask = npt.NDArray[np.bool_]

# Share of the probability that an interval holds: one standard deviation of a normal distribution.
_WITHIN = 0.6827

SAMPLES: Mapping[str, str] = {
    "selected": "passes every cut",
    "bona fide": "is in the bona fide set",
    "probable": "has the least posterior probability of contact, and is measured within the population's limits of M_V "
    "and period",
}


@dataclass(frozen=True)
class Axis:
    """A quantity over which completeness is told.

    Attributes
    ----------
    label : str
        What a figure calls it.
    unit : str
        Its unit.
    edges : tuple of float
        Edges of the bins; values beyond are in no bin.
    logarithmic : bool
        Whether a figure shows its logarithm.
    """

    label: str
    unit: str
    edges: tuple[float, ...]
    logarithmic: bool = False


def _even(low: float, high: float, n: int) -> tuple[float, ...]:
    return tuple(np.linspace(low, high, n + 1).round(6).tolist())


AXES: Mapping[str, Axis] = {
    "period": Axis("P [d]", "d", (0.3, 0.4, 0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.0, 3.75, 4.7, 6.0, 9.0), True),
    "M_V": Axis(r"$M_V$ [mag]", "mag", _even(-8.0, 0.5, 17)),
    "I_mag": Axis("I [mag]", "mag", _even(11.0, 20.0, 18)),
    "mass_1": Axis(r"$M_1$ [M$_\odot$]", "solMass", (3, 4, 5, 6.3, 8, 10, 12.5, 16, 20, 25, 32, 40, 60), True),
    "mass_ratio": Axis("q", "", _even(0.0, 1.0, 10)),
    "inclination": Axis("i [deg]", "deg", _even(0.0, 90.0, 9)),
    "fillout_factor": Axis("fill-out f", "", _even(0.0, 1.0, 8)),
    "lobe_filling": Axis(r"mean R / R$_\mathrm{L}$", "", _even(0.7, 1.0, 15)),
}  # fmt: skip
MAPS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "contact": (("period", "M_V"), ("inclination", "fillout_factor"), ("inclination", "mass_ratio")),
    "near_contact": (("period", "M_V"), ("inclination", "lobe_filling"), ("inclination", "mass_ratio")),
}
_MARGINALS: Mapping[str, tuple[str, ...]] = {
    kind: ("period", "M_V", "I_mag", "mass_1", "mass_ratio", "inclination", MAPS[kind][1][1]) for kind in KINDS
}


@dataclass(frozen=True)
class RateMap:
    """Share of stars that end in a sample, in bins of two quantities.

    Attributes
    ----------
    x, y : str
        Quantities, by their names in `AXES`.
    n, found : `~numpy.ndarray`
        Injected stars and those found, int64, shape (bins of x, bins of y).
    """

    x: str
    y: str
    n: npt.NDArray[np.int64]
    found: npt.NDArray[np.int64]

    @property
    def share(self) -> FloatArray:
        """Share found; NaN where nothing was injected."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.found / self.n)


def jeffreys_interval(found: npt.ArrayLike, n: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Interval of a share that was counted.

    Parameters
    ----------
    found, n : array_like
        Numbers of those found and of all.

    Returns
    -------
    low, high : `~numpy.ndarray`
        Ends of the interval of Jeffreys that holds 68.27 %; 0 if none and 1 if all are found; NaN for n = 0.

    Notes
    -----
    Equal tails of the Beta(k + 1/2, n - k + 1/2) distribution (Brown, Cai & DasGupta 2001, Statist. Sci. 16, 101).
    """
    k, total = np.broadcast_arrays(np.asarray(found, dtype=float), np.asarray(n, dtype=float))
    tail = (1.0 - _WITHIN) / 2.0
    low, high = (betaincinv(k + 0.5, total - k + 0.5, level) for level in (tail, 1.0 - tail))
    unknown = total <= 0
    return (
        np.asarray(np.where(unknown, np.nan, np.where(k <= 0, 0.0, low))),
        np.asarray(np.where(unknown, np.nan, np.where(k >= total, 1.0, high))),
    )


def samples_of(stars: QTable, *, least_probability: float, limits: CountSettings) -> dict[str, Mask]:
    """Tell which stars are in which sample, of injected stars and of those of a run alike.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars; columns bona_fide and post_contact may be missing.
    least_probability : float
        Posterior probability of contact from which a star is in the sample "probable".
    limits : CountSettings
        Limits of that sample in M_V and period, which no cut gives it.

    Returns
    -------
    dict of str to `~numpy.ndarray`
        Masks by name, those of `SAMPLES` that can be told.
    """
    found = {"selected": _boolean(stars, "selected")}
    if "bona_fide" in stars.colnames and not np.all(getattr(stars["bona_fide"], "mask", False)):
        found["bona fide"] = _boolean(stars, "bona_fide")
    if "post_contact" in stars.colnames and np.isfinite(probability := values(stars, "post_contact")).any():
        with np.errstate(invalid="ignore"):
            m_v, period = values(stars, "M_V", "mag"), values(stars, "period", "d")
            within = (m_v >= limits.M_V_bright) & (m_v <= limits.M_V_faint) & (period < limits.period_max)
            found["probable"] = within & (probability >= least_probability)
    return found


def _boolean(stars: QTable, name: str) -> Mask:
    column = stars[name]
    return np.asarray(column.filled(False) if hasattr(column, "filled") else column, dtype=bool)


def axis_values(injected: QTable, axis: str) -> FloatArray:
    """Values of injected stars along an axis: the true ones.

    Parameters
    ----------
    injected : `~astropy.table.QTable`
        Injected stars.
    axis : str
        A name in `AXES`.

    Returns
    -------
    `~numpy.ndarray`
        In the unit of the axis, shape (n,).
    """
    if axis == "lobe_filling":
        return np.asarray((values(injected, "lobe_filling_1") + values(injected, "lobe_filling_2")) / 2.0)
    column = f"true_{axis}" if axis in {"period", "M_V", "I_mag"} else axis
    return values(injected, column, AXES[axis].unit)


def rate_map(injected: QTable, sample: Mask, x: str, y: str) -> RateMap:
    """Count injected stars, and those in a sample, in bins of two quantities.

    Parameters
    ----------
    injected : `~astropy.table.QTable`
        Injected stars.
    sample : `~numpy.ndarray`
        Which of them are in the sample, shape (n,).
    x, y : str
        Names in `AXES`.

    Returns
    -------
    RateMap
        The counts.
    """
    places = np.column_stack([axis_values(injected, name) for name in (x, y)])
    edges = [np.array(AXES[name].edges) for name in (x, y)]
    known = np.isfinite(places).all(axis=1)
    n, found = (np.histogramdd(places[chosen], bins=edges)[0].astype(np.int64) for chosen in (known, known & sample))
    return RateMap(x, y, n, found)


def tabulate_rates(injected: QTable, samples: Mapping[str, Mask], *, least_depth: float | None) -> QTable:
    """Tabulate shares found over all axes and maps.

    Parameters
    ----------
    injected : `~astropy.table.QTable`
        Injected stars.
    samples : mapping of str to `~numpy.ndarray`
        Which of them are in which sample.
    least_depth : float or None
        True depth in I in mag from which a star is in the subset "deep"; without it there is no such subset.

    Returns
    -------
    `~astropy.table.QTable`
        A row a Cloud, kind, subset, sample and bin that holds injected stars: x, x_low, x_high, y, y_low, y_high,
        n_injected, n_found, share, share_low, share_high. Rows without y are marginal, those without x are of all.
        Of contact binaries the share is the completeness, of pairs near contact what passes of them.
    """
    galaxies, kinds = label_column(injected, "galaxy"), label_column(injected, "kind")
    rows: list[tuple[str | float | int, ...]] = []
    for galaxy, kind, (subset, chosen) in product(np.unique(galaxies), KINDS, _subsets(injected, least_depth)):
        mine = (galaxies == galaxy) & (kinds == kind) & chosen
        for name, sample in samples.items():
            head = (str(galaxy), kind, subset, name)
            rows += [(*head, *row) for row in _rows(injected[mine], sample[mine], kind)]
    return _rates_table(rows)


def _subsets(injected: QTable, least_depth: float | None) -> list[tuple[str, Mask]]:
    every = ("all", np.ones(len(injected), dtype=bool))
    if least_depth is None:
        return [every]
    return [every, ("deep", values(injected, "true_depth1", "mag") >= least_depth)]


def _rows(stars: QTable, sample: Mask, kind: str) -> Iterator[tuple[str | float | int, ...]]:
    if len(stars) == 0:
        return
    yield ("", np.nan, np.nan, "", np.nan, np.nan, len(stars), int(sample.sum()))
    for axis in _MARGINALS[kind]:
        place = axis_values(stars, axis)
        n, found = (np.histogram(place[chosen], bins=AXES[axis].edges)[0] for chosen in (slice(None), sample))
        for (low, high), here, there in zip(pairwise(AXES[axis].edges), n, found, strict=True):
            if here:
                yield (axis, low, high, "", np.nan, np.nan, int(here), int(there))
    for x, y in MAPS[kind]:
        counted = rate_map(stars, sample, x, y)
        for i, j in np.argwhere(counted.n > 0):
            (x_low, x_high), (y_low, y_high) = AXES[x].edges[i : i + 2], AXES[y].edges[j : j + 2]
            yield (x, x_low, x_high, y, y_low, y_high, int(counted.n[i, j]), int(counted.found[i, j]))


def _rates_table(rows: list[tuple[str | float | int, ...]]) -> QTable:
    described = {
        "galaxy": "Cloud",
        "kind": "what was injected: of contact the share is the completeness, of near_contact what passes of it",
        "subset": "all: every inclination; deep: those whose true depth in I is that of a star that is seen",
        "sample": "; ".join(f"{name}: {what}" for name, what in SAMPLES.items()),
        "x": "first quantity, as it truly is; empty: all stars",
        "x_low": "lower edge of the bin in its unit",
        "x_high": "upper edge",
        "y": "second quantity; empty: marginal over it",
        "y_low": "lower edge of the bin in its unit",
        "y_high": "upper edge",
        "n_injected": "injected stars in the bin",
        "n_found": "those of them in the sample",
    }
    table = QTable()
    for name, column in zip(described, zip(*rows, strict=True), strict=True):
        if isinstance(column[0], str):
            table[name] = text_column(column)
        else:
            table[name] = np.array(column) if isinstance(column[0], int) else float_column(column)
        table[name].info.description = described[name]
    n, found = np.asarray(table["n_injected"]), np.asarray(table["n_found"])
    low, high = jeffreys_interval(found, n)
    for name, data, meaning in (
        ("share", found / n, "share found"),
        ("share_low", low, "lower end of its interval of 68 % (Jeffreys)"),
        ("share_high", high, "upper end"),
    ):
        table[name] = float_column(data)
        table[name].info.description = meaning
        table[name].info.format = ".4f"
    return table


def tabulate_cuts(injected: QTable) -> QTable:
    """Count which cut loses the injected stars.

    Parameters
    ----------
    injected : `~astropy.table.QTable`
        Injected stars.

    Returns
    -------
    `~astropy.table.QTable`
        A row a Cloud, kind and reason, as rejected_by words it; those that pass every cut have the reason "none".
    """
    reasons = label_column(injected, "rejected_by")
    reasons = np.where(reasons == "", "none", reasons)
    galaxies, kinds = label_column(injected, "galaxy"), label_column(injected, "kind")
    rows = []
    for galaxy, kind in product(np.unique(galaxies), KINDS):
        mine = (galaxies == galaxy) & (kinds == kind)
        names, counts = np.unique(reasons[mine], return_counts=True)
        order = np.lexsort((names, -counts))
        rows += [(str(galaxy), kind, str(names[i]), int(counts[i]), counts[i] / mine.sum()) for i in order]
    table = QTable(rows=rows, names=("galaxy", "kind", "rejected_by", "n", "share"))
    table["rejected_by"].info.description = "first cut that removed the star and why; none: it is selected"
    table["share"].info.description = "of all injected stars of this kind"
    table["share"].info.format = ".4f"
    return table
