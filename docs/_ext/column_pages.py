"""Pages of the catalogue: its columns, flags, cuts, classes and hypotheses, from the schema that writes it."""

from collections.abc import Iterator

from rest import heading, list_table, plain

from cbminer.catalogue.schema import COLUMNS, ColumnSpec
from cbminer.flags import FLAG_MEANINGS

__all__ = ["column_pages"]


def column_pages() -> Iterator[tuple[str, str]]:
    """Make the page of the columns and that of the flags.

    Yields
    ------
    tuple of str
        Name of the file and its text.
    """
    lines = heading("Columns of the catalogue", label="columns")
    introduction = (
        f"Made from the schema that writes ECSV, FITS, VOTable and the machine-readable table alike: {len(COLUMNS)} "
        "columns. What is not known is masked. Numbers are rounded to these decimals *before* they are compared with a "
        "limit."
    )
    lines += [introduction, ""]
    lines += list_table(
        ["column", "type", "unit", "UCD", "meaning"],
        [[f"``{spec.name}``", _kind(spec), spec.unit, f"``{spec.ucd}``", plain(spec.description)] for spec in COLUMNS],
        widths="20 14 8 22 36",
    )
    yield "columns.rst", "\n".join(lines)
    lines = heading("Flags", label="flags")
    lines += ["Bits of the column ``flags``: what was missing of a star, and which substitute was used.", ""]
    rows = [[f"``{flag.name}``", str(flag.value), plain(meaning)] for flag, meaning in FLAG_MEANINGS.items()]
    lines += list_table(["flag", "value", "meaning"], rows, widths="32 14 54")
    lines += [
        "From Python, :func:`cbminer.flags.decode_flags` names the bits of a number; ``cbminer explain`` prints them.",
        "",
    ]
    yield "flags.rst", "\n".join(lines)


def _kind(spec: ColumnSpec) -> str:
    return f"float, {spec.decimals} decimals" if spec.kind == "float" else spec.kind
