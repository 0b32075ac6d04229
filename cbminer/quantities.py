"""Settings that carry units: the typed fields and the base model of every settings class.

In a settings file a number with a unit is a string such as ``"3 d"``. It is checked and converted when it is
read, kept as a float in the unit of the field, and written back with that unit.
"""

from typing import Annotated, Any

import astropy.units as u
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

__all__ = ["Arcseconds", "Days", "Degrees", "Magnitudes", "Megabytes", "Seconds", "SettingsModel"]


class SettingsModel(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _InUnit:
    """Convert a string or a Quantity to a float in one unit, and write it back."""

    def __init__(self, unit: str) -> None:
        self.unit = u.Unit(unit)
        self.text = unit

    def read(self, value: Any) -> float:
        example = f'write it as a string with a unit, for example "1.5 {self.text}"'
        if isinstance(value, bool) or not isinstance(value, str | u.Quantity):
            msg = f"{value!r} has no unit: {example}"
            raise ValueError(msg)  # noqa: TRY004 - pydantic reports ValueError
        try:
            quantity = u.Quantity(value)
        except (TypeError, ValueError):
            msg = f"{value!r} is not a number with a unit: {example}"
            raise ValueError(msg) from None
        try:
            return float(quantity.to_value(self.unit))
        except u.UnitConversionError:
            msg = f"{value!r} cannot be converted to {self.text}: {example}"
            raise ValueError(msg) from None

    def write(self, value: float) -> str:
        return f"{value:.10g} {self.text}"


def _field(unit: str) -> Any:
    converter = _InUnit(unit)
    return Annotated[float, BeforeValidator(converter.read), PlainSerializer(converter.write, when_used="json")]


Arcseconds = _field("arcsec")
Megabytes = _field("Mbyte")
Days = _field("d")
Degrees = _field("deg")
Magnitudes = _field("mag")
Seconds = _field("s")
