"""The odds in words: where each star's come from, the first of the list, and the two ways of choosing compared."""

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.blocks import Blocks, rows_of
from cbminer.columns import label_column, values
from cbminer.flags import Flag
from cbminer.ranking.hypotheses import HYPOTHESES, HYPOTHESIS_NAMES

__all__ = ["CANDIDATES_SHOWN", "candidate_lines", "compare_choices", "mixture_lines", "odds_lines", "reason_of"]

CANDIDATES_SHOWN = 10
_WIDTH = 80
# Light curves below which what is learned from a survey is hardly more than the priors.
_FEW = 100
# Probabilities below this are not printed.
_LEAST_SHOWN = 0.005
# Parts of the odds by what they are called, and the odds ratio from which on a part is worth a word.
_PARTS = {"ln_odds_curve": "light curve", "ln_odds_place": "period, magnitude and colour", "ln_odds_prior": "frequency"}
_WORTH = 1.0


def candidate_lines(
    candidates: QTable, *, shown: int = CANDIDATES_SHOWN, what: str = "candidates", number: int | None = None
) -> Iterator[str]:
    """List the first candidates and say why each is there.

    Parameters
    ----------
    candidates : `~astropy.table.QTable`
        Candidates in the order of their rank.
    shown : int, optional
        How many to list.
    what : str, optional
        What they are called.
    number : int, optional
        How many there are, if the table has only the first ones.

    Yields
    ------
    str
        Lines of at most 80 characters, but for names.
    """
    number = len(candidates) if number is None else number
    yield f"{number} {what.removesuffix('s') if number == 1 else what}"
    if number == 0:
        return
    yield f"{'rank':>4}  {'id':<20}{'P/d':>8}{'M_V':>7}{'(V-I)0':>8}{'depth1':>8}{'W':>8}{'contact':>9}  label"
    listed = candidates[:shown]
    wanted = (("period", "d"), ("M_V", "mag"), ("VI0", "mag"), ("depth1", "mag"), ("W", ""), ("post_contact", ""))
    columns = [values(listed, name, unit) for name, unit in wanted]
    names, labels = label_column(listed, "id"), label_column(listed, "spectral_label")
    for index in range(len(listed)):
        period, magnitude, colour, depth, roundness, contact = (column[index] for column in columns)
        yield (
            f"{index + 1:>4}  {names[index]:<20}{period:>8.4f}{magnitude:>7.2f}{colour:>8.2f}"
            f"{depth:>8.3f}{roundness:>8.3f}{contact:>9.4f}  {labels[index]}"
        )
        yield f"      {reason_of(listed[index : index + 1])}"
    if number > shown:
        yield f"      and {number - shown} more"


def reason_of(star: QTable) -> str:
    """Say in a line what speaks for and against contact.

    Parameters
    ----------
    star : `~astropy.table.QTable`
        One judged star.

    Returns
    -------
    str
        The parts of the odds against near contact, the bona fide set and what limits both.
    """
    odds = values(star, "ln_odds")[0]
    if np.isnan(odds):
        return "no odds: no light curve, and no period, or too few light curves in the survey"
    parts = [(words, values(star, name)[0]) for name, words in _PARTS.items()]
    told = [f"{words} {value:+.1f}" for words, value in parts if abs(value) >= _WORTH] or ["no part above 1"]
    flags = int(star["flags"][0])
    notes = ["bona fide"] if bool(star["bona_fide"][0]) else []
    notes += ["degenerate"] if flags & Flag.DEGENERATE else []
    notes += ["outside of the models"] if flags & Flag.OUTSIDE_POPULATION else []
    return f"ln odds {odds:+.1f}: {', '.join(told)}" + (f"; {', '.join(notes)}" if notes else "")


