"""Figures of the sensitivity of a sample: one limit at a time, all together, in a plane, and under errors."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cbminer.columns import values
from cbminer.completeness.bootstrap import Bootstrap
from cbminer.completeness.limits import Limit
from cbminer.completeness.sensitivity import JointScan, PlaneScan, SampleCounts, Scan
from cbminer.report.figures import STYLE

__all__ = ["bootstrap_figure", "influence_figure", "joint_figure", "plane_figure", "scans_figure", "stability_figure"]

# Label, colour of Okabe & Ito and style of each group of the counts.
_GROUPS = (
    ("all", "black", "-"),
    ("O", "#0072B2", "--"),
    ("B", "#E69F00", "-."),
    ("bona fide", "#009E73", ":"),
)
_COLUMNS = 4
_KINDS = {
    "errors": ("errors of the measurements", "#0072B2"),
    "counting": ("which stars the survey holds", "#E69F00"),
    "both": ("both", "black"),
}
_MOCK = "simulated stars, not observations"


def scans_figure(scans: Sequence[Scan], *, survey: str) -> Figure:
    """Draw the sample as a function of every limit that changes it, a panel a limit.

    Parameters
    ----------
    scans : sequence of Scan
        One limit at a time.
    survey : str
        Name of the survey.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    shown = [scan for scan in scans if _changes(scan.sample)]
    n_rows = max(1, -(-len(shown) // _COLUMNS))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 0.9 + 2.3 * n_rows), layout="constrained")
        panels = figure.subplots(n_rows, _COLUMNS, squeeze=False)
        for axes in panels.flat[len(shown) :]:
            axes.set_axis_off()
        for axes, scan in zip(panels.flat, shown, strict=False):
            _draw_counts(axes, scan.values, scan.sample)
            axes.axvline(scan.limit.value, color="0.5", lw=0.9)
            axes.axvspan(*(scan.values[k] for k in sorted(scan.beside)), color="0.9", lw=0)
            axes.set_xlabel(_label(scan.limit), fontsize=8.5)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.tick_params(labelsize=8)
        for row in panels:
            row[0].set_ylabel("stars", fontsize=9)
        _legend(figure, shown, "value of the run, and 10 % to each side")
        figure.suptitle(_title("The sample as a function of one limit at a time", survey), fontsize=10)
        return figure


def _changes(sample: SampleCounts) -> bool:
    known = sample.counts[~np.isnan(sample.counts[:, 0])]
    return bool(len(known)) and bool((known != known[0])[:, :3].any())


def _draw_counts(axes: Axes, x: np.ndarray, sample: SampleCounts) -> None:
    for column, (_, colour, style) in enumerate(_GROUPS):
        if np.isfinite(sample.counts[:, column]).any():
            axes.plot(x, sample.counts[:, column], color=colour, ls=style, lw=1.3)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _label(limit: Limit) -> str:
    return f"{limit.path} [{limit.unit}]" if limit.unit else limit.path


def _legend(figure: Figure, scans: Sequence[Scan], marked: str) -> None:
    has_set = any(np.isfinite(scan.sample.counts[:, 3]).any() for scan in scans)
    handles = [
        Line2D([], [], color=colour, ls=style, label=name) for name, colour, style in _GROUPS[: 4 if has_set else 3]
    ]
    handles.append(Line2D([], [], color="0.5", lw=0.9, label=marked))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9)


def _title(text: str, survey: str) -> str:
    return f"{text} ({_MOCK})" if survey == "mock" else text


def influence_figure(scans: Sequence[Scan], *, survey: str) -> Figure:
    """Draw how many stars come and go within 10 % of every limit; "?" where the relation could not be fitted.

    Parameters
    ----------
    scans : sequence of Scan
        One limit at a time, that which moves most stars first.
    survey : str
        Name of the survey.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    moving = [scan for scan in scans if scan.response.direction]
    shown = [scan for scan in reversed(moving) if sum(scan.moved) or (any(scan.known) and not all(scan.known))]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 1.4 + 0.27 * max(len(shown), 3)), layout="constrained")
        axes = figure.add_subplot()
        places = np.arange(len(shown))
        come, go = (np.array([scan.moved[k] for scan in shown], dtype=float) for k in (0, 1))
        axes.barh(places, come, color="#0072B2", label="come with a limit 10 % looser")
        axes.barh(places, -go, color="#D55E00", label="go with a limit 10 % tighter")
        labels = [f"{scan.limit.path} = {scan.limit.value:g} {scan.limit.unit}".rstrip() for scan in shown]
        axes.set_yticks(places, labels, fontsize=8.5)
        axes.tick_params(axis="y", length=0)
        for place, up, down, scan in zip(places, come, go, shown, strict=True):
            more, less = (
                f"{sign}{n:.0f}" if known else "?" for sign, n, known in zip("+-", (up, down), scan.known, strict=True)
            )
            axes.annotate(more, (up, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7)
            axes.annotate(
                less, (-down, place), xytext=(-3, 0), textcoords="offset points", va="center", ha="right", fontsize=7
            )
        axes.axvline(0.0, color="black", lw=0.8)
        axes.margins(x=0.12)
        n_unknown = sum(not any(scan.known) for scan in moving)
        of_those = f", {n_unknown} have no fit there" if n_unknown else ""
        of_those += "; ?: too few stars for a fit" if any(not all(scan.known) for scan in shown) else ""
        axes.set_xlabel(f"stars of the sample; {len(moving) - len(shown) - n_unknown} other limits move none{of_those}")
        axes.xaxis.set_major_formatter(lambda number, _: f"{abs(number):,.0f}")
        axes.legend(loc="lower left")
        axes.set_title(_title("Influence of the limits", survey), fontsize=10)
        return figure


def joint_figure(joint: JointScan, *, survey: str) -> Figure:
    """Draw the sample with all limits loosened together.

    Parameters
    ----------
    joint : JointScan
        The sample by the share of the values.
    survey : str
        Name of the survey.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 4.4), layout="constrained")
        axes = figure.add_subplot()
        _draw_counts(axes, 100.0 * joint.shares, joint.sample)
        axes.axvline(0.0, color="0.5", lw=0.9)
        n_groups = 4 if np.isfinite(joint.sample.counts[:, 3]).any() else 3
        handles = [Line2D([], [], color=colour, ls=style, label=name) for name, colour, style in _GROUPS[:n_groups]]
        axes.legend(handles=handles, loc="upper left")
        axes.set_xlabel(f"all {len(joint.limits)} limits loosened by [% of their values]")
        axes.set_ylabel("stars of the sample")
        axes.set_title(_title("All limits together", survey), fontsize=10)
        return figure


