"""Execute the notebooks and write them back in one form, so that a change of a notebook is a change of what it says.

Usage: python notebooks/execute.py [NAME ...] [--check]

NAME is the beginning of a file's name, such as 01; all notebooks by default. Each runs in an empty folder that is
removed afterwards. With --check nothing is written: cells whose text differs from what is stored are named, and the
exit status is 1 if there are any. It needs ``pip install "cbminer[notebooks]"``.

Real data are sought where CBMINER_SHARED_DATA points, or in ../shared/data beside the checkout.
"""

import argparse
import base64
import getpass
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

from cbminer.whole_file import written_whole

__all__ = ["differing_cells", "execute", "faults", "main", "normalised"]

FOLDER = Path(__file__).resolve().parent
_TIMEOUT_S = 600
# Figures of lines and points do with so many colours, and are a third as large.
_PNG_COLOURS = 256
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
# astropy numbers its tables by where they lie in memory.
_TABLE_NUMBER = re.compile(r'(<table id="table)[\d-]+"')
_ADDRESS = re.compile(r"\b0x[0-9a-f]{8,}\b")
_ABSOLUTE = re.compile(r"(?<![\w.:/<])/(?:home|root|tmp|work|Users|var|opt|private|usr)/\S+")
_LARGEST_BYTES = 500_000


def execute(notebook: NotebookNode) -> NotebookNode:
    """Execute a notebook in an empty folder.

    Parameters
    ----------
    notebook : `~nbformat.NotebookNode`
        The notebook.

    Returns
    -------
    `~nbformat.NotebookNode`
        A copy with the outputs, not normalised.

    Raises
    ------
    CellExecutionError
        If a cell fails.
    """
    executed = nbformat.from_dict(notebook)
    with tempfile.TemporaryDirectory(prefix="notebook-") as scratch:
        client = NotebookClient(
            executed,
            timeout=_TIMEOUT_S,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": scratch}},
            # That the kernel speaks over a port of this machine need not be told every time.
            extra_arguments=["--log-level=ERROR"],
        )
        client.execute(env=os.environ | _places())
    return executed


def _places() -> dict[str, str]:
    """Say where the data beside the checkout are, since the kernel runs elsewhere."""
    shared = FOLDER.parents[1] / "shared" / "data"
    return {"CBMINER_SHARED_DATA": os.environ.get("CBMINER_SHARED_DATA", str(shared))}


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Bring a notebook to the form in which it is kept.

    Parameters
    ----------
    notebook : `~nbformat.NotebookNode`
        The notebook.

    Returns
    -------
    `~nbformat.NotebookNode`
        A copy with numbered cells, counts in order, joined streams, plain figures, and no metadata but the kernel.
    """
    kept = nbformat.from_dict(notebook)
    kept.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    kept.nbformat, kept.nbformat_minor = 4, 5
    count = 0
    for number, cell in enumerate(kept.cells, start=1):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({})
        cell.source = cell.source.rstrip()
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = list(_plain_outputs(cell.outputs, count))
    return kept


def _plain_outputs(outputs: list[NotebookNode], count: int) -> Iterator[NotebookNode]:
    stream: NotebookNode | None = None
    for output in outputs:
        if output.output_type == "stream":
            if stream is not None and stream.name == output.name:
                stream.text += output.text
                continue
            if stream is not None:
                yield stream
            stream = output
            continue
        if stream is not None:
            yield stream
            stream = None
        if "data" in output:
            _make_plain(output)
        if output.output_type == "execute_result":
            output.execution_count = count
        yield output
    if stream is not None:
        yield stream


def _make_plain(output: NotebookNode) -> None:
    """Take from a result what differs from one execution to the next."""
    output.metadata = nbformat.from_dict({})
    if "text/html" in output.data:
        output.data["text/html"] = _TABLE_NUMBER.sub(r'\1"', output.data["text/html"])
    if "image/png" in output.data:
        output.data["image/png"] = _smaller(output.data["image/png"])


def _smaller(encoded: str) -> str:
    """Reduce the colours of a figure; what names the version of matplotlib goes too."""
    image = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB").quantize(_PNG_COLOURS)
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _texts(cell: NotebookNode) -> Iterator[str]:
    """Give what the outputs of a cell say in words; pictures are left out."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            yield output.text
        # A file is written with its kinds in order, a kernel sends them in another.
        for kind, data in sorted(output.get("data", {}).items()):
            if kind.startswith("text/"):
                yield data


