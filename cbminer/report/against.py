"""A run compared with a published list: what both have, what only one has, and why."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from astropy.stats import binom_conf_interval
from astropy.table import MaskedColumn, QTable, Table

from cbminer.columns import FloatArray, float_column, label_column, text_column, values
from cbminer.completeness.rejudging import JudgedRun, Mask, bona_fide_of
from cbminer.flags import FLAG_MEANINGS, Flag
from cbminer.report.against_settings import AgainstSettings
from cbminer.report.products import SET_ASIDE_FILE
from cbminer.report.published_list import Matches, PublishedList, match_published
from cbminer.selection.cutflow import SelectionSettings

__all__ = ["COMMON", "NOT_COUNTED", "ONLY_HERE", "ONLY_THERE", "Comparison", "compare_with_list"]

COMMON, ONLY_HERE, ONLY_THERE, NOT_COUNTED = "common", "only here", "only there", "not counted"
# What a star may lack, for those that a cut drops for want of a number.
_LACKS = (
    *(Flag.NO_CATALOGUE_ROW, Flag.NO_V, Flag.NO_I, Flag.NO_PERIOD, Flag.NO_LIGHT_CURVE, Flag.LIGHT_CURVE_NOT_READ),
    *(Flag.LIGHT_CURVE_UNREADABLE, Flag.LIGHT_CURVE_DAMAGED, Flag.TOO_FEW_POINTS, Flag.PHASE_GAP),
)
_CONFIDENCE = 0.6827


@dataclass(frozen=True)
class Comparison:
    """What came of a comparison.

    Attributes
    ----------
    run : JudgedRun
        The run.
    published : PublishedList
        The list.
    table : `~astropy.table.QTable`
        A row a star that either has, and a row an entry that cannot be counted.
    cutflow : `~astropy.table.QTable`
        Stars of the catalogue and of the list after every cut, by Cloud.
    scores : `~astropy.table.QTable`
        Precision, recall and F1 of the sample and what else the run ranks, by Cloud.
    periods : dict of str to int
        Stars in both catalogues whose periods agree, are half or twice of the run's, or neither; empty without periods.
    notes : list of str
        What a reader should know.
    """

    run: JudgedRun
    published: PublishedList
    table: QTable
    cutflow: QTable
    scores: QTable
    periods: dict[str, int]
    notes: list[str]


@dataclass(frozen=True)
class _Entries:
    """Entries of the list, sorted.

    Attributes
    ----------
    counted : `~numpy.ndarray`
        Whether an entry counts: not a duplicate, not nameless, in a Cloud of the run; shape (n,).
    galaxy : `~numpy.ndarray`
        Cloud of each entry, empty where it cannot be told.
    reason : list of str
        Why an entry is not counted, or not in the catalogue; empty for the others.
    """

    counted: Mask
    galaxy: npt.NDArray[np.str_]
    reason: list[str]


def compare_with_list(run: JudgedRun, published: PublishedList, *, settings: AgainstSettings) -> Comparison:
    """Compare the sample of a run with a published list.

    Parameters
    ----------
    run : JudgedRun
        The run.
    published : PublishedList
        The list.
    settings : AgainstSettings
        How stars are found.

    Returns
    -------
    Comparison
        Tables and notes.
    """
    matches = match_published(published, run.stars, radius=settings.match_radius)
    entries = _sort_entries(run, published, matches)
    listed = np.zeros(len(run.stars), dtype=bool)
    listed[matches.row[entries.counted & (matches.row >= 0)]] = True
    table = _tabulate(run, published, matches, entries, listed)
    return Comparison(
        run,
        published,
        table,
        _cutflow(run, entries, listed),
        _scores(run, entries, listed),
        _compare_periods(table, settings.period_tolerance),
        _notes(run, published, matches, entries),
    )


def _sort_entries(run: JudgedRun, published: PublishedList, matches: Matches) -> _Entries:
    clouds = set(run.provenance.galaxies)
    of_run = label_column(run.stars, "galaxy")
    set_aside = _set_aside(run)
    counted, galaxies, reasons = [], [], []
    for entry, name in enumerate(published.ids):
        row, earlier = int(matches.row[entry]), int(matches.duplicate_of[entry])
        galaxy = str(of_run[row]) if row >= 0 else _cloud_in(str(name))
        # A run of one Cloud leaves no doubt where a star must be that does not say it.
        galaxy = galaxy or (next(iter(clouds)) if len(clouds) == 1 else "")
        reason, counts = "", True
        if earlier >= 0:
            reason, counts = f"duplicate of entry {earlier + 1}", False
        elif not name and not np.isfinite(published.ra[entry] + published.dec[entry]):
            reason, counts = "no identifier and no position", False
        elif row < 0 and galaxy and galaxy not in clouds:
            reason, counts = f"in the {galaxy}, which this run did not judge", False
        elif row < 0:
            reason = set_aside.get(str(name).upper(), "not in the survey's catalogue")
        counted.append(counts)
        galaxies.append(galaxy)
        reasons.append(reason)
    return _Entries(np.array(counted, dtype=bool), np.array(galaxies, dtype=str), reasons)


def _cloud_in(name: str) -> str:
    words = name.upper().replace("_", "-").replace(" ", "-").split("-")
    return next((cloud for cloud in ("LMC", "SMC") if cloud in words), "")


def _set_aside(run: JudgedRun) -> dict[str, str]:
    """Stars whose lines were kept out when the archive was read, with the reason."""
    path = run.folder / SET_ASIDE_FILE
    if not path.exists():
        return {}
    table = Table.read(path, format="ascii.ecsv")
    why = "set aside when the archive was read"
    return {
        str(row["star"]).upper(): f"{why}: {row['file']}, line {row['line']}: {row['reason']}"
        for row in table
        if str(row["star"])
    }


def _tabulate(run: JudgedRun, published: PublishedList, matches: Matches, entries: _Entries, listed: Mask) -> QTable:
    """Make the rows: entries in the order of the list, then stars that only the run has in the order of their rank."""
    stars = run.stars
    selected = np.asarray(stars["selected"], dtype=bool)
    ranks = np.asarray(stars["rank"], dtype=np.int64)
    only_here = np.flatnonzero(selected & ~listed)
    only_here = only_here[np.argsort(ranks[only_here], kind="stable")]
    rows = np.concatenate([matches.row, only_here])
    entry = np.concatenate([np.arange(len(published)), np.full(len(only_here), -1)])
    counted = np.concatenate([entries.counted, np.ones(len(only_here), dtype=bool)])
    chosen = np.array([row >= 0 and bool(selected[row]) for row in rows], dtype=bool)
    groups = np.select([~counted, entry < 0, chosen], [NOT_COUNTED, ONLY_HERE, COMMON], ONLY_THERE)
    reasons = [entries.reason[number] if number >= 0 else "" for number in entry]
    lost = np.flatnonzero((groups == ONLY_THERE) & (rows >= 0))
    removed, others = _why_removed(stars[rows[lost]], run.settings.selection)
    also = [""] * len(rows)
    for place, why, more in zip(lost, removed, others, strict=True):
        reasons[place], also[place] = why, more
    table = QTable()
    table["group"] = groups
    table["entry"] = MaskedColumn(entry + 1, mask=entry < 0)
    table["listed_id"] = text_column([str(published.ids[number]) if number >= 0 else "" for number in entry])
    for name in ("id", "galaxy", "spectral_label"):
        texts = label_column(stars, name)
        table[name] = text_column([str(texts[row]) if row >= 0 else "" for row in rows])
    table["matched_by"] = text_column([str(matches.by[number]) if number >= 0 else "" for number in entry])
    table["separation"] = float_column(_of_entries(matches.separation, entry), "arcsec")
    table["rank"] = MaskedColumn([int(ranks[row]) if row >= 0 else 0 for row in rows], mask=~chosen)
    if _ranking(stars) == "contact_rank":
        places = np.ma.filled(np.ma.asarray(stars["contact_rank"]), 0).astype(np.int64)
        numbers = np.array([int(places[row]) if row >= 0 else 0 for row in rows], dtype=np.int64)
        table["contact_rank"] = MaskedColumn(numbers, mask=numbers == 0)
    name = _probability(stars)
    table[name] = float_column(_of_rows(values(stars, name), rows))
    trusted = bona_fide_of(stars)
    if trusted is not None:
        table["bona_fide"] = np.array([row >= 0 and bool(trusted[row]) for row in rows], dtype=bool)
    for name, unit in (("period", "d"), ("M_V", "mag"), ("VI0", "mag")):
        table[name] = float_column(_of_rows(values(stars, name, unit), rows), unit)
    for name, data in published.numbers.items():
        unit = str(table[name].unit or "") if name in table.colnames else ("mag" if name.endswith("_mag") else "")
        table[f"{name}_listed"] = float_column(_of_entries(data, entry), unit)
        if name not in table.colnames:
            table[name] = float_column(_of_rows(values(stars, name, unit), rows), unit)
    table["reason"] = text_column(reasons)
    table["also_fails"] = text_column(also)
    return _described(table, published)


def _of_entries(data: FloatArray, entry: npt.NDArray[np.int64]) -> FloatArray:
    return np.where(entry >= 0, np.append(data, np.nan)[entry], np.nan)


def _of_rows(data: FloatArray, rows: npt.NDArray[np.int64]) -> FloatArray:
    return np.where(rows >= 0, np.append(data, np.nan)[rows], np.nan)


def _probability(stars: QTable) -> str:
    """Column of the probability of contact: the posterior one, or that of the light curve in a run without ranking."""
    known = "post_contact" in stars.colnames and bool(np.isfinite(values(stars, "post_contact")).any())
    return "post_contact" if known else "P_contact"


def _described(table: QTable, published: PublishedList) -> QTable:
    """Say what every column is."""
    descriptions = {
        "group": "common: in sample and list; only there: in the list; only here: in the sample; or not counted",
        "entry": "Row of the list, from 1 on",
        "listed_id": "Identifier as the list gives it",
        "id": "Identifier of the star in the run",
        "galaxy": "Galaxy of the star",
        "spectral_label": "O or B by its absolute magnitude",
        "matched_by": "How the star was found: id, position, or the column of another identifier",
        "separation": "Distance of the positions of the list and the run",
        "rank": "Rank of a star of the sample",
        "contact_rank": "Rank by post_contact among stars of the right colour, magnitude and period",
        "post_contact": "Posterior probability of contact",
        "P_contact": "Probability of contact by the light curve alone",
        "bona_fide": "Whether the star is in the bona fide set of the run",
        "period": "Period in the run",
        "M_V": "Absolute V magnitude in the run",
        "VI0": "Intrinsic colour in the run",
        "I_mag": "I in the run",
        "V_mag": "V in the run",
        "c": "Morphology parameter in the run",
        "reason": "Why a listed star is not in the sample: first cut that removed it, with the numbers that decided",
        "also_fails": "Other cuts that the star does not pass",
    }
    for name in table.colnames:
        info = table[name].info
        quantity = name.removesuffix("_listed")
        info.description = descriptions.get(name) or f"{quantity} in the list, column {published.columns.get(quantity)}"
    for name in {"separation", "post_contact", "P_contact", "M_V", "VI0"} & set(table.colnames):
        table[name].info.format = ".4f"
    table.meta["list"] = published.name
    return table


def _why_removed(stars: QTable, settings: SelectionSettings) -> tuple[list[str], list[str]]:
    """First cut that removed each star with the numbers that decided, and the other cuts that it does not pass."""
    verdicts = [(cut, cut.apply(stars)) for cut in settings.cuts]
    flags = np.asarray(stars["flags"], dtype=np.int64)
    reasons, others = [], []
    for star in range(len(stars)):
        removing = [(cut, verdict) for cut, verdict in verdicts if not cut.keeps(verdict)[star]]
        if not removing:
            # Settings and products of a run agree, unless a ranking after the cuts took the star out.
            reasons.append(f"out by {label_column(stars, 'rejected_by')[star] or 'another stage than the cuts'}")
            others.append("")
            continue
        cut, verdict = removing[0]
        numbers = [
            item.describe(star) if item.known[star] else f"{item.quantity} is not known"
            for item in verdict.conditions
            if not item.passed[star]
        ]
        lacks = [FLAG_MEANINGS[flag] for flag in _LACKS if flags[star] & flag] if verdict.undecided[star] else []
        reasons.append(f"{cut.name}: {'; '.join(lacks + numbers)}")
        others.append(", ".join(cut.name for cut, _ in removing[1:]))
    return reasons, others


def _cutflow(run: JudgedRun, entries: _Entries, listed: Mask) -> QTable:
    """Count all stars and listed ones after every cut, by Cloud and for all of them."""
    galaxies, stars = label_column(run.stars, "galaxy"), run.stars
    kept = [(cut.name, cut.keeps(cut.apply(stars))) for cut in run.settings.selection.cuts]
    rows = []
    for galaxy in (*run.provenance.galaxies, "all"):
        mine = (galaxies == galaxy) | (galaxy == "all")
        theirs = entries.counted & ((entries.galaxy == galaxy) | (galaxy == "all"))
        rows.append((galaxy, "in the list", 0, int(theirs.sum()), 0))
        rows.append((galaxy, "in the catalogue", int(mine.sum()), int((mine & listed).sum()), 0))
        remaining = mine.copy()
        for name, passed in kept:
            remaining &= passed
            counts = (int(remaining.sum()), int((remaining & listed).sum()), int((mine & listed & ~passed).sum()))
            rows.append((galaxy, name, *counts))
    table = QTable(rows=rows, names=("galaxy", "step", "n_all", "n_listed", "n_listed_fail"))
    steps = label_column(table, "step")
    table["n_all"] = MaskedColumn(table["n_all"], mask=steps == "in the list")
    descriptions = {
        "galaxy": "Galaxy; all: those of the run together",
        "step": "Cut, in the order of application; before them the list itself and the survey's catalogue",
        "n_all": "Stars of the catalogue after it",
        "n_listed": "Stars of the list after it",
        "n_listed_fail": "Stars of the list in the catalogue that this cut does not keep, whatever the others say",
    }
    for name, text in descriptions.items():
        table[name].info.description = text
    return table


def _scores(run: JudgedRun, entries: _Entries, listed: Mask) -> QTable:
    galaxies, stars = label_column(run.stars, "galaxy"), run.stars
    trusted, selected = bona_fide_of(stars), np.asarray(stars["selected"], dtype=bool)
    sets: dict[str, Mask] = {"sample": selected}
    sizes = {int(entries.counted.sum())}
    if trusted is not None:
        sets["bona fide set"] = trusted
        sizes.add(int(trusted.sum()))
    column = _ranking(stars)
    ranks = np.ma.filled(np.ma.asarray(stars[column]), 0).astype(np.int64)
    for size in sorted(sizes):
        if 0 < size < int(ranks.max(initial=0)):
            sets[f"first {size} by {column}"] = (ranks > 0) & (ranks <= size)
    rows = []
    for name, members in sets.items():
        for galaxy in (*run.provenance.galaxies, "all"):
            mine = (galaxies == galaxy) | (galaxy == "all")
            theirs = int((entries.counted & ((entries.galaxy == galaxy) | (galaxy == "all"))).sum())
            common, here = int((mine & members & listed).sum()), int((mine & members).sum())
            in_catalogue = int((mine & listed).sum())
            rows.append((name, galaxy, here, theirs, in_catalogue, common, *_score_numbers(common, here, theirs)))
    names = ["set", "galaxy", "n_here", "n_there", "n_there_in_catalogue", "n_common"]
    names += [f"{score}{end}" for score in ("precision", "recall", "F1") for end in ("", "_low", "_high")]
    table = QTable(rows=rows, names=names)
    for name in names[6:]:
        table[name] = float_column(np.asarray(table[name], dtype=float))
        table[name].info.format = ".4f"
    table["precision"].info.description = "Share of the set that the list has"
    table["recall"].info.description = "Share of the list that the set has, with stars that the catalogue lacks"
    table["F1"].info.description = "Harmonic mean of both; _low and _high: 68 % intervals of Jeffreys"
    return table


def _ranking(stars: QTable) -> str:
    """Column of the ranking by probability, which looks beyond the sample; that of the sample where there is none."""
    known = "contact_rank" in stars.colnames and not np.ma.getmaskarray(stars["contact_rank"]).all()
    return "contact_rank" if known else "rank"


def _score_numbers(common: int, here: int, there: int) -> tuple[float, ...]:
    """Precision, recall and F1, each with its interval.

    F1 = 2 J / (1 + J) of the share J of stars in common among those that either has, which is binomial.
    """
    jaccard = _share(common, here + there - common)
    f1 = tuple(2.0 * share / (1.0 + share) for share in jaccard)
    return (*_share(common, here), *_share(common, there), *f1)


def _share(k: int, n: int) -> tuple[float, float, float]:
    if n == 0:
        return np.nan, np.nan, np.nan
    low, high = binom_conf_interval(k, n, confidence_level=_CONFIDENCE, interval="jeffreys")
    return k / n, float(low), float(high)


def _compare_periods(table: QTable, tolerance: float) -> dict[str, int]:
    if "period_listed" not in table.colnames:
        return {}
    counted = label_column(table, "group") != NOT_COUNTED
    ratio = (values(table, "period_listed", "d") / values(table, "period", "d"))[counted]
    ratio = ratio[np.isfinite(ratio)]
    cases = {"agree": 1.0, "listed half": 0.5, "listed twice": 2.0}
    counts = {name: int((np.abs(ratio / case - 1.0) <= tolerance).sum()) for name, case in cases.items()}
    return counts | {"other": len(ratio) - sum(counts.values())}


def _notes(run: JudgedRun, published: PublishedList, matches: Matches, entries: _Entries) -> list[str]:
    notes = list(published.notes)
    releases = "; ".join(f"{galaxy}: {release}" for galaxy, release in run.provenance.releases.items())
    absent = int((entries.counted & (matches.row < 0)).sum())
    if absent:
        notes.append(
            f"{absent} listed stars are not in the catalogue of this run ({releases}): the list may rest on another "
            "release, and counts after cuts then do not compare"
        )
    else:
        notes.append(f"every listed star that counts is in the catalogue of this run ({releases})")
    if len(published) and not (matches.row >= 0).any():
        used = published.columns.get("id", "none")
        notes.append(f"no listed star was found (identifiers from column {used}): name the right one with --id-column")
    if run.survey == "mock" and not any("MOCK" in name.upper() for name in published.ids):
        notes.append("the run is of simulated stars, and no identifier of the list is of one")
    dropped = Counter(
        reason.split(" of entry")[0]
        for reason, counts in zip(entries.reason, entries.counted, strict=True)
        if not counts
    )
    notes += [f"{count} entries are not counted: {reason}" for reason, count in dropped.items()]
    far = int((matches.separation > 5.0).sum())
    if far:
        notes.append(f"{far} stars found by identifier lie more than 5 arcsec from the listed position")
    if matches.n_ambiguous:
        notes.append(f"{matches.n_ambiguous} stars found by position have another star as near: the nearest was taken")
    return notes
