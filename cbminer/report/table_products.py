"""What ``cbminer measure`` writes: the measured stars, an atlas, a diagram of them all, a summary and provenance."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from astropy.table import MaskedColumn, QTable, Table
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cbminer.classifier.classes import CLASS_LABELS, CLASSES
from cbminer.columns import ascii_form, label_column, values
from cbminer.flags import FLAG_MEANINGS, Flag
from cbminer.provenance import Provenance, write_provenance
from cbminer.report.classes import classifier_record
from cbminer.report.figures import STYLE, atlas_pages, save_figure
from cbminer.settings import Settings, settings_to_toml
from cbminer.survey.table_points import KEPT
from cbminer.table_measurement import MeasuredTable

__all__ = ["describe_measured", "shape_period_diagram", "write_measured"]

SIMULATED = "simulated stars, not observations"
# Colours of Okabe & Ito in the order of the classes, and marks that tell them apart without colour.
_MARKS = (("#D55E00", "D"), ("#E69F00", "s"), ("#0072B2", "o"), ("#009E73", "^"), ("0.55", "x"))
_FLAGS_TOLD = (
    Flag.NO_PERIOD, Flag.TOO_FEW_POINTS, Flag.PHASE_GAP, Flag.PERIOD_REPLACED, Flag.PERIOD_DOUBTED,
    Flag.PERIOD_AMBIGUOUS, Flag.C_EXTRAPOLATED,
)  # fmt: skip


def write_measured(folder: Path, measured: MeasuredTable, *, settings: Settings, command: str) -> None:
    """Write all that was measured.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Existing, empty folder.
    measured : MeasuredTable
        Measured stars.
    settings : Settings
        Settings that were used.
    command : str
        Command, for the provenance.
    """
    table = _plain(measured.stars)
    table.meta = _title(measured)
    table.write(folder / "measured.ecsv", format="ascii.ecsv")
    _for_fits(table).write(folder / "measured.fits")
    save_figure(shape_period_diagram(measured.stars, survey=measured.layout.survey), folder / "shapes")
    for page, figure in enumerate(_atlas(measured), start=1):
        save_figure(figure, folder / f"atlas_{page:02d}", formats=("png",))
    (folder / "settings.toml").write_text(settings_to_toml(settings), encoding="utf-8")
    (folder / "summary.txt").write_text("\n".join(describe_measured(measured)) + "\n", encoding="utf-8")
    write_provenance(
        folder,
        Provenance(
            command=command,
            survey=measured.layout.survey,
            archive="",
            galaxies=[],
            releases={},
            settings=settings.model_dump(mode="json"),
            seed=settings.seed,
            relations={},
            counts={"table": measured.counts},
            inputs=measured.inputs,
            classifier=classifier_record(settings.classifier),
        ),
    )


def describe_measured(measured: MeasuredTable) -> Iterator[str]:
    """Lines of the summary.

    Parameters
    ----------
    measured : MeasuredTable
        Measured stars.

    Yields
    ------
    str
        Lines of text.
    """
    counts, stars = measured.counts, measured.stars
    simulated = f"  {SIMULATED.upper()}" if measured.layout.survey == "mock" else ""
    yield f"cbminer {version('cbminer')}   survey {measured.layout.survey}{simulated}"
    dropped = [
        f"{count:,} {name.removeprefix('rows: ')}"
        for name, count in counts.items()
        if name.startswith("rows: ") and name != f"rows: {KEPT}"
    ]
    left_out = f", left out: {', '.join(dropped)}" if dropped else ""
    yield f"rows of the tables: {counts[f'rows: {KEPT}']:,} points{left_out}"
    without = f", {counts['stars without']:,} more without a point" if counts["stars without"] else ""
    yield f"stars: {counts['stars with points']:,}{without}; measured in {_bands(stars)}"
    fitted = int(np.count_nonzero(np.isfinite(values(stars, "c"))))
    yield f"with a shape: {fitted:,}; with c >= 0.7, as contact and ellipsoidal pairs have: {_count(stars, 'c', 0.7):,}"
    sources = label_column(stars, "period_source")
    periods = [f"{np.count_nonzero(sources == name):,} {name}" for name in _unique(sources)]
    yield f"periods: {', '.join(periods) or 'none'}"
    labels = label_column(stars, "light_curve_class")
    known = [name for name in (*CLASSES, "undecided") if np.any(labels == name)]
    yield "classes: " + (
        ", ".join(f"{np.count_nonzero(labels == name):,} {name.replace('_', ' ')}" for name in known) or "none"
    )
    flags = np.asarray(stars["flags"])
    listed = np.isfinite(values(stars, "period_survey", "d"))
    for flag in _FLAGS_TOLD:
        # A period that is found where none was listed takes the place of nothing.
        flagged = (flags & int(flag) != 0) & (listed | (flag is not Flag.PERIOD_REPLACED))
        if np.any(flagged):
            yield f"flagged: {np.count_nonzero(flagged):,} {FLAG_MEANINGS[flag]}"
    for note in measured.notes:
        yield f"note: {note}"


def shape_period_diagram(stars: QTable, *, survey: str) -> Figure:
    """Draw c against the period, each class with its mark.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Measured stars.
    survey : str
        Name of the survey; mock stars are marked.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    period, c, e_c = values(stars, "period", "d"), values(stars, "c"), values(stars, "e_c")
    labels = label_column(stars, "light_curve_class")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.5, 5.0), layout="constrained")
        axes = figure.add_subplot()
        for name, (colour, mark) in zip(CLASSES, _MARKS, strict=True):
            _scatter(axes, period, c, e_c, labels == name, colour=colour, mark=mark, label=CLASS_LABELS[name])
        _scatter(axes, period, c, e_c, labels == "undecided", colour="0.75", mark=".", label="undecided")
        axes.axhline(0.7, color="0.4", ls="--", lw=1.0)
        axes.annotate("contact above", (1.0, 0.7), xycoords=("axes fraction", "data"), xytext=(-4, 3),
                      textcoords="offset points", ha="right", fontsize=8, color="0.3")  # fmt: skip
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("orbital period [d]")
        axes.set_ylabel("morphology parameter c")
        axes.set_ylim(0.0, 1.05)
        axes.set_title(f"{survey}: {SIMULATED}" if survey == "mock" else survey, fontsize=10, parse_math=False)
        if axes.collections:
            axes.legend(loc="lower left", fontsize=8)
    return figure