def plane_figure(plane: PlaneScan, *, survey: str) -> Figure:
    """Draw the sample over the two limits that move most stars.

    Parameters
    ----------
    plane : PlaneScan
        Counts.
    survey : str
        Name of the survey.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.9), layout="constrained")
        axes = figure.add_subplot()
        mesh = axes.pcolormesh(plane.x_values, plane.y_values, plane.counts, cmap="cividis", shading="nearest")
        figure.colorbar(mesh, ax=axes, label="stars of the sample")
        if np.nanmin(plane.counts) < np.nanmax(plane.counts):
            lines = axes.contour(plane.x_values, plane.y_values, plane.counts, colors="white", linewidths=0.9, levels=6)
            axes.clabel(lines, fontsize=8)
        axes.plot(plane.x.value, plane.y.value, "*", ms=13, mfc="white", mec="black", label="the run")
        axes.set_xlabel(_label(plane.x))
        axes.set_ylabel(_label(plane.y))
        if plane.y.unit == "mag" and plane.y.name.startswith("M_V"):
            axes.invert_yaxis()
        axes.legend(loc="upper left", frameon=True)
        axes.set_title(_title("The two limits that move most stars", survey), fontsize=10)
        return figure


def bootstrap_figure(bootstrap: Bootstrap, *, in_run: Sequence[int], survey: str) -> Figure:
    """Draw the distribution of the size of the sample, a panel a Cloud.

    Parameters
    ----------
    bootstrap : Bootstrap
        The draws.
    in_run : sequence of int
        Stars of the run's sample in each Cloud of the bootstrap.
    survey : str
        Name of the survey.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    # Of one Cloud both panels would be the same.
    places = range(len(bootstrap.galaxies)) if len(bootstrap.galaxies) > 2 else range(1)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 3.2 * len(places), 3.9), layout="constrained")
        panels = figure.subplots(1, len(places), squeeze=False)[0]
        for axes, place in zip(panels, places, strict=True):
            sizes = {kind: remaining[:, place, -1] for kind, remaining in bootstrap.remaining.items()}
            every = np.concatenate([*sizes.values(), [in_run[place]]])
            width = max(1, round((every.max() - every.min()) / 25))
            edges = np.arange(every.min() - 0.5, every.max() + width + 0.5, width)
            for kind, (_, colour) in _KINDS.items():
                axes.hist(sizes[kind], bins=edges, histtype="step", color=colour, lw=1.3)
            axes.axvline(in_run[place], color="#D55E00", lw=1.2, ls="--")
            axes.set_title(bootstrap.galaxies[place], fontsize=10)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.set_xlabel("stars of the sample")
        panels[0].set_ylabel(f"draws of {bootstrap.n_draws}")
        handles = [Line2D([], [], color=colour, label=name) for name, colour in _KINDS.values()]
        handles.append(Line2D([], [], color="#D55E00", ls="--", label="the run"))
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
        figure.suptitle(_title("Size of the sample", survey), fontsize=10)
        return figure


def stability_figure(stars: QTable, table: QTable, *, survey: str) -> Figure:
    """Draw how often each star is in: over its rank, and in the colour-magnitude diagram.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars of the run.
    table : `~astropy.table.QTable`
        Stars that are ever in, as `cbminer.completeness.sensitivity_tables.tabulate_bootstrap` makes them.
    survey : str
        Name of the survey.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    share, chosen = values(table, "share_in"), np.asarray(table["selected"], dtype=bool)
    place = {name: row for row, name in enumerate(np.asarray(stars["id"], dtype=str))}
    rows = np.array([place[str(name)] for name in table["id"]], dtype=np.int64)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        edges = np.linspace(0.0, 1.0, 21)
        left.hist(
            [share[chosen], share[~chosen]], bins=edges, stacked=True, color=["#0072B2", "#E69F00"],
            label=[f"in the sample of the run ({chosen.sum():,})", f"not in it ({(~chosen).sum():,})"],
        )  # fmt: skip
        left.set_xlabel("share of draws in which a star is in")
        left.set_ylabel("stars that are ever in")
        left.yaxis.set_major_locator(MaxNLocator(integer=True))
        left.legend(loc="upper center")
        colour, magnitude = (values(stars, name, "mag")[rows] for name in ("VI0", "M_V"))
        order = np.argsort(share, kind="stable")
        drawn = right.scatter(
            colour[order], magnitude[order], c=share[order], s=13, cmap="cividis", vmin=0.0, vmax=1.0, lw=0
        )
        figure.colorbar(drawn, ax=right, label="share of draws in which a star is in")
        right.set_xlabel("$(V-I)_0$ [mag]")
        right.set_ylabel(r"$M_V$ at maximum light [mag]")
        right.invert_yaxis()
        figure.suptitle(_title("Stability of the verdicts under errors", survey), fontsize=10)
        return figure
