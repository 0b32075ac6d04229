"""The data of a page as compact JSON: columns of the schema, conditions of the cuts, light curves and diagrams."""

import base64
import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from markupsafe import Markup

from cbminer.catalogue.schema import COLUMNS, ColumnSpec
from cbminer.classifier.classes import CLASS_LABELS, CLASSES
from cbminer.columns import FloatArray, label_column, values
from cbminer.flags import FLAG_MEANINGS, Flag
from cbminer.ranking.fit_data import FoldedPoints
from cbminer.ranking.hypotheses import HYPOTHESES, HYPOTHESIS_LABELS
from cbminer.report.page.curves import MODEL_PHASE, ShownCurves
from cbminer.report.page.data import CutVerdict, ReportData
from cbminer.report.page.diagrams import CloudDiagrams, ContourLine
from cbminer.report.page.links import star_links
from cbminer.report.page.odds import ODDS_PARTS, absent_odds
from cbminer.selection.conditions import AnyCondition, Condition, Membership

__all__ = ["embedded_json", "page_payload"]

# Magnitudes and phases are embedded as whole numbers of this.
_STEP = 1e-4
_COUNTS = ("n_points", "n_rejected", "n_harmonics")
_GROUPS: dict[str, tuple[str, ...]] = {
    "Photometry": (
        "I_mag", "V_mag", "E_VI", "E_VI_err_minus", "E_VI_err_plus", "distance_modulus", "M_V", "M_I", "VI0",
        "cov_M_V_VI0", "spectral_label", "plc_residual", "plc_significance",
    ),
    "Period": (
        "period", "T0", "T0_fit", "period_survey", "period_source", "period_verdict", "p_confirmed", "p_half",
        "p_double", "p_other", "p_refuted", "variability", "period_alias",
    ),
    "Shape of the light curve": (
        "depth1", "depth2", "depth_difference", "depth1_survey", "depth2_survey", "phase_secondary", "eclipse_width1",
        "eclipse_width2", "contact_angle1", "contact_angle2", "oconnell", "temperature_ratio", "a1", "a2", "a4", "W",
        "asymmetry", "c", "c_measured", "c_published", "c_distance", "scatter", "noise", "excess_scatter", "n_points",
        "n_rejected", "n_harmonics", "phase_gap",
    ),
    "Names": ("RAJ2000", "DEJ2000", "type", "ogle4_id", "ogle3_id", "ogle2_id", "other_id", "remark"),
}  # fmt: skip


