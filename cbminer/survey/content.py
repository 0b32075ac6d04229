"""What a file that came from a server, or from a user's hand, must look like before it is kept."""

from pathlib import Path

from cbminer.survey.textfile import is_cut_off, other_kind

__all__ = ["fault_of_bytes", "fault_of_light_curve", "fault_of_table", "fault_of_tarball"]

# Enough to tell a kind of file by its start, and to hold the last two lines.
_ENOUGH = 4096


def fault_of_table(path: Path) -> str:
    """Say what is wrong with a text table, as far as its start and its end tell.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    str
        What is wrong, to follow the name of who sent it; empty if nothing.
    """
    with path.open("rb") as stream:
        start = stream.read(_ENOUGH)
        stream.seek(max(0, path.stat().st_size - _ENOUGH))
        end = stream.read()
    fault = _fault(start, end)
    return f"sent a file that {fault}" if fault else ""


def fault_of_bytes(data: bytes) -> str:
    """Say what is wrong with the content of a text table.

    Parameters
    ----------
    data : bytes
        The content.

    Returns
    -------
    str
        What is wrong, to follow the name of the file; empty if nothing.
    """
    return _fault(data[:_ENOUGH], data[-_ENOUGH:])


def _fault(start: bytes, end: bytes) -> str:
    if not start:
        return "is empty"
    return other_kind(start) or ("ends in the middle of a line" if is_cut_off(end) else "")


def fault_of_light_curve(path: Path) -> str:
    """Say what is wrong with a light curve, as far as its start and its end tell.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    str
        What is wrong, to follow the name of who sent it; empty if nothing. A star without points is no fault.
    """
    return fault_of_table(path) if path.stat().st_size else ""


def fault_of_tarball(path: Path) -> str:
    """Say what is wrong with a tar file packed with gzip, as far as its start tells.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    str
        What is wrong, to follow the name of who sent it; empty if nothing.
    """
    with path.open("rb") as stream:
        start = stream.read(2)
    return "" if start == b"\x1f\x8b" else "sent what is no gzip file"
