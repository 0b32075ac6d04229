"""What ``cbminer rank`` does: the odds of a finished run once more, with its own settings or with others."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from cbminer.catalogue.schema import conform
from cbminer.catalogue.writers import plain_table
from cbminer.columns import label_column
from cbminer.errors import OutputError, SettingsError
from cbminer.judged import read_judged
from cbminer.provenance import read_provenance
from cbminer.reopening import rank_stars
from cbminer.report.ranking import candidate_lines, compare_choices, mixture_lines
from cbminer.settings import Settings, settings_from_mapping, settings_over
from cbminer.whole_file import written_whole

__all__ = ["RankedRun", "rank_run", "ranking_lines", "write_ranking"]


@dataclass(frozen=True)
class RankedRun:
    """Stars of a run with odds.

    Attributes
    ----------
    stars : `~astropy.table.QTable`
        Judged stars in the schema.
    record : dict
        What the odds rest on, by Cloud.
    survey : str
        Survey; "mock" for simulated stars.
    """

    stars: QTable
    record: dict[str, Any]
    survey: str

    def in_order(self, *, everyone: bool) -> QTable:
        """Give the ranked stars in their order.

        Parameters
        ----------
        everyone : bool
            Whether all stars of the right colour, magnitude and period count, or only the candidates.

        Returns
        -------
        `~astropy.table.QTable`
            Ranked stars, the most probable first.
        """
        place = np.asarray(self.stars["contact_rank" if everyone else "rank"], dtype=np.int64)
        chosen = np.flatnonzero(place > 0)
        return self.stars[chosen[np.argsort(place[chosen], kind="stable")]]


def rank_run(run: Path, *, given: Path | None = None) -> RankedRun:
    """Find the odds of the stars of a run once more.

    Parameters
    ----------
    run : `~pathlib.Path`
        Output folder of the run.
    given : `~pathlib.Path`, optional
        Settings file over the settings of the run; of [ranking] and [population] only.

    Returns
    -------
    RankedRun
        The stars.

    Raises
    ------
    UnknownStarError
        If there is no such folder.
    OutputError
        If it is not the output of a run of this version.
    SettingsError
        If the file is malformed, or changes what is not ranked again.
    """
    provenance = read_provenance(run)
    settings = settings_from_mapping(provenance.settings)
    if given is not None:
        settings = _ranking_over(settings, given)
    stars, rankers = rank_stars(conform(read_judged(run)), settings)
    record: dict[str, Any] = {str(galaxy): ranker.record() for galaxy, ranker in rankers.items()}
    return RankedRun(stars, record, provenance.survey)


def _ranking_over(recorded: Settings, given: Path) -> Settings:
    settings = settings_over(recorded, given)
    changed = {name for name in Settings.model_fields if getattr(settings, name) != getattr(recorded, name)}
    others = sorted(changed - {"ranking", "population"})
    if others:
        msg = (
            f"settings file {given} changes [{others[0]}]: only [ranking] and [population] can differ from those of "
            "the run; select again for others"
        )
        raise SettingsError(msg)
    return settings


def ranking_lines(ranked: RankedRun, *, top: int, everyone: bool) -> Iterator[str]:
    """List the first stars of a ranking.

    Parameters
    ----------
    ranked : RankedRun
        The stars.
    top : int
        Stars to list.
    everyone : bool
        As in `RankedRun.in_order`.

    Yields
    ------
    str
        Lines of text.
    """
    if ranked.survey == "mock":
        yield "SIMULATED STARS, NOT OBSERVATIONS"
    for galaxy, record in ranked.record.items():
        yield from mixture_lines(galaxy, record)
    yield ""
    what = "stars of the right colour, magnitude and period" if everyone else "candidates"
    yield from candidate_lines(ranked.in_order(everyone=everyone), shown=top, what=what)
    yield ""
    yield f"{'choice':<20}{'stars':>7}{'bona fide':>11}{'contact by odds':>17}{'lowest':>9}"
    for row in compare_choices(ranked.stars):
        yield (
            f"{row['choice']:<20}{row['stars']:>7}{row['also_bona_fide']:>11}{row['expected_contact']:>17.1f}"
            f"{row['lowest_probability']:>9.4f}"
        )


def write_ranking(path: Path, ranked: RankedRun, *, everyone: bool, overwrite: bool = False) -> None:
    """Write ranked stars as ECSV or FITS, by the ending of the name.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    ranked : RankedRun
        The stars.
    everyone : bool
        As in `RankedRun.in_order`.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        If the file is there and may not be replaced, has another ending, or cannot be written.
    """
    formats = {".ecsv": "ascii.ecsv", ".fits": "fits"}
    if path.suffix.lower() not in formats:
        msg = f"{path}: name a file that ends in .ecsv or .fits"
        raise OutputError(msg)
    if path.exists() and not overwrite:
        msg = f"{path} exists: replace it with --overwrite, or name another file with --out"
        raise OutputError(msg)
    stars = ranked.in_order(everyone=everyone)
    table = plain_table(stars)
    table.meta["survey"] = ranked.survey
    table.meta["creator"] = f"cbminer {version('cbminer')}"
    table.meta["galaxies"] = ", ".join(sorted(set(label_column(stars, "galaxy"))))
    with written_whole(path) as temporary:
        table.write(temporary, format=formats[path.suffix.lower()], overwrite=True)
