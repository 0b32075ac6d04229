"""Every error that cbminer raises on purpose.

::

    CbminerError
    ├── SettingsError           a settings file or value is wrong
    ├── InputFormatError        a file does not have the layout that it should have
    ├── ArchiveError            an archive, or a file that it must hold, cannot be had
    ├── RelationError           the period-luminosity-colour relation cannot be fitted
    ├── OutputError             the output folder cannot be used
    ├── UnknownStarError        a star is not in the run that was asked
    └── ResourceNotFoundError   a data file of the package itself is missing

Each message is one sentence or two that name the file, the line where there is one, and the remedy.
"""

from typing import ClassVar

__all__ = [
    "ArchiveError",
    "CbminerError",
    "InputFormatError",
    "OutputError",
    "RelationError",
    "ResourceNotFoundError",
    "SettingsError",
    "UnknownStarError",
]


class CbminerError(Exception):
    """Root of all errors that cbminer raises on purpose.

    Attributes
    ----------
    exit_status : int
        What the command line exits with: 1 for a run that failed, 2 for a wrong request.
    """

    exit_status: ClassVar[int] = 1


class SettingsError(CbminerError):
    """A settings file, or a value in it, is wrong."""

    exit_status: ClassVar[int] = 2


class InputFormatError(CbminerError):
    """A file does not have the layout that it should have."""


class ArchiveError(CbminerError):
    """An archive, or a file that it must hold, cannot be had."""


class RelationError(CbminerError):
    """The period-luminosity-colour relation cannot be fitted to the stars at hand."""


class OutputError(CbminerError):
    """The output folder cannot be used."""


class UnknownStarError(CbminerError):
    """A star is not in the run that was asked about it."""


class ResourceNotFoundError(CbminerError):
    """A data file that the package ships is missing."""
