"""Tables and figures of the fits of a run, and the lines that are printed."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import MaskedColumn, Table

from cbminer.columns import label_column, values
from cbminer.fits import RunFits
from cbminer.ranking.fit_model import HYPOTHESES
from cbminer.ranking.fit_phoebe import PhoebeDifference
from cbminer.ranking.fit_results import StarFit, fit_columns, fit_record
from cbminer.report.figures import save_figure
from cbminer.report.fit_figures import corner_figure, fit_figure
from cbminer.whole_file import written_whole

__all__ = ["describe_fits", "tabulate_fits", "write_fits"]

_MOST_LINES = 20
# Odds of ten to one.
_DECISIVE = float(np.log(10.0))
_PREFIX = {"contact": "contact", "near_contact": "near"}
_FORMATS = {"": ".5g", "mag": ".5f", "deg": ".3f", "K": ".0f", "s": ".1f"}


def write_fits(found: RunFits, *, phoebe: Sequence[PhoebeDifference] = (), figures: bool = True) -> list[Path]:
    """Write fits.ecsv and fits.fits, the stars that were left out, and the figures of every star.

    Parameters
    ----------
    found : RunFits
        The fits.
    phoebe : sequence of PhoebeDifference, optional
        Differences from PHOEBE, if they were computed.
    figures : bool, optional
        Whether to draw figures.

    Returns
    -------
    list of `~pathlib.Path`
        The tables.
    """
    table = tabulate_fits(found, phoebe=phoebe)
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    paths = [found.folder / "fits.ecsv", found.folder / "fits.fits"]
    with written_whole(paths[0]) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    with written_whole(paths[1]) as temporary:
        table.write(temporary, format="fits", overwrite=True)
    left_out = Table(
        {"id": np.array(list(found.left_out), dtype=str), "reason": np.array(list(found.left_out.values()), dtype=str)}
    )
    text = io.StringIO()
    left_out.write(text, format="ascii.ecsv")
    with written_whole(found.folder / "left_out.ecsv") as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    if figures:
        _write_figures(found)
    return paths


def tabulate_fits(found: RunFits, *, phoebe: Sequence[PhoebeDifference] = ()) -> Table:
    """Put fits into a table.

    Parameters
    ----------
    found : RunFits
        The fits.
    phoebe : sequence of PhoebeDifference, optional
        Differences from PHOEBE.

    Returns
    -------
    `~astropy.table.Table`
        A row a star, with units and descriptions.
    """
    table = Table()
    for name, meaning in (("id", "star"), ("survey", "survey; mock for simulated stars"), ("galaxy", "Cloud")):
        table[name] = label_column(found.stars, name)
        table[name].description = meaning
    rank = values(found.stars, "rank")
    known = rank > 0
    table["rank"] = MaskedColumn(np.where(known, rank, 0).astype(np.int64), mask=~known, description="rank in the run")
    records = [fit_record(fit) for fit in found.fits]
    table["period"] = _column([float(day) for day in values(found.stars, "period", "d")], "d", "adopted period", ".7f")
    for name, (unit, meaning) in fit_columns().items():
        table[name] = _column([record[name] for record in records], unit, meaning, _FORMATS[unit])
    for item in HYPOTHESES if phoebe else ():
        by_star = {entry.star: entry for entry in phoebe if entry.name == item.name}
        for name, meaning in (
            ("rms", "rms of the best model about PHOEBE's curve in I"),
            ("depth1", "best model less PHOEBE in I at phase 0"),
            ("depth2", "the same at phase 0.5"),
        ):
            data = [getattr(by_star[fit.star], name) if fit.star in by_star else np.nan for fit in found.fits]
            table[f"{_PREFIX[item.name]}_phoebe_{name}"] = _column(data, "mag", f"{meaning}, {item.name}", ".5f")
    table.meta["comment"] = "contact and near-contact models fitted to light curves by cbminer"
    if found.survey == "mock":
        table.meta["warning"] = "simulated stars, not observations"
    return table


def _column(data: list[float], unit: str, meaning: str, layout: str) -> MaskedColumn:
    array = np.array(data, dtype=float)
    return MaskedColumn(array, mask=np.isnan(array), unit=unit or None, description=meaning, format=layout)


def describe_fits(found: RunFits, *, phoebe: Sequence[PhoebeDifference] = ()) -> list[str]:
    """Say in words what the fits found.

    Parameters
    ----------
    found : RunFits
        The fits.
    phoebe : sequence of PhoebeDifference, optional
        Differences from PHOEBE.

    Returns
    -------
    list of str
        Lines for the terminal.
    """
    lines = [f"{found.fitted} stars fitted now, {found.reused} were fitted already"]
    lines += [f"left out: {reason}" for reason in found.left_out.values()]
    odds = np.array([fit.ln_bayes_contact for fit in found.fits])
    lines.append(
        f"of {len(odds)} fits {int((odds > _DECISIVE).sum())} prefer contact and {int((odds < -_DECISIVE).sum())} "
        f"near contact by more than ten to one; {int((np.abs(odds) <= _DECISIVE).sum())} cannot decide"
    )
    lines += [_line(fit) for fit in found.fits[:_MOST_LINES]]
    if len(found.fits) > _MOST_LINES:
        lines.append(f"and {len(found.fits) - _MOST_LINES} more in {found.folder / 'fits.ecsv'}")
    for entry in phoebe:
        words = entry.reason or (
            f"{1e3 * entry.rms:.1f} mmag rms, depths {1e3 * entry.depth1:+.1f} and {1e3 * entry.depth2:+.1f} mmag"
        )
        lines.append(f"{entry.star}, best {entry.name.replace('_', '-')} model, engine less PHOEBE: {words}")
    return lines


def _line(fit: StarFit) -> str:
    contact, near = fit.fits
    inclination, fillout = contact.interval("inclination"), contact.interval("fillout_factor")
    return (
        f"{fit.star}: ln B = {fit.ln_bayes_contact:+.1f} +- {fit.e_ln_bayes_contact:.1f}; in contact i = "
        f"{inclination[1]:.1f} +- {(inclination[2] - inclination[0]) / 2:.1f} deg, fill-out = {fillout[1]:.2f} +- "
        f"{(fillout[2] - fillout[0]) / 2:.2f}; chi2 {contact.chi2:.0f} / {contact.dof}, near contact "
        f"{near.chi2:.0f} / {near.dof}"
    )


def _write_figures(found: RunFits) -> None:
    """Draw every star; figures that are newer than the fit stay."""
    folder = found.folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    periods = values(found.stars, "period", "d")
    for fit, period in zip(found.fits, periods, strict=True):
        kept = found.folder / "kept" / f"{fit.star}.npz"
        # Drawn last, so that it tells whether all are there.
        last = folder / f"{fit.star}_fit.png"
        if last.exists() and last.stat().st_mtime_ns >= kept.stat().st_mtime_ns:
            continue
        for model in fit.fits:
            figure = corner_figure(fit, model, survey=found.survey)
            save_figure(figure, folder / f"{fit.star}_{model.name}", formats=("png",))
        figure = fit_figure(fit, settings=found.settings, period=float(period), survey=found.survey)
        save_figure(figure, folder / f"{fit.star}_fit", formats=("pdf", "png"))
