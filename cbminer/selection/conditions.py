"""One condition of a cut: a quantity of every star, compared with a limit."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = ["Condition", "Membership", "Presence", "Verdict"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """A number of every star and the limit that it must keep.

    Attributes
    ----------
    quantity : str
        What is compared, in the names of the catalogue's columns.
    value : `~numpy.ndarray`
        Values, NaN where unknown, shape (n,).
    relation : {"<=", ">=", "<", ">"}
        How the value must stand to the limit.
    limit : `~numpy.ndarray`
        Limit of every star, shape (n,).
    reason : str
        Why a star that does not keep it is out, in a few words.
    unit : str, optional
        Unit of value and limit.
    """

    quantity: str
    value: FloatArray
    relation: Literal["<=", ">=", "<", ">"]
    limit: FloatArray
    reason: str
    unit: str = ""

    @property
    def known(self) -> Mask:
        """Where value and limit are known."""
        return ~(np.isnan(self.value) | np.isnan(self.limit))

    @property
    def margin(self) -> FloatArray:
        """Distance from the limit, positive on the allowed side."""
        below = self.relation in {"<=", "<"}
        return self.limit - self.value if below else self.value - self.limit

    @property
    def passed(self) -> Mask:
        """Where the condition is known to hold."""
        with np.errstate(invalid="ignore"):
            return self.margin > 0 if self.relation in {"<", ">"} else self.margin >= 0

    def describe(self, index: int) -> str:
        """Write the comparison for one star.

        Parameters
        ----------
        index : int
            Row of the star.

        Returns
        -------
        str
            Quantity, value, relation, limit and margin.
        """
        value, limit, unit = self.value[index], self.limit[index], f" {self.unit}" if self.unit else ""
        if not self.known[index]:
            # Some limits hang on a number of the star that may be the one that is missing.
            asked = f"limit {self.relation} {limit:.4g}{unit}" if np.isfinite(limit) else "nor its limit"
            return f"{self.quantity} is not known ({asked})"
        margin = self.margin[index]
        side = "inside by" if self.passed[index] else "outside by"
        found = f"{self.quantity} = {value:.4g}{unit}, limit {self.relation} {limit:.4g}{unit}"
        return f"{found}, {side} {abs(margin):.3g}{unit}"


@dataclass(frozen=True)
class Membership:
    """A label of every star that must be one of a few.

    Attributes
    ----------
    quantity : str
        Name of the column.
    value : `~numpy.ndarray`
        Labels, empty where unknown, shape (n,).
    allowed : tuple of str
        Labels that pass.
    reason : str
        Why another label is out.
    """

    quantity: str
    value: npt.NDArray[np.str_]
    allowed: tuple[str, ...]
    reason: str

    @property
    def known(self) -> Mask:
        """Where the label is known."""
        return np.asarray(self.value != "")

    @property
    def passed(self) -> Mask:
        """Where the label is one of those allowed."""
        return np.isin(self.value, self.allowed)

    def describe(self, index: int) -> str:
        """Write the comparison for one star.

        Parameters
        ----------
        index : int
            Row of the star.

        Returns
        -------
        str
            The label and those allowed.
        """
        found = self.value[index] or "not known"
        return f"{self.quantity} = {found}, allowed {', '.join(self.allowed)}"


@dataclass(frozen=True)
class Presence:
    """A number that every star must have, whatever its value.

    Attributes
    ----------
    quantity : str
        Name of the column.
    passed : `~numpy.ndarray`
        Where the number is known, shape (n,).
    reason : str
        Why a star without it is out.
    """

    quantity: str
    passed: Mask
    reason: str

    @property
    def known(self) -> Mask:
        """Everywhere: whether a number is there is always known."""
        return np.ones(len(self.passed), dtype=bool)

    def describe(self, index: int) -> str:
        """Write the finding for one star.

        Parameters
        ----------
        index : int
            Row of the star.

        Returns
        -------
        str
            Whether the number is there.
        """
        return f"{self.quantity} is {'known' if self.passed[index] else 'not known'}"


AnyCondition = Condition | Membership | Presence


@dataclass(frozen=True)
class Verdict:
    """What a cut says of every star.

    Attributes
    ----------
    conditions : list of Condition, Membership or Presence
        Conditions of the cut; a star passes if all hold.
    """

    conditions: list[AnyCondition] = field(default_factory=list)

    @property
    def passed(self) -> Mask:
        """Where every condition holds."""
        passed: Mask = np.all([condition.passed for condition in self.conditions], axis=0)
        return passed

    @property
    def failed(self) -> Mask:
        """Where a condition is known not to hold."""
        failed: Mask = np.any([item.known & ~item.passed for item in self.conditions], axis=0)
        return failed

    @property
    def undecided(self) -> Mask:
        """Where no condition is known to fail and one cannot be told."""
        return ~(self.passed | self.failed)

    @property
    def reason(self) -> npt.NDArray[np.str_]:
        """First reason of every star that does not pass; empty for the others."""
        reasons = np.full(len(self.passed), "", dtype=object)
        for condition in reversed(self.conditions):
            reasons[~condition.known & self.undecided] = f"not known: {condition.quantity}"
            reasons[condition.known & ~condition.passed] = condition.reason
        return reasons.astype(str)