def embedded_json(content: Any) -> Markup:
    """Write JSON that can stand in an element of a page whatever it holds.

    Parameters
    ----------
    content : object
        What JSON can hold; NaN and infinite numbers become null, as unknown ones do.

    Returns
    -------
    `~markupsafe.Markup`
        Compact ASCII without any ``<``, ``>`` or ``&``.
    """
    text = json.dumps(_finite(content), separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    # No sign is left that ends an element or begins one.
    return Markup(text)  # noqa: S704


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {name: _finite(item) for name, item in content.items()}
    return [_finite(item) for item in content] if isinstance(content, list | tuple) else content


def page_payload(report: ReportData) -> dict[str, Any]:
    """Turn a report into what the scripts of the page read.

    Parameters
    ----------
    report : ReportData
        Contents of the page.

    Returns
    -------
    dict
        Plain lists, numbers and texts; unknown numbers are None. A column in which all stars agree is ``{"all":
        value}``.
    """
    stars = report.stars
    return {
        "simulated": report.is_simulated,
        "contour": report.settings.ranking.contour,
        "n": len(stars),
        "listed": report.n_listed,
        "columns": {spec.name: [spec.unit, spec.decimals, spec.description] for spec in COLUMNS},
        "stars": {spec.name: _agreed(_column(stars, spec)) for spec in COLUMNS},
        "shared_flags": report.shared_flags,
        "odds_parts": [[part.name, part.label, int(part.flag or 0), part.absent] for part in ODDS_PARTS],
        "no_odds": _agreed(absent_odds(stars)),
        "groups": [[title, list(names)] for title, names in _GROUPS.items()],
        "cuts": [_cut(cut) for cut in report.verdicts],
        "flags": [[int(flag), flag.name, FLAG_MEANINGS[flag]] for flag in Flag],
        "hypotheses": [[name, HYPOTHESIS_LABELS[name]] for name in HYPOTHESES],
        "classes": [[name, CLASS_LABELS[name]] for name in CLASSES],
        "links": _links(report.listed, simulated=report.is_simulated),
        "model_phases": len(MODEL_PHASE),
        "curves": {name: _curves(item) for name, item in report.curves.items()},
        "absent": report.absent,
        "clouds": {galaxy: _cloud(item) for galaxy, item in report.diagrams.items()},
    }


def _column(stars: QTable, spec: ColumnSpec) -> list[Any]:
    if spec.kind == "text":
        return [str(item) for item in label_column(stars, spec.name)]
    if spec.kind == "boolean":
        column = stars[spec.name]
        return [bool(item) for item in (column.filled(False) if hasattr(column, "filled") else column)]
    if spec.kind == "integer":
        numbers = values(stars, spec.name)
        # Counts of what was not measured are -1.
        known = np.isfinite(numbers) & ~((numbers < 0) & (spec.name in _COUNTS))
        return [int(item) if sure else None for item, sure in zip(numbers, known, strict=True)]
    return [None if not np.isfinite(item) else round(float(item), spec.decimals) for item in _numbers(stars, spec)]


def _numbers(stars: QTable, spec: ColumnSpec) -> FloatArray:
    return values(stars, spec.name, spec.unit)


def _agreed(column: list[Any]) -> Any:
    return {"all": column[0]} if len(column) > 1 and all(item == column[0] for item in column) else column


def _short(numbers: FloatArray) -> list[float | None]:
    """Five significant digits, as a reader compares them."""
    return [float(f"{item:.5g}") if np.isfinite(item) else None for item in numbers]


def _state(passed: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> str:
    """One letter a star: passes, fails, or cannot be told."""
    return "".join("u" if not sure else "p" if good else "f" for good, sure in zip(passed, known, strict=True))


def _cut(cut: CutVerdict) -> dict[str, Any]:
    verdict = cut.verdict
    return {
        "name": cut.name,
        "undecided": cut.on_undecided,
        "state": _state(verdict.passed, ~verdict.undecided),
        "conditions": [_condition(item) for item in verdict.conditions],
    }


def _condition(condition: AnyCondition) -> dict[str, Any]:
    known = condition.known
    found: dict[str, Any] = {
        "quantity": condition.quantity,
        "reason": condition.reason,
        "state": _state(known & condition.passed, known),
    }
    if isinstance(condition, Condition):
        return found | {
            "relation": condition.relation,
            "unit": condition.unit,
            "value": _agreed(_short(condition.value)),
            "limit": _agreed(_short(condition.limit)),
        }
    if isinstance(condition, Membership):
        return found | {"allowed": list(condition.allowed), "value": _agreed([str(item) for item in condition.value])}
    return found


def _links(stars: QTable, *, simulated: bool) -> list[list[list[str]]]:
    names, ra, dec = label_column(stars, "id"), values(stars, "RAJ2000", "deg"), values(stars, "DEJ2000", "deg")
    return [
        [[link.name, link.address] for link in star_links(str(star), ra=ra[row], dec=dec[row], simulated=simulated)]
        for row, star in enumerate(names)
    ]


def _steps(numbers: FloatArray) -> list[int]:
    return [int(item) for item in np.rint(numbers / _STEP)]


def _curves(curves: ShownCurves) -> dict[str, Any]:
    return {
        "zero": curves.zero,
        "bayes": None if curves.ln_bayes is None else [round(item, 2) for item in curves.ln_bayes],
        "bands": {band: _points(points) for band, points in curves.points.items()},
        "models": [
            {
                "name": model.name,
                "kind": model.kind,
                "mag": {band: _from_first(mag) for band, mag in model.mag.items() if band in curves.points},
            }
            for model in curves.models
        ],
    }


def _points(points: FoldedPoints) -> dict[str, Any]:
    order = np.argsort(points.phase, kind="stable")
    brightest = float(points.mag.min())
    return {
        "from": round(brightest, 4),
        "phase": _steps(points.phase[order]),
        "mag": _steps(points.mag[order] - round(brightest, 4)),
        "error": _steps(points.mag_err[order]),
    }


def _from_first(mag: FloatArray) -> dict[str, Any]:
    first = round(float(mag[0]), 4)
    return {"from": first, "mag": _steps(mag - first)}


def _cloud(cloud: CloudDiagrams) -> dict[str, Any]:
    region, band = cloud.region, cloud.band
    return {
        "box": {
            "VI0_max": region.VI0_max,
            "VI0_ceiling": region.VI0_ceiling,
            "M_V_bright": region.M_V_bright,
            "M_V_faint": region.M_V_faint,
            "O_star_M_V": region.O_star_M_V,
        },
        "relation": {"a": band.a, "b": band.b, "c": band.c, "half_width": round(band.half_width, 4), "mode": band.mode},
        "backgrounds": {
            name: {
                "image": "data:image/png;base64," + base64.b64encode(item.png).decode(),
                "x": list(item.x),
                "y": list(item.y),
                "n": item.n_stars,
                "of": item.n_all,
            }
            for name, item in cloud.backgrounds.items()
        },
        "contours": {axis: [_contour(line) for line in lines] for axis, lines in cloud.contours.items()},
        "ranges": {name: {"x": list(item.x), "y": list(item.y)} for name, item in cloud.ranges.items()},
    }


def _contour(contour: ContourLine) -> dict[str, Any]:
    """Lines one after the other, with a gap between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    for line in contour.lines:
        x += [*(round(float(item), 3) for item in line[:, 0]), None]
        y += [*(round(float(item), 3) for item in line[:, 1]), None]
    return {"kind": contour.kind, "share": contour.share, "x": x, "y": y}
