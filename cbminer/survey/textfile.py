"""Text files of an archive, line by line, with everything that is wrong with them named.

Files come from downloads, disks and hands: they may be cut off, empty, compressed, a web page instead of a table,
or damaged in single lines. A file that is no table at all is an error; a bad line is set aside and counted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from cbminer.errors import InputFormatError

__all__ = [
    "CUT_OFF",
    "BadLineError",
    "Line",
    "LineBlock",
    "ParsedLines",
    "SetAside",
    "TextFile",
    "bad_line",
    "is_cut_off",
    "other_kind",
    "parse_lines",
    "read_line_blocks",
    "refuse_bad_lines",
    "split_text",
]

_SIGNATURES = (
    (b"\x1f\x8b", "is compressed with gzip; unpack it"),
    (b"BZh", "is compressed with bzip2; unpack it"),
    (b"%PDF", "is a PDF document, not a table"),
    (b"PK\x03\x04", "is a zip archive; unpack it"),
    (b"SIMPLE  =", "is a FITS file, not a text table"),
)
_SHOWN = 60
# Bytes by which the kind of a file is told.
_HEAD = 4096
# Lines of a large file that are in memory at once.
LINES_A_BLOCK = 5_000
CUT_OFF = "expected a whole line, found the file cut off in the middle of it"
# Above this share of bad lines a file is taken for another kind of file, not for a damaged one.
_WRONG_FILE = 0.5

Row = TypeVar("Row")


class BadLineError(ValueError):
    """A line does not hold what it should; the message says what was expected and what was found."""


@dataclass(frozen=True)
class Line:
    """One line of a text file: its number, counted from 1, and its text without the line end."""

    number: int
    text: str


@dataclass(frozen=True)
class SetAside:
    """A line or file that was kept out of the tables, and why.

    Attributes
    ----------
    file : str
        Name of the file inside the archive.
    line : int
        Line number counted from 1; 0 for a whole file.
    star : str
        Identifier of the star, where it can be told.
    reason : str
        What was expected and what was found.
    text : str
        The line itself, shortened.
    """

    file: str
    line: int
    star: str
    reason: str
    text: str


@dataclass(frozen=True)
class TextFile:
    """Lines of a text file and the lines that could not be decoded.

    Attributes
    ----------
    path : `~pathlib.Path`
        The file.
    lines : list of Line
        Lines that are not blank.
    n_blank : int
        Number of blank lines.
    ends_cleanly : bool
        Whether the last line has a line end.
    undecoded : list of SetAside
        Lines that are not UTF-8 text.
    """

    path: Path
    lines: list[Line]
    n_blank: int = 0
    ends_cleanly: bool = True
    undecoded: list[SetAside] = field(default_factory=list)


@dataclass
class LineBlock:
    """Neighbouring lines of a text file.

    Attributes
    ----------
    numbers : list of int
        Numbers of the lines that are not blank, counted from 1.
    texts : list of str
        These lines without their ends.
    undecoded : list of SetAside
        Lines that are not UTF-8 text.
    is_cut : bool
        Whether the last line is the last of the file, and the file was cut off in the middle of it.
    """

    numbers: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    undecoded: list[SetAside] = field(default_factory=list)
    is_cut: bool = False


def read_line_blocks(path: Path, *, encoding_errors: str = "strict") -> Iterator[LineBlock]:
    """Read a text file that may be large, some thousand lines at a time.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    encoding_errors : {"strict", "replace"}, optional
        Whether a line that is not UTF-8 is set aside, or read with replacement characters.

    Yields
    ------
    LineBlock
        Its lines in their order.

    Raises
    ------
    InputFormatError
        If the file is not text at all, or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            _refuse_other_kinds(path, stream.read(_HEAD))
        # Every byte is a letter of Latin-1: lines are parted before they are decoded.
        with path.open(encoding="latin-1") as stream:
            yield from _line_blocks(path.name, stream, encoding_errors)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise InputFormatError(msg) from error


