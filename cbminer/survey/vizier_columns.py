"""Which column of a VizieR table is what: found at run time by name, UCD or description.

The names of tables and columns differ from catalogue to catalogue and are not known beforehand. What a column is for
is called its role here. A setting that names the column of a role goes before everything else.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Table

from cbminer.columns import FloatArray
from cbminer.errors import ArchiveError
from cbminer.survey.tap_tables import Question, TapTables

__all__ = [
    "Column",
    "Role",
    "TableColumns",
    "discover",
    "file_name",
    "find_column",
    "find_roles",
    "number_values",
    "quoted",
    "refuse_columns",
    "select",
    "text_values",
]

# A catalogue such as J/AcA/66/421 or I/358, wherever a service puts it behind a schema and quotes.
_TABLE = re.compile(r'(?:^|[."])((?:[IVX]+|[BJ])/[^"]*)"?$')
_MISSING = {"", "-", "--", "nan", "None"}
_TEXT = ("char", "text", "string", "clob")


@dataclass(frozen=True)
class Column:
    """A column as the service describes it.

    Attributes
    ----------
    name : str
        Name without quotes.
    adql : str
        Name as a query must write it.
    description, ucd, unit : str
        What the service says of it; empty if nothing.
    is_text : bool
        Whether it holds text, as far as the service says.
    """

    name: str
    adql: str
    description: str = ""
    ucd: str = ""
    unit: str = ""
    is_text: bool = False


@dataclass(frozen=True)
class TableColumns:
    """A table of a catalogue and its columns.

    Attributes
    ----------
    name : str
        Name without quotes, for instance ``J/AcA/66/421/ecl``.
    adql : str
        Name as a query must write it.
    columns : list of Column
        Its columns.
    """

    name: str
    adql: str
    columns: list[Column]

    def describe(self) -> str:
        """Name the table and its columns, for messages.

        Returns
        -------
        str
            One line.
        """
        return f"{self.name} ({', '.join(column.name for column in self.columns)})"


@dataclass(frozen=True)
class Role:
    """What a column is for, and how it may be known.

    Attributes
    ----------
    name : str
        Name of the role, as in the settings.
    names : tuple of str
        Names in use, the best first; compared by letters and digits only.
    ucds : tuple of str
        Beginnings of its UCD.
    words : str
        Pattern that its description matches.
    is_text : bool or None
        Whether it holds text; None if either will do.
    """

    name: str
    names: tuple[str, ...]
    ucds: tuple[str, ...] = ()
    words: str = ""
    is_text: bool | None = None

    def suits(self, column: Column) -> bool:
        """Tell whether the kind of a column is right.

        Parameters
        ----------
        column : Column
            The column.

        Returns
        -------
        bool
            False for text where numbers are wanted, and the other way round.
        """
        return self.is_text is None or self.is_text == column.is_text


def quoted(name: str) -> str:
    """Write a name as ADQL wants it: VizieR's names have slashes, brackets and the like in them.

    Parameters
    ----------
    name : str
        Name of a table or column, with or without quotes.

    Returns
    -------
    str
        The name in double quotes.
    """
    return name if '"' in name else f'"{name}"'


def select(columns: Iterable[str], source: str, where: str = "") -> str:
    """Write a query.

    Parameters
    ----------
    columns : iterable of str
        What to select, as ADQL wants it.
    source : str
        Table, or tables and how they are joined.
    where : str, optional
        Condition.

    Returns
    -------
    str
        The query.
    """
    words = ["SELECT", ", ".join(columns), "FROM", source]
    return " ".join([*words, "WHERE", where] if where else words)


def find_column(table: TableColumns, role: Role, chosen: str | None = None) -> Column | None:
    """Find the column of a role: by the setting, by name, by UCD, or by its description.

    Parameters
    ----------
    table : TableColumns
        Table with its columns.
    role : Role
        What the column is for.
    chosen : str, optional
        Name that a setting gives. Then only this one counts; an empty one says that there is no such column.

    Returns
    -------
    Column or None
        The column; None if there is none, or if UCD or description fit more than one.
    """
    if chosen is not None:
        return next((column for column in table.columns if column.name.lower() == chosen.strip('"').lower()), None)
    able = [column for column in table.columns if role.suits(column)]
    by_name = {_letters(column.name): column for column in reversed(able)}
    for name in role.names:
        if _letters(name) in by_name:
            return by_name[_letters(name)]
    for ucd in role.ucds:
        fitting = [column for column in able if column.ucd.lower().startswith(ucd.lower())]
        if fitting:
            return fitting[0] if len(fitting) == 1 else None
    fitting = [column for column in able if role.words and re.search(role.words, column.description, re.IGNORECASE)]
    return fitting[0] if len(fitting) == 1 else None


def find_roles(table: TableColumns, roles: Sequence[Role], chosen: Mapping[str, str | None]) -> dict[str, Column]:
    """Find the columns of several roles.

    Parameters
    ----------
    table : TableColumns
        Table with its columns.
    roles : sequence of Role
        What columns are for.
    chosen : mapping of str to (str or None)
        Names that the settings give, by role.

    Returns
    -------
    dict of str to Column
        The columns that were found, by role, in the order of the roles.
    """
    found = {role.name: find_column(table, role, chosen.get(role.name)) for role in roles}
    return {role: column for role, column in found.items() if column is not None}


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def discover(tables: TapTables, catalogue: str, *, remedy: str) -> list[TableColumns]:
    """Ask the service for the tables of a catalogue and their columns.

    Parameters
    ----------
    tables : TapTables
        The service.
    catalogue : str
        A catalogue, or one table of it.
    remedy : str
        What the user can do without it.

    Returns
    -------
    list of TableColumns
        Its tables, by name.

    Raises
    ------
    ArchiveError
        If the service does not answer, or has no such catalogue.
    """
    name = catalogue.strip("/").replace("'", "''")
    patterns = (f"%{name}/%", f"%{name}", f'%{name}"')
    where = " OR ".join(f"table_name LIKE '{pattern}'" for pattern in patterns)
    rows = tables.ask(
        Question(
            adql=select(
                ("table_name", "column_name", "description", "ucd", "unit", "datatype"), "TAP_SCHEMA.columns", where
            ),
            what=f"the columns of {catalogue}",
            remedy=remedy,
            name=f"columns-{file_name(catalogue)}",
            keep_empty=False,
        )
    )
    found = _group(rows, catalogue.strip("/"))
    if not found:
        msg = f"{tables.service.url} has no table of {catalogue}: check the name in the settings, or {remedy}"
        raise ArchiveError(msg)
    return found


def _group(rows: Table, catalogue: str) -> list[TableColumns]:
    """Gather columns by table; tables of other catalogues whose names merely end alike are left out."""
    if len(rows) == 0:
        return []
    texts = [text_values(rows.columns[number]) for number in range(6)]
    found: dict[str, TableColumns] = {}
    for table, column, description, ucd, unit, datatype in zip(*texts, strict=True):
        match = _TABLE.search(table)
        name = match[1] if match else table.strip('"')
        if name != catalogue and not name.startswith(f"{catalogue}/"):
            continue
        is_text = any(word in datatype.lower() for word in _TEXT)
        entry = found.setdefault(name, TableColumns(name, quoted(table), []))
        entry.columns.append(Column(column.strip('"'), quoted(column), description, ucd, unit, is_text))
    return [found[name] for name in sorted(found)]


def text_values(column: Any) -> list[str]:
    """Values of a column as texts without blanks around them, missing ones empty.

    Parameters
    ----------
    column : `~astropy.table.Column`
        Column of a service's table.

    Returns
    -------
    list of str
        A text a row; a number has the digits that its precision calls for.
    """
    if column.dtype.kind == "f":
        # A single-precision 15.123 becomes 15.12300014 on the way through double precision.
        column = column.astype(str)
    return ["" if value is None else _decoded(value).strip() for value in column.tolist()]


def _decoded(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def number_values(column: Any) -> FloatArray:
    """Values of a column as floats, missing ones as NaN.

    Parameters
    ----------
    column : `~astropy.table.Column`
        Column of a service's table.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n,).

    Raises
    ------
    ArchiveError
        If it holds something else.
    """
    try:
        return np.array([np.nan if text in _MISSING else float(text) for text in text_values(column)], dtype=float)
    except ValueError as error:
        msg = (
            f"column {column.name} of the service's table does not hold numbers ({error}): name another in the settings"
        )
        raise ArchiveError(msg) from error


def file_name(catalogue: str) -> str:
    """Make a file name of the name of a catalogue.

    Parameters
    ----------
    catalogue : str
        Its name.

    Returns
    -------
    str
        The name without slashes and the like.
    """
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", catalogue).strip("_")


def refuse_columns(
    catalogue: str,
    tables: Sequence[TableColumns],
    missing: Mapping[str, str],
    *,
    section: str,
    chosen: Mapping[str, str | None],
    remedy: str,
) -> ArchiveError:
    """Make the error of a catalogue without a column that is needed.

    Parameters
    ----------
    catalogue : str
        Its name.
    tables : sequence of TableColumns
        What was found.
    missing : mapping of str to str
        Role and meaning of each column that was not found.
    section : str
        Table of the settings where columns are named.
    chosen : mapping of str to (str or None)
        What the settings name.
    remedy : str
        What the user can do without it.

    Returns
    -------
    ArchiveError
        With what was found and two remedies.
    """
    wanted = " or ".join(
        f"{meaning}{f' named {chosen[role]}' if chosen.get(role) else ''}" for role, meaning in missing.items()
    )
    example = next(iter(missing))
    return ArchiveError(
        f"VizieR {catalogue} has no column for {wanted} that cbminer knows; it has "
        f"{'; '.join(table.describe() for table in tables)}. Name the right one with {example} under [{section}], "
        f"or {remedy}"
    )