def odds_lines(star: QTable, *, contour: float) -> Iterator[str]:
    """Explain the odds of one star.

    Parameters
    ----------
    star : `~astropy.table.QTable`
        One judged star.
    contour : float
        Part of the population within the contour of the bona fide set.

    Yields
    ------
    str
        Lines of text.
    """
    posterior = {name: values(star, f"post_{name}")[0] for name in HYPOTHESES}
    if np.isnan(posterior["contact"]):
        yield "odds are not known: no light curve, and no period, or too few light curves in the survey"
        return
    ordered = sorted(posterior.items(), key=lambda item: -item[1])
    told = ", ".join(f"{HYPOTHESIS_NAMES[name]} {value:.3f}" for name, value in ordered if value >= _LEAST_SHOWN)
    place = int(star["contact_rank"][0])
    where = f"; {place}. of the stars of its kind of colour, magnitude and period" if place else ""
    yield f"probabilities: {told}{where}"
    numbers = [values(star, name)[0] for name in ("ln_odds", "ln_odds_prior", "ln_odds_place", "ln_odds_curve")]
    yield (
        f"ln odds of contact against near contact {numbers[0]:+.2f} = {numbers[1]:+.2f} frequency {numbers[2]:+.2f} "
        f"period, magnitude and colour {numbers[3]:+.2f} light curve"
    )
    theory, level, distance = (
        values(star, name)[0] for name in ("ln_odds_population", "contact_level", "hull_distance")
    )
    if np.isnan(level):
        placed = np.isfinite([values(star, name, "mag")[0] for name in ("M_V", "VI0")]).all()
        why = "there is none of this galaxy" if placed else "magnitude or colour is not known"
        yield f"the theoretical population says nothing: {why}"
        return
    alone = f"{theory:+.2f}" if np.isfinite(theory) else "not known"
    yield (
        f"theory alone: ln odds {alone}; {100 * level:.1f} % of its contact binaries lie at a higher density "
        f"(contour {100 * contour:g} %), distance from the models {distance:.2f}: "
        f"{'bona fide' if bool(star['bona_fide'][0]) else 'not bona fide'}"
    )


def mixture_lines(galaxy: str, record: Mapping[str, Any]) -> Iterator[str]:
    """Say what the survey was found to be made of.

    Parameters
    ----------
    galaxy : str
        The Cloud.
    record : mapping
        Of `cbminer.ranking.odds.Ranker.record`.

    Yields
    ------
    str
        Lines of text.
    """
    if record["stars"] == 0:
        yield f"{galaxy}  no light curves, and so no odds"
        return
    shares = ", ".join(f"{100 * record['share'][name]:.1f} % {HYPOTHESIS_NAMES[name]}" for name in HYPOTHESES)
    yield from wrap(f"{galaxy}  {record['stars']:,} light curves are {shares}", _WIDTH, subsequent_indent="    ")
    if record["stars"] < _FEW:
        yield f"    note: odds from {record['stars']} light curves; frequencies and places are hardly known"
    if not record["converged"]:
        yield f"    note: frequencies and places still changed after {record['steps']} steps"
    text = f"    {record['share']['contact'] * record['stars']:,.0f} contact binaries by their odds"
    predicted, share = record["predicted_numbers"].get("contact"), record["as_predicted"]["contact"]
    if predicted is None:
        text += "; there is no population to compare with"
    else:
        text += f"; {100 * share:.0f} % of them lie where the population has its {predicted:,.0f}"
    yield from wrap(text, _WIDTH, subsequent_indent="    ")


def _choices(stars: QTable) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Whether stars are bona fide, their place in the ranking, and whether they are candidates."""
    bona_fide, selected = (np.asarray(stars[name], dtype=bool) for name in ("bona_fide", "selected"))
    return bona_fide, np.asarray(stars["contact_rank"], dtype=np.int64), selected


def _is_chosen(stars: QTable) -> npt.NDArray[np.bool_]:
    bona_fide, rank, selected = _choices(stars)
    return bona_fide | (rank > 0) | selected


def compare_choices(stars: QTable | Blocks) -> QTable:
    """Set the bona fide set beside the first stars of the ranking, as many as there are in it.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or blocks
        Judged stars.

    Returns
    -------
    `~astropy.table.QTable`
        A row a choice: its stars, those in both, the mean probability of contact and how many contact binaries it
        should hold by it, and the lowest probability in it.
    """
    some_stars = rows_of(stars, ("bona_fide", "contact_rank", "post_contact", "selected"), _is_chosen)
    bona_fide, rank, selected = _choices(some_stars)
    first = (rank > 0) & (rank <= int(bona_fide.sum()))
    probability = np.nan_to_num(values(some_stars, "post_contact"))
    rows = []
    for name, chosen in (("candidates", selected), ("bona fide", bona_fide), ("ranking, as many", first)):
        some = bool(chosen.any())
        rows.append(
            {
                "choice": name,
                "stars": int(chosen.sum()),
                "also_bona_fide": int((chosen & bona_fide).sum()),
                "mean_probability": round(float(probability[chosen].mean()), 4) if some else 0.0,
                "expected_contact": round(float(probability[chosen].sum()), 2),
                "lowest_probability": round(float(probability[chosen].min()), 4) if some else 0.0,
            }
        )
    table = QTable(rows=rows)
    for name, description in (
        ("choice", "Way of choosing"),
        ("stars", "Stars that are chosen"),
        ("also_bona_fide", "Those of them in the bona fide set"),
        ("mean_probability", "Mean probability of contact"),
        ("expected_contact", "Contact binaries among them by their probabilities"),
        ("lowest_probability", "Lowest probability of contact among them"),
    ):
        table[name].info.description = description
    return table