def _line_blocks(name: str, stream: Iterable[str], encoding_errors: str) -> Iterator[LineBlock]:
    block, before, raw = LineBlock(), "", "\n"
    for number, raw in enumerate(stream, start=1):
        try:
            text = _decoded(raw, encoding_errors)
        except UnicodeDecodeError as error:
            block.undecoded.append(_not_text(name, number, error))
            continue
        if not text:
            continue
        # A full block waits for the next line: the last line of the file always comes with the last block.
        if len(block.texts) == LINES_A_BLOCK:
            before = block.texts[-1]
            yield block
            block = LineBlock()
        block.numbers.append(number)
        block.texts.append(text)
    if not raw.endswith("\n") and block.texts:
        before = block.texts[-2] if len(block.texts) > 1 else before
        block.is_cut = bool(before) and _is_shorter(before, block.texts[-1])
    yield block


def _decoded(raw: str, encoding_errors: str) -> str:
    """Text of a line that was read as Latin-1, without blanks at its end."""
    return (raw if raw.isascii() else raw.encode("latin-1").rstrip(b"\n").decode("utf-8", encoding_errors)).rstrip()


def _not_text(name: str, number: int, error: UnicodeDecodeError) -> SetAside:
    raw = error.object
    reason = f"expected plain text, found byte 0x{raw[error.start]:02x} at position {error.start + 1}"
    return SetAside(name, number, "", reason, repr(raw[:_SHOWN]))


def split_text(path: Path, data: bytes, *, encoding_errors: str = "strict") -> TextFile:
    """Split the bytes of a text file into lines.

    Parameters
    ----------
    path : `~pathlib.Path`
        Name of the file, for messages.
    data : bytes
        Its content.
    encoding_errors : {"strict", "replace"}, optional
        Whether a line that is not UTF-8 is set aside, or read with replacement characters.

    Returns
    -------
    TextFile
        Its lines.

    Raises
    ------
    InputFormatError
        If it is not text at all.
    """
    _refuse_other_kinds(path, data)
    lines: list[Line] = []
    undecoded: list[SetAside] = []
    n_blank = 0
    for number, raw in enumerate(data.splitlines(), start=1):
        try:
            text = raw.decode("utf-8", encoding_errors)
        except UnicodeDecodeError as error:
            undecoded.append(_not_text(path.name, number, error))
            continue
        if text.strip():
            lines.append(Line(number, text.rstrip()))
        else:
            n_blank += 1
    ends_cleanly = not data or data.endswith((b"\n", b"\r"))
    return TextFile(path, lines, n_blank, ends_cleanly, undecoded)


def _refuse_other_kinds(path: Path, data: bytes) -> None:
    what = other_kind(data[:_HEAD])
    if what:
        msg = f"{path} {what}"
        raise InputFormatError(msg)


def other_kind(start: bytes) -> str:
    """Tell what a file is that should be a text table.

    Parameters
    ----------
    start : bytes
        Its first few thousand bytes.

    Returns
    -------
    str
        What it is instead and what to do; empty for text.
    """
    for signature, what in _SIGNATURES:
        if start.startswith(signature):
            return what
    if b"\0" in start:
        return "is a binary file, not a text table: fetch it again"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not a text table: the server answered with a page; fetch it again"
    return ""


def is_cut_off(data: bytes) -> bool:
    """Tell whether the bytes of a table end in the middle of a line.

    Parameters
    ----------
    data : bytes
        The end of the file, at least its last two lines.

    Returns
    -------
    bool
        True if there is no line end and the last line is shorter than the one before it.
    """
    if not data or data.endswith((b"\n", b"\r")):
        return False
    lines = data.decode("utf-8", "replace").splitlines()
    return len(lines) > 1 and _is_shorter(lines[-2], lines[-1])


@dataclass(frozen=True)
class ParsedLines(Generic[Row]):
    """What became of the lines of a file.

    Attributes
    ----------
    lines : list of Line
        Lines that could be parsed.
    rows : list
        Their rows, in the same order.
    set_aside : list of SetAside
        Lines that could not be parsed.
    """

    lines: list[Line]
    rows: list[Row]
    set_aside: list[SetAside]


