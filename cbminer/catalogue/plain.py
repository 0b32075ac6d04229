"""A catalogue in columns that every format can hold."""

import numpy as np
from astropy.table import MaskedColumn, QTable, Table

from cbminer.catalogue.schema import COLUMNS
from cbminer.columns import label_column, values

__all__ = ["plain_table"]


def plain_table(table: QTable) -> Table:
    """Turn quantities into plain masked columns with units, which every format can hold.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Table in the schema.

    Returns
    -------
    `~astropy.table.Table`
        The same values, units, descriptions, formats and UCDs.
    """
    plain = Table()
    for spec in COLUMNS:
        if spec.kind == "float":
            data = values(table, spec.name, spec.unit)
            column = MaskedColumn(data, mask=np.isnan(data), unit=spec.unit or None, format=spec.format)
        elif spec.kind == "text":
            labels = label_column(table, spec.name)
            column = MaskedColumn(labels, mask=labels == "")
        else:
            column = MaskedColumn(table[spec.name])
        column.description = spec.description
        column.info.meta = {"ucd": spec.ucd}
        plain[spec.name] = column
    return plain
