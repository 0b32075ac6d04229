"""The numbers in the settings of the cuts: found, changed, and the range in which each one matters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel

from cbminer.columns import FloatArray, values
from cbminer.completeness.rejudging import Mask, Rejudging, with_plc_columns
from cbminer.errors import RelationError
from cbminer.selection.conditions import AnyCondition, Condition
from cbminer.selection.cutflow import SelectionSettings
from cbminer.selection.cuts import Cut

__all__ = ["Limit", "Response", "changed", "loosened", "numeric_settings", "response_of"]

# Steps, as shares of the value, by which the answer of the margins is measured: the first one at which any answers.
_STEPS = (0.1, 0.5, 2.0)
# Range of a setting in which no star turns, as a share of its value.
_PLAIN_SHARE = 0.3
# The least range to each side, as a share of the value: the derivative over 10 % lies within.
_LEAST_SHARE = 0.12
# At least so many stars are looked for beyond a limit where the sample is smaller than this.
_LEAST_STARS = 10
_NO_SLOPE = 1e-9
# Slopes hold near the value only: an end at which the sample is this far from that of the run is brought nearer.
_FAR = (0.35, 2.5)
_HALVINGS = 8
# How near to a bound that it may not take a number comes, as a share of its distance.
_OPEN = 1e-3


@dataclass(frozen=True)
class Limit:
    """A number in the settings of the selection.

    Attributes
    ----------
    section, name : str
        Where it stands: ``[selection.section]``, empty for ``[selection]`` itself, and its key.
    value : float
        Its value in the run.
    unit : str
        Its unit, empty for a pure number.
    least, most : float
        Values between which the settings allow it.
    description : str
        What it is.
    """

    section: str
    name: str
    value: float
    unit: str
    least: float
    most: float
    description: str

    @property
    def path(self) -> str:
        """Full name, such as ``plc.n_sigma``."""
        return f"{self.section}.{self.name}" if self.section else self.name

    def allowed(self, value: float) -> float:
        """Nearest value that the settings allow.

        Parameters
        ----------
        value : float
            A value.

        Returns
        -------
        float
            The value, or the bound that it passes.
        """
        return float(np.clip(value, self.least, self.most))


@dataclass(frozen=True)
class Response:
    """How a cut answers to one of its numbers.

    Attributes
    ----------
    direction : int
        1 if a higher value lets stars in, -1 if a lower one does, 0 if neither is so for all of them.
    low, high : float
        Range of values: from about half of the sample to about twice of it, where the stars allow it.
    scale : float
        What 10 % are a tenth of: the value without its sign, or half of the range for a value of 0.
    typical_error : float
        Median error of what is compared, of the stars that this setting alone decides about, as a change of the
        setting; NaN where it has no error.
    """

    direction: int
    low: float
    high: float
    scale: float
    typical_error: float


def numeric_settings(settings: SelectionSettings) -> list[Limit]:
    """Every number that stands in the settings of the cuts.

    Parameters
    ----------
    settings : SelectionSettings
        The cuts.

    Returns
    -------
    list of Limit
        Numbers in the order of the cuts. Counts, such as the stars that a fit needs, and numbers that are unset are
        left out.
    """
    found = []
    for name in type(settings).model_fields:
        item = getattr(settings, name)
        if isinstance(item, Cut):
            found += [_limit(item, name, key) for key in type(item).model_fields if _is_number(getattr(item, key))]
        elif _is_number(item):
            found.append(_limit(settings, "", name))
    return found


def _is_number(item: Any) -> bool:
    return isinstance(item, float)


def _limit(model: BaseModel, section: str, name: str) -> Limit:
    field = type(model).model_fields[name]
    value = float(getattr(model, name))
    written = str(model.model_dump(mode="json")[name]).split()
    unit = written[1] if len(written) > 1 else ""
    return Limit(section, name, value, unit, *_bounds(field.metadata, value), field.description or "")


def _bounds(constraints: Iterable[Any], value: float) -> tuple[float, float]:
    """Values between which the constraints of a field allow it; beside an open bound the nearest useful one."""
    least, most = -np.inf, np.inf
    for constraint in constraints:
        if isinstance(constraint, Ge | Gt):
            bound = float(constraint.ge if isinstance(constraint, Ge) else constraint.gt)  # type: ignore[arg-type]
            least = max(least, bound if isinstance(constraint, Ge) else bound + _OPEN * abs(value - bound))
        elif isinstance(constraint, Le | Lt):
            bound = float(constraint.le if isinstance(constraint, Le) else constraint.lt)  # type: ignore[arg-type]
            most = min(most, bound if isinstance(constraint, Le) else bound - _OPEN * abs(value - bound))
    return least, most


def changed(settings: SelectionSettings, changes: Mapping[Limit, float]) -> SelectionSettings:
    """Change numbers of the settings.

    Parameters
    ----------
    settings : SelectionSettings
        The cuts.
    changes : mapping of Limit to float
        New value of each number.

    Returns
    -------
    SelectionSettings
        The changed cuts.
    """
    update: dict[str, Any] = {}
    for limit, value in changes.items():
        if not limit.section:
            update[limit.name] = value
            continue
        cut: Cut = update.get(limit.section, getattr(settings, limit.section))
        update[limit.section] = cut.model_copy(update={limit.name: value})
    return settings.model_copy(update=update)


def loosened(limit: Limit, response: Response, share: float) -> float:
    """Value of a number that is loosened by a share of itself.

    Parameters
    ----------
    limit : Limit
        The number.
    response : Response
        In which direction it lets stars in, and its scale. One without a direction grows.
    share : float
        By how much of its scale; below 0 tightens it.

    Returns
    -------
    float
        The value, within what the settings allow.
    """
    return limit.allowed(limit.value + (response.direction or 1) * share * response.scale)


def response_of(rejudging: Rejudging, limit: Limit) -> Response:
    """Find the direction in which a number lets stars in, and the range in which it matters.

    Parameters
    ----------
    rejudging : Rejudging
        The run.
    limit : Limit
        The number.

    Returns
    -------
    Response
        Direction, range and typical error.

    Notes
    -----
    The margins of the cut's conditions are computed at the number and at two values beside it, farther away if none of
    them answers. From their slope follows, for each star that all other conditions keep, the value at which it turns.
    The range reaches from where half of the sample is gone to where as many new stars have come as the sample has, and
    by 12 % of the value at least. An end at which the relation cannot be fitted is brought nearer, but not nearer than
    that.
    """
    found = _answer(rejudging, limit) if limit.section else None
    return _unmoved(limit, 0) if found is None else _response(rejudging, limit, found)


def _answer(rejudging: Rejudging, limit: Limit) -> "_Margins | None":
    """Margins at the first step at which any answers."""
    for step in _STEPS:
        try:
            margins = _margins(rejudging, limit, step)
        except RelationError:
            # The relation itself hangs on this number and cannot be fitted so far from the run: nor can it farther.
            return None
        if margins.answers:
            return margins
    return None


def _response(rejudging: Rejudging, limit: Limit, found: "_Margins") -> Response:
    signs = np.unique(np.sign(found.slope[found.moved]))
    direction = int(signs[0]) if len(signs) == 1 else 0
    decided = found.moved & found.alone & _kept_by_others(rejudging, limit)
    if not decided.any():
        return _unmoved(limit, direction)
    turns = limit.value - found.margin[decided] / found.slope[decided]
    passed = found.margin[decided] >= 0
    sample = max(int(rejudging.selected(rejudging.settings).sum()), _LEAST_STARS)
    reached = [_nearest(turns[passed], limit.value, (sample + 1) // 2), _nearest(turns[~passed], limit.value, sample)]
    least = _LEAST_SHARE * (abs(limit.value) or float(np.median(np.abs(turns - limit.value))))
    low, high = (_useful(rejudging, limit, value, sample, least) for value in _reach(limit, reached, least))
    sizes = found.error[decided & found.straight] / np.abs(found.slope[decided & found.straight])
    known = sizes[np.isfinite(sizes)]
    typical = float(np.median(known)) if len(known) else np.nan
    return Response(direction, low, high, abs(limit.value) or 0.5 * (high - low), typical)


def _useful(rejudging: Rejudging, limit: Limit, end: float, sample: int, least: float) -> float:
    """Bring an end of the range nearer while the sample there is unknown, or far from half or twice that of the run."""
    end = limit.allowed(end)
    for _ in range(_HALVINGS):
        number = _size(rejudging, limit, end)
        near = abs(end - limit.value) < 2.0 * least
        if _FAR[0] * sample <= number <= _FAR[1] * sample or (np.isnan(number) and near):
            break
        end = 0.5 * (end + limit.value)
    return end


def _size(rejudging: Rejudging, limit: Limit, value: float) -> float:
    """Stars of the sample at a value; NaN where the relation cannot be fitted to what it leaves."""
    try:
        return float(rejudging.selected(changed(rejudging.settings, {limit: value})).sum())
    except RelationError:
        return np.nan


def _unmoved(limit: Limit, direction: int) -> Response:
    """Give the response of a number that decides about no star."""
    low, high = _reach(limit, [], _PLAIN_SHARE * abs(limit.value))
    return Response(direction, limit.allowed(low), limit.allowed(high), abs(limit.value), np.nan)


def _reach(limit: Limit, reached: list[float], least: float) -> tuple[float, float]:
    return min([limit.value - least, *reached]), max([limit.value + least, *reached])


def _nearest(turns: FloatArray, value: float, number: int) -> float:
    """Value by which a number of stars have turned, or all there are."""
    ordered = turns[np.argsort(np.abs(turns - value), kind="stable")][:number]
    return float(ordered[-1]) if len(ordered) else value


@dataclass(frozen=True)
class _Margins:
    """Answer of the conditions of a cut to a number; arrays of shape (conditions, n).

    Attributes
    ----------
    margin, slope : `~numpy.ndarray`
        Distance from the limit, positive inside, and its derivative by the number.
    error : `~numpy.ndarray`
        Error of what is compared.
    straight : `~numpy.ndarray`
        Where the number moves the limit and nothing else, and no other limit takes over.
    alone : `~numpy.ndarray`
        Where all other conditions of the cut hold.
    """

    margin: FloatArray
    slope: FloatArray
    error: FloatArray
    straight: Mask
    alone: Mask

    @property
    def moved(self) -> Mask:
        """Where the margin answers."""
        answers: Mask = (self.slope != 0) & np.isfinite(self.slope) & np.isfinite(self.margin)
        return answers

    @property
    def answers(self) -> bool:
        """Whether any margin does."""
        return bool(self.moved.any())


def _margins(rejudging: Rejudging, limit: Limit, share: float) -> _Margins:
    step = share * (abs(limit.value) or 0.1)
    numbers = [limit.value, limit.allowed(limit.value - step), limit.allowed(limit.value + step)]
    judged = [_conditions(rejudging, limit, number) for number in numbers]
    rows = [index for index, item in enumerate(judged[0]) if isinstance(item, Condition)]
    compared = [[item for item in items if isinstance(item, Condition)] for items in judged]
    middle, low, high = (np.array([item.margin for item in items]) for items in compared)
    slope = (high - low) / (numbers[2] - numbers[1])
    # What is left of a slope by rounding is none.
    slope[np.abs(slope) < _NO_SLOPE] = 0.0
    even = np.abs(middle + slope * (numbers[2] - numbers[0]) - high) < _NO_SLOPE
    same = np.array([a.value == b.value for a, b in zip(compared[1], compared[2], strict=True)])
    passed = np.array([item.passed for item in judged[0]])
    alone = np.array([np.delete(passed, row, axis=0).all(axis=0) for row in rows])
    error = np.array([_errors(rejudging, item) for item in compared[0]])
    return _Margins(middle, slope, error, even & same, alone)


def _conditions(rejudging: Rejudging, limit: Limit, value: float) -> list[AnyCondition]:
    settings = changed(rejudging.settings, {limit: value})
    stars = with_plc_columns(rejudging.stars, settings) if limit.section == "plc" else rejudging.stars
    cut: Cut = getattr(settings, limit.section)
    return cut.conditions(stars)


def _errors(rejudging: Rejudging, condition: Condition) -> FloatArray:
    """Error of what a condition compares; that of a significance is 1, of what has none NaN."""
    name = condition.quantity.strip("|").split(" ")[0]
    n_stars = len(rejudging.stars)
    if condition.unit == "sigma" or "/e_" in name:
        return np.ones(n_stars)
    if f"e_{name}" not in rejudging.stars.colnames:
        return np.full(n_stars, np.nan)
    return values(rejudging.stars, f"e_{name}", condition.unit)


def _kept_by_others(rejudging: Rejudging, limit: Limit) -> Mask:
    """Stars that every other cut keeps."""
    own = getattr(rejudging.settings, limit.section).name
    mask: Mask = np.all([kept for name, kept in rejudging.kept.items() if name != own], axis=0)
    return mask