def parse_lines(
    file: TextFile, parse: Callable[[Line], Row], *, layout: str, strict: bool, name: str | None = None
) -> ParsedLines[Row]:
    """Parse every line, setting bad ones aside.

    Parameters
    ----------
    file : TextFile
        The lines.
    parse : callable
        Turns a line into a row, or raises `BadLineError`.
    layout : str
        Name of the layout, for messages.
    strict : bool
        Whether the first bad line is an error.
    name : str, optional
        Name of the file in what is set aside; the name of its path by default.

    Returns
    -------
    ParsedLines
        Rows, and the lines that were set aside.

    Raises
    ------
    InputFormatError
        If `strict` and a line is bad, or if more than half of the lines are.
    """
    label = name or file.path.name
    lines: list[Line] = []
    rows: list[Row] = []
    bad = [SetAside(label, item.line, "", item.reason, item.text) for item in file.undecoded]
    for line, outcome in _outcomes(file, parse):
        if isinstance(outcome, BadLineError):
            bad.append(bad_line(label, line.number, line.text, outcome))
        else:
            lines.append(line)
            rows.append(outcome)
    bad.sort(key=lambda item: item.line)
    refuse_bad_lines(file.path, bad, len(rows), layout=layout, strict=strict)
    return ParsedLines(lines, rows, bad)


def bad_line(name: str, number: int, text: str, error: BadLineError) -> SetAside:
    """Set a line aside.

    Parameters
    ----------
    name : str
        Name of the file.
    number : int
        Number of the line.
    text : str
        The line.
    error : BadLineError
        What is wrong with it.

    Returns
    -------
    SetAside
        The line, with its first word for a star.
    """
    return SetAside(name, number, text.split(maxsplit=1)[0], str(error), text[:_SHOWN])


def refuse_bad_lines(path: Path, bad: Sequence[SetAside], n_rows: int, *, layout: str, strict: bool) -> None:
    """Refuse a file for its bad lines, where they are too many.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    bad : sequence of SetAside
        Its bad lines in their order.
    n_rows : int
        Its good lines.
    layout : str
        Name of the layout, for messages.
    strict : bool
        Whether the first bad line is an error.

    Raises
    ------
    InputFormatError
        If `strict` and a line is bad, or if more than half of the lines are.
    """
    if bad and strict:
        msg = f"{path}, line {bad[0].line}: {bad[0].reason}. Mend the line, or read without --strict to set it aside"
        raise InputFormatError(msg)
    if len(bad) > _WRONG_FILE * (len(bad) + n_rows):
        msg = (
            f"{path}: {len(bad)} of {len(bad) + n_rows} lines do not have the layout of {layout}; "
            f"line {bad[0].line}: {bad[0].reason}. Check that this is the right file, whole and unchanged"
        )
        raise InputFormatError(msg)


def _outcomes(file: TextFile, parse: Callable[[Line], Row]) -> Iterator[tuple[Line, Row | BadLineError]]:
    """Yield each line with its row, or with the error that it raised."""
    last = file.lines[-1] if file.lines else None
    for line in file.lines:
        try:
            if line is last and not file.ends_cleanly:
                _refuse_cut_line(file)
            row = parse(line)
        except BadLineError as error:
            yield line, error
        else:
            yield line, row


def _refuse_cut_line(file: TextFile) -> None:
    """Refuse a last line without a line end that ends in a shorter number than the line before it.

    A file that a download cut off in the middle of a number still parses, with a wrong number.
    """
    if len(file.lines) < 2:
        return
    if _is_shorter(file.lines[-2].text, file.lines[-1].text):
        raise BadLineError(CUT_OFF)


def _is_shorter(before: str, last: str) -> bool:
    """Tell whether a line has fewer words than the one before it, or a last number with fewer decimals."""
    words_before, words = before.split(), last.split()
    if not words or not words_before:
        return False
    cut_number = len(words) == len(words_before) and _decimals(words[-1]) < _decimals(words_before[-1])
    return len(words) < len(words_before) or cut_number


def _decimals(token: str) -> int:
    return len(token.partition(".")[2])