def _scatter(
    axes: Any, period: Any, c: Any, e_c: Any, chosen: npt.NDArray[np.bool_], *, colour: str, mark: str, label: str
) -> None:
    shown = chosen & np.isfinite(period) & np.isfinite(c)
    if not shown.any():
        return
    axes.errorbar(
        period[shown], c[shown], yerr=np.nan_to_num(e_c[shown]), fmt=mark, ms=4.5, color=colour, ecolor="0.8",
        elinewidth=0.7, label=f"{label} ({np.count_nonzero(shown):,})", rasterized=True,
    )  # fmt: skip


def _atlas(measured: MeasuredTable) -> Iterator[Figure]:
    """Pages of light curves; their axis names the band, which is not I."""
    bands = {item.band for item in measured.shown} - {"-"}
    label = f"{bands.pop()} [mag]" if len(bands) == 1 else "magnitude [mag]"
    for figure in atlas_pages([item.curve for item in measured.shown], survey=measured.layout.survey):
        for axes in figure.axes:
            if axes.get_ylabel():
                axes.set_ylabel(label, fontsize=8, parse_math=False)
        yield figure


def _title(measured: MeasuredTable) -> dict[str, str]:
    title = {"title": "Measured light curves", "survey": measured.layout.survey}
    if measured.layout.survey == "mock":
        title["warning"] = SIMULATED
    return title | {"creator": f"cbminer {version('cbminer')}"}


def _plain(stars: QTable) -> Table:
    """Masked columns with units, which every format can hold."""
    plain = Table()
    for name in stars.colnames:
        info = stars[name].info
        if info.dtype.kind == "f":
            data = values(stars, name, str(info.unit or ""))
            column = MaskedColumn(data, mask=np.isnan(data), unit=info.unit, format=info.format)
        elif info.dtype.kind in "US":
            text = label_column(stars, name)
            column = MaskedColumn(text, mask=text == "")
        else:
            column = MaskedColumn(stars[name])
        column.description = info.description
        plain[name] = column
    return plain


def _for_fits(table: Table) -> Table:
    """FITS has blanks for unknown text, no formats as ours, and no letters but those of ASCII."""
    bare = Table(meta={name.upper()[:8]: ascii_form(text) for name, text in table.meta.items()})
    for name in table.colnames:
        column = table[name]
        data = [ascii_form(str(word)) for word in column.filled("")] if column.dtype.kind == "U" else column
        bare[name] = MaskedColumn(data, unit=column.unit)
    return bare


def _bands(stars: QTable) -> str:
    bands = label_column(stars, "band")
    names = [name for name in _unique(bands) if name != "-"]
    return ", ".join(f"{name} ({np.count_nonzero(bands == name):,})" for name in names) or "the band of the table"


def _unique(labels: npt.NDArray[np.str_]) -> list[str]:
    return [str(name) for name in np.unique(labels) if name]


def _count(stars: QTable, name: str, least: float) -> int:
    with np.errstate(invalid="ignore"):
        return int(np.count_nonzero(values(stars, name) >= least))
