"""Tables of what moves the sample: limits one at a time, all together, and the errors of the bootstrap."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from astropy.table import MaskedColumn, QTable

from cbminer.columns import FloatArray, float_column, label_column, text_column
from cbminer.completeness.bootstrap import LABELS, Bootstrap, first_cuts
from cbminer.completeness.rejudging import Rejudging, bona_fide_of, plain_stars, with_plc_columns
from cbminer.completeness.sensitivity import SampleCounts, Sensitivity
from cbminer.selection.cutflow import SelectionSettings

__all__ = [
    "tabulate_bootstrap",
    "tabulate_counts",
    "tabulate_scans",
    "tabulate_summary",
    "tabulate_turning_stars",
]


def tabulate_scans(sensitivity: Sensitivity) -> QTable:
    """Write the sample at every value of every limit into one table.

    Parameters
    ----------
    sensitivity : Sensitivity
        What was measured.

    Returns
    -------
    `~astropy.table.QTable`
        A row a value: setting ("all limits" for the joint scan, whose value is the share), value, unit, of_run, n, n_O,
        n_B, n_bona_fide, n_come, n_go, n_unread.
    """
    rows: list[tuple[str, float, str, bool, SampleCounts, int, int]] = []
    for scan in sensitivity.scans:
        name, unit, own = f"selection.{scan.limit.path}", scan.limit.unit, scan.of_run
        rows += [(name, value, unit, k == own, scan.sample, k, own) for k, value in enumerate(scan.values)]
    joint = sensitivity.joint
    own = int(np.flatnonzero(joint.shares == 0.0)[0])
    rows += [("all limits", share, "", k == own, joint.sample, k, own) for k, share in enumerate(joint.shares)]
    counts = np.array([sample.counts[k] for *_, sample, k, _ in rows])
    come = [(sample.selected[k] & ~sample.selected[own]).sum() for *_, sample, k, own in rows]
    go = [(~sample.selected[k] & sample.selected[own]).sum() for *_, sample, k, own in rows]
    known = ~np.isnan(counts[:, 0])
    table = QTable(
        {
            "setting": [row[0] for row in rows],
            "value": float_column([row[1] for row in rows]),
            "unit": text_column([row[2] for row in rows]),
            "of_run": [row[3] for row in rows],
            **{name: _integers(counts[:, k]) for k, name in enumerate(("n", "n_O", "n_B", "n_bona_fide"))},
            "n_come": MaskedColumn(np.array(come, dtype=np.int64), mask=~known),
            "n_go": MaskedColumn(np.array(go, dtype=np.int64), mask=~known),
            "n_unread": [int(sample.unread[k]) for *_, sample, k, _ in rows],
        }
    )
    table["value"].info.format = ".6g"
    return _described(
        table,
        {
            "setting": "Limit that is moved; all limits: each loosened by the share of its value",
            "value": "Its value, or the share by which every limit is loosened",
            "unit": "Unit of the value",
            "of_run": "Whether it is the value of the run",
            "n": "Stars that pass every cut; masked where the relation could not be fitted",
            "n_O": "Those of them with the label O",
            "n_B": "Those of them with the label B",
            "n_bona_fide": "Those of them in the bona fide set of the run; none can come that the run did not select",
            "n_come": "Stars that are in here and not in the run",
            "n_go": "Stars that are in the run and not here",
            "n_unread": "Stars that pass the cuts of the catalogue, but whose light curves the run did not read",
        },
    )


def tabulate_summary(sensitivity: Sensitivity) -> QTable:
    """Write what 10 % of every limit do to the sample.

    Parameters
    ----------
    sensitivity : Sensitivity
        What was measured.

    Returns
    -------
    `~astropy.table.QTable`
        A row a limit, that which moves most stars first: setting, value, unit, loosens, low, high, n, n_tight,
        n_loose, n_come, n_go, scale, per_10_percent (all, O, B), per_unit, typical_error, per_error.
    """
    words = {1: "higher", -1: "lower", 0: "neither"}
    scans = sensitivity.scans
    beside = [scan.beside for scan in scans]
    rates, units = np.array([scan.per_10_percent for scan in scans]), np.array([scan.per_unit for scan in scans])
    table = QTable(
        {
            "setting": [f"selection.{scan.limit.path}" for scan in scans],
            "value": float_column([scan.limit.value for scan in scans]),
            "unit": text_column([scan.limit.unit for scan in scans]),
            "loosens": [words[scan.response.direction] for scan in scans],
            "low": float_column([scan.values[0] for scan in scans]),
            "high": float_column([scan.values[-1] for scan in scans]),
            "n": _integers(np.array([scan.sample.counts[scan.of_run, 0] for scan in scans])),
            "n_tight": _integers(
                np.array([scan.sample.counts[k, 0] for scan, (k, _) in zip(scans, beside, strict=True)])
            ),
            "n_loose": _integers(
                np.array([scan.sample.counts[k, 0] for scan, (_, k) in zip(scans, beside, strict=True)])
            ),
            "n_come": MaskedColumn([scan.moved[0] for scan in scans], mask=[not scan.known[0] for scan in scans]),
            "n_go": MaskedColumn([scan.moved[1] for scan in scans], mask=[not scan.known[1] for scan in scans]),
            "scale": float_column([scan.response.scale for scan in scans]),
            "per_10_percent": float_column(rates[:, 0]),
            "per_10_percent_O": float_column(rates[:, 1]),
            "per_10_percent_B": float_column(rates[:, 2]),
            "per_unit": float_column(units[:, 0]),
            "typical_error": float_column([scan.response.typical_error for scan in scans]),
            "per_error": float_column([scan.per_error for scan in scans]),
        }
    )
    for name in ("value", "low", "high", "scale", "per_unit", "typical_error"):
        table[name].info.format = ".5g"
    for name in ("per_10_percent", "per_10_percent_O", "per_10_percent_B", "per_error"):
        table[name].info.format = ".2f"
    return _described(
        table,
        {
            "setting": "Limit, that which moves most stars first",
            "value": "Its value in the run",
            "unit": "Unit of the value",
            "loosens": "Which change of it lets stars in; neither: both do, or none",
            "low": "Lowest value that was tried",
            "high": "Highest value that was tried",
            "n": "Stars of the sample of the run",
            "n_tight": "Stars where the limit is 10 % of its value tighter (lower, if neither lets stars in)",
            "n_loose": "Stars where it is 10 % looser (higher, if neither lets stars in)",
            "n_come": "Stars that are new where it is 10 % looser",
            "n_go": "Stars that are lost where it is 10 % tighter",
            "per_10_percent": "Stars for 10 % of the value, central difference over 10 % to each side",
            "per_10_percent_O": "The same of stars with the label O",
            "per_10_percent_B": "The same of stars with the label B",
            "per_unit": "Stars for a unit of the value, positive if a higher one lets stars in",
            "scale": "What 10 % are a tenth of: the value without its sign, or half of the range for a value of 0",
            "typical_error": "Median error of what is limited, of stars that this limit decides, as a change of it",
            "per_error": "Stars by which the sample changes if the limit moves by this error",
        },
    )


def tabulate_turning_stars(rejudging: Rejudging, sensitivity: Sensitivity) -> QTable:
    """Name the stars that come and go, and where.

    Parameters
    ----------
    rejudging : Rejudging
        The run.
    sensitivity : Sensitivity
        What was measured.

    Returns
    -------
    `~astropy.table.QTable`
        A row a limit and star: setting, id, galaxy, spectral_label, change ("comes" or "goes"), and the value nearest
        to that of the run at which it has changed.
    """
    stars = rejudging.stars
    columns = {name: label_column(stars, name) for name in ("id", "galaxy", "spectral_label")}
    rows = []
    for scan in sensitivity.scans:
        now = scan.sample.selected[scan.of_run]
        known = ~np.isnan(scan.sample.counts[:, 0])
        changes = (scan.sample.selected != now) & known[:, None]
        distance = np.abs(scan.values - scan.limit.value)
        for star in np.flatnonzero(changes.any(axis=0)):
            nearest = min(np.flatnonzero(changes[:, star]), key=lambda k: distance[k])
            word = "goes" if now[star] else "comes"
            own = [columns[name][star] for name in columns]
            rows.append((f"selection.{scan.limit.path}", *own, word, float(scan.values[nearest]), scan.limit.unit))
    names = ("setting", "id", "galaxy", "spectral_label", "change", "value", "unit")
    parts = list(zip(*rows, strict=True)) or [()] * len(names)
    table = QTable()
    for name, part in zip(names, parts, strict=True):
        table[name] = float_column(part) if name == "value" else text_column(part)
    table["value"].info.format = ".6g"
    return _described(
        table,
        {
            "setting": "Limit that is moved",
            "id": "Identifier of the star",
            "galaxy": "Galaxy of the star",
            "spectral_label": "O or B by its absolute magnitude in the run",
            "change": "comes: in at the value, not in the run; goes: in the run, not at the value",
            "value": "Value nearest to that of the run, of those tried, at which the star has changed",
            "unit": "Unit of the value",
        },
    )


def _integers(numbers: FloatArray) -> MaskedColumn:
    known = np.isfinite(numbers)
    return MaskedColumn(np.where(known, numbers, 0).astype(np.int64), mask=~known)


def _described(table: QTable, descriptions: Mapping[str, str]) -> QTable:
    for name, description in descriptions.items():
        table[name].info.description = description
    return table


def tabulate_bootstrap(stars: QTable, bootstrap: Bootstrap) -> QTable:
    """Tell of every star that is ever in how often it is, and what takes it out.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars of the run, in the order of the bootstrap.
    bootstrap : Bootstrap
        The draws.

    Returns
    -------
    `~astropy.table.QTable`
        A row a star, the firmest first: id, galaxy, spectral_label, selected, rank, bona_fide (if the run has it),
        share_in, e_share_in, lost_by, share_lost_by.

    Notes
    -----
    The error is the standard deviation of the share given k of n draws under Jeffreys' prior,
    Beta(k + 1/2, n - k + 1/2), which is not 0 for a star that is in every time.
    """
    selected, rank = np.asarray(stars["selected"], dtype=bool), np.asarray(stars["rank"], dtype=np.int64)
    times, n = bootstrap.times_in, bootstrap.n_draws
    ever = np.flatnonzero((times > 0) | selected)
    names = label_column(stars, "id")
    ordered = ever[np.lexsort((names[ever], np.where(selected[ever], rank[ever], len(stars)), -times[ever]))]
    k, most = times[ordered], bootstrap.lost_by[:, ordered].argmax(axis=0)
    lost = bootstrap.lost_by[most, ordered]
    table = QTable({name: label_column(stars, name)[ordered] for name in ("id", "galaxy")})
    table["spectral_label"] = text_column(label_column(stars, "spectral_label")[ordered])
    table["selected"], table["rank"] = selected[ordered], rank[ordered]
    trusted = bona_fide_of(stars)
    if trusted is not None:
        table["bona_fide"] = trusted[ordered]
        table["bona_fide"].info.description = "Whether it is in the bona fide set of the run"
    table["share_in"] = float_column(k / n)
    table["e_share_in"] = float_column(np.sqrt((k + 0.5) * (n - k + 0.5) / ((n + 1.0) ** 2 * (n + 2.0))))
    table["lost_by"] = text_column(np.where(lost > 0, np.array(bootstrap.cuts)[most], ""))
    table["share_lost_by"] = float_column(lost / n)
    for name in ("share_in", "e_share_in", "share_lost_by"):
        table[name].info.format = ".4f"
    table.meta["comment"] = (
        "Stability of the verdict under a second realisation of the errors, not the probability that the true values "
        "lie within the limits. The draws move what the cuts see, not the contour of the bona fide set nor the odds: "
        "bona_fide is that of the run"
    )
    return _described(
        table,
        {
            "id": "Identifier of the star",
            "galaxy": "Galaxy of the star",
            "spectral_label": "O or B by its absolute magnitude in the run",
            "selected": "Whether it is in the sample of the run",
            "rank": "Its rank in the run; 0 for a star that is not selected",
            "share_in": f"Share of {n} draws in which it passes every cut",
            "e_share_in": "Binomial error of the share",
            "lost_by": "Cut that is most often the first to remove it; empty for a star that is always in",
            "share_lost_by": "Share of draws in which that cut does",
        },
    )


def tabulate_counts(stars: QTable, settings: SelectionSettings, bootstrap: Bootstrap) -> QTable:
    """Tell how many stars there are after every cut, and in the sample by label.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars of the run.
    settings : SelectionSettings
        The cuts.
    bootstrap : Bootstrap
        The draws.

    Returns
    -------
    `~astropy.table.QTable`
        A row a Cloud, quantity and kind of draw: galaxy, what, varies, n_run, mean, sigma, median and the percentiles
        p2_5, p16, p84, p97_5.
    """
    every = with_plc_columns(plain_stars(stars), settings)
    first, labels = first_cuts(every, settings)
    galaxies, n_cuts = label_column(every, "galaxy"), len(bootstrap.cuts)
    rows = []
    for place, galaxy in enumerate(bootstrap.galaxies):
        mine = (galaxies == galaxy) | (galaxy == "all")
        in_run = [int((mine & (first > index)).sum()) for index in range(n_cuts)]
        of_label = [int((mine & (first == n_cuts) & (labels == label)).sum()) for label in LABELS]
        for kind, remaining in bootstrap.remaining.items():
            labelled = bootstrap.labelled[kind][:, place]
            columns = [("sample", in_run[-1], remaining[:, place, -1])]
            columns += [(f"sample {label}", of_label[k], labelled[:, k]) for k, label in enumerate(LABELS)]
            columns += [(f"after {cut}", in_run[k], remaining[:, place, k]) for k, cut in enumerate(bootstrap.cuts)]
            rows += [(galaxy, what, kind, n_run, *_summary(drawn)) for what, n_run, drawn in columns]
    names = ("galaxy", "what", "varies", "n_run", "mean", "sigma", "median", "p2_5", "p16", "p84", "p97_5")
    table = QTable(rows=rows, names=names)
    for name in names[4:]:
        table[name].info.format = ".2f"
    return _described(
        table,
        {
            "galaxy": "Galaxy; all: those of the run together",
            "what": "sample: stars that pass every cut, all or by label; after a cut: those that are left then",
            "varies": "errors: magnitudes, distances, reddening, shapes; counting: which stars the survey happens to "
            "hold, drawn with replacement; both: the one and the other",
            "n_run": "Number in the run",
            "mean": f"Mean of {bootstrap.n_draws} draws",
            "sigma": "Standard deviation of the draws",
            "median": "Median of the draws",
            "p2_5": "Percentile 2.5 of the draws",
            "p16": "Percentile 16",
            "p84": "Percentile 84",
            "p97_5": "Percentile 97.5",
        },
    )


def _summary(drawn: npt.NDArray[np.int64]) -> tuple[float, ...]:
    low, first, median, third, high = np.percentile(drawn, (2.5, 16.0, 50.0, 84.0, 97.5))
    return float(drawn.mean()), float(drawn.std(ddof=1)), median, low, first, third, high