def faults(notebook: NotebookNode) -> list[str]:
    """Say what keeps a notebook from being fit to be kept.

    Parameters
    ----------
    notebook : `~nbformat.NotebookNode`
        An executed notebook.

    Returns
    -------
    list of str
        Sentences; none if all is well.
    """
    found = []
    user = _user()
    for number, cell in enumerate(notebook.cells, start=1):
        found += [
            f"cell {number}: it wrote to the standard error: {output.text.splitlines()[0]}"
            for output in cell.get("outputs", [])
            if output.output_type == "stream" and output.name == "stderr"
        ]
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            found.append(f"cell {number}: it ended in an error")
        for text in (cell.source, *_texts(cell)):
            marks = (_ABSOLUTE.search(text), _ADDRESS.search(text), user and re.search(rf"\b{user}\b", text))
            found += [
                f"cell {number}: it names a place, an address or a user: {mark.group()}" for mark in marks if mark
            ]
    size = len(nbformat.writes(notebook).encode())
    if size > _LARGEST_BYTES:
        found.append(f"it has {size:,} bytes, more than {_LARGEST_BYTES:,}: fewer or smaller figures")
    return found


def _user() -> str:
    """Name of the user, if it is one that a text would not hold by chance."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        return ""
    return "" if user in {"root", "runner", "user"} else re.escape(user)


def differing_cells(stored: NotebookNode, executed: NotebookNode) -> list[int]:
    """Find the cells whose text is not what is stored.

    Parameters
    ----------
    stored, executed : `~nbformat.NotebookNode`
        The notebook as it is kept, and after execution.

    Returns
    -------
    list of int
        Numbers of cells, the first being 1. Figures are not compared: fonts differ between machines.
    """
    pairs = zip(stored.cells, executed.cells, strict=True)
    return [number for number, (old, new) in enumerate(pairs, start=1) if list(_texts(old)) != list(_texts(new))]


def main(arguments: list[str] | None = None) -> int:
    """Execute notebooks.

    Parameters
    ----------
    arguments : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        0, or 1 if a notebook failed, is not fit to be kept, or differs from what is stored.
    """
    parser = argparse.ArgumentParser(description="Execute the notebooks and write them back in one form.")
    parser.add_argument("names", nargs="*", help="beginnings of file names; all by default")
    parser.add_argument("--check", action="store_true", help="write nothing; compare the text with what is stored")
    given = parser.parse_args(arguments)
    paths = [
        path for path in sorted(FOLDER.glob("*.ipynb")) if not given.names or path.name.startswith(tuple(given.names))
    ]
    if not paths:
        parser.error(f"no notebook begins with {' or '.join(given.names)}")
    well = [_work_off(path, check=given.check) for path in paths]
    return int(not all(well))


def _work_off(path: Path, *, check: bool) -> bool:
    """Execute one notebook, tell of it, and say whether all is well."""
    stored, begun = nbformat.read(path, as_version=4), time.monotonic()
    try:
        executed = normalised(execute(stored))
    except CellExecutionError as error:
        print(f"{path.name}: a cell failed\n{_COLOUR_CODES.sub('', str(error))}", file=sys.stderr)
        return False
    wrong = faults(executed)
    if check:
        wrong += [
            f"cell {number}: its text is not what is stored" for number in differing_cells(normalised(stored), executed)
        ]
    elif not wrong:
        with written_whole(path) as temporary:
            temporary.write_text(nbformat.writes(executed) + "\n", encoding="utf-8")
    for sentence in wrong:
        print(f"{path.name}: {sentence}", file=sys.stderr)
    fault = "not as it is stored" if check else "not kept"
    print(f"{path.name}: {fault if wrong else 'well'}, {time.monotonic() - begun:.0f} s")
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
