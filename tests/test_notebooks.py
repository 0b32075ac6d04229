"""The notebooks as they are kept: executed in order, without errors, small, and free of what belongs to a machine."""

import importlib.util
import json
import os
import re

import pytest
from conftest import ROOT

nbformat = pytest.importorskip("nbformat", reason="notebooks need the extra [notebooks]")
pytest.importorskip("nbclient", reason="notebooks need the extra [notebooks]")

FOLDER = ROOT / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(scope="module")
def execute():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("execute_notebooks", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def notebook_of(*sources, outputs=()):
    cells = [nbformat.v4.new_markdown_cell("# 09 A title\n\nThis notebook shows nothing.")]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    for cell, given in zip(cells[1:], outputs, strict=False):
        cell.outputs = given
    return nbformat.v4.new_notebook(cells=cells)


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def test_there_are_notebooks():
    assert {path.name[:2] for path in PATHS} >= {"01", "02", "03"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_kept_notebook_is_valid_executed_in_order_and_fit_to_be_kept(path, execute):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert execute.faults(notebook) == []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert "error" not in kinds
    assert kinds & {"stream", "display_data", "execute_result"}
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)
    # Once more, nothing changes: figures too are already as small as they get.
    again = execute.normalised(notebook)
    assert [cell.id for cell in again.cells] == [cell.id for cell in notebook.cells]
    assert again.metadata == notebook.metadata
    assert json.loads(nbformat.writes(again))["cells"][-1] == json.loads(path.read_text(encoding="utf-8"))["cells"][-1]
    assert path.stat().st_size < 500_000
    assert path.read_text(encoding="utf-8").endswith("\n")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_kept_notebook_says_what_it_shows_and_asserts_what_it_says(path):
    notebook = nbformat.read(path, as_version=4)
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {path.name[:2]} ")
    assert "notebook" in first.source
    assert any(
        re.search(r"^\s*assert ", cell.source, re.MULTILINE) for cell in notebook.cells if cell.cell_type == "code"
    )
    sources = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    if re.search(r'"mock"|cbminer\.synthetic', sources):
        assert "simulated" in first.source
    # Public names only.
    assert not re.findall(r"^from cbminer[\w.]* import .*\b_\w+", sources, re.MULTILINE)


def test_every_notebook_is_listed_with_what_it_shows():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \[[\w-]+\]\(([\w-]+\.ipynb)\) \| (.{20,}) \|$", text, re.MULTILINE))
    assert set(rows) == {path.name for path in PATHS}


def test_outputs_are_brought_to_one_form(execute):
    figure = nbformat.v4.new_output(
        "display_data",
        {"text/plain": "<Figure size 640x480 with 1 Axes>", "image/png": execute.base64.b64encode(png()).decode()},
        metadata={"image/png": {"width": 3}},
    )
    table = '<div><i>QTable length=1</i>\n<table id="table139-77" class="x">\n<tr><td>12</td></tr></table></div>'
    result = nbformat.v4.new_output("execute_result", {"text/plain": "3", "text/html": table}, execution_count=17)
    notebook = notebook_of("1 + 2\n\n", "2", outputs=[[stream("a"), stream("b\n"), figure, stream("c"), result], []])
    notebook.metadata["language_info"] = {"name": "python", "version": "3.99"}
    notebook.cells[1].metadata["execution"] = {"iopub.execute_input": "2026-01-01"}
    kept = execute.normalised(notebook)
    nbformat.validate(kept)
    assert [cell.id for cell in kept.cells] == ["cell-01", "cell-02", "cell-03"]
    assert kept.cells[1].source == "1 + 2"
    assert kept.cells[1].metadata == {}
    outputs = kept.cells[1].outputs
    assert [output.output_type for output in outputs] == ["stream", "display_data", "stream", "execute_result"]
    assert outputs[0].text == "ab\n"
    assert outputs[1].metadata == {}
    assert b"Software" not in execute.base64.b64decode(outputs[1].data["image/png"])
    assert outputs[3].execution_count == 1
    assert '<table id="table" class="x">\n<tr><td>12</td>' in outputs[3].data["text/html"]
    assert kept.cells[2].execution_count == 2
    assert kept.metadata["language_info"] == {"name": "python"}
    assert execute.normalised(kept) == kept


def png():
    from io import BytesIO

    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.add_subplot().plot([0, 1])
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "matplotlib of a certain version"})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (stream("written to /home/someone/run\n"), "names a place"),
        (stream("see /tmp/tmp8x/run, please\n"), "names a place"),
        (stream("<object at 0x7f3a2b1c9d90>\n"), "an address"),
        (stream("RuntimeWarning: divide by zero\n", name="stderr"), "standard error: RuntimeWarning"),
        (nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[]), "ended in an error"),
        (stream("x" * 600_000), "more than 500,000"),
    ],
)
def test_what_belongs_to_a_machine_is_refused(execute, output, words):
    (fault,) = execute.faults(notebook_of("1", outputs=[[output]]))
    assert words in fault


def test_units_and_ratios_are_no_places(execute):
    text = "18.5 mag/dex, contact/near contact, https://www.astrouw.edu.pl/ogle/tmp/x, run/judged.fits, ../shared/data"
    assert execute.faults(notebook_of("1", outputs=[[stream(text)]])) == []


def test_a_notebook_is_executed_elsewhere_and_compared_by_its_text(execute):
    notebook = notebook_of(
        "from pathlib import Path\nPath('left.txt').write_text('x')\nsorted(path.name for path in Path().iterdir())",
        "import os\nprint(os.environ['CBMINER_SHARED_DATA'] != '')",
        "from astropy.table import QTable\nQTable({'a': [1]})",
    )
    executed = execute.normalised(execute.execute(notebook))
    assert executed.cells[1].outputs[0].data["text/plain"] == "['left.txt']"
    assert set(executed.cells[3].outputs[0].data) == {"text/html", "text/plain"}
    assert executed.cells[2].outputs[0].text == "True\n"
    assert not (FOLDER / "left.txt").exists()
    # What was given is as it was.
    assert notebook.cells[1].outputs == []
    stored = nbformat.reads(nbformat.writes(executed), as_version=4)
    assert execute.differing_cells(stored, executed) == []
    changed = execute.normalised(executed)
    changed.cells[2].outputs[0].text = "False\n"
    assert execute.differing_cells(executed, execute.normalised(executed)) == []
    assert execute.differing_cells(executed, changed) == [3]


def test_a_cell_that_fails_leaves_the_file_as_it_was(execute, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execute, "FOLDER", tmp_path / "notebooks")
    execute.FOLDER.mkdir()
    path = execute.FOLDER / "09-failing.ipynb"
    nbformat.write(notebook_of("print('begun')", "assert 1 == 2"), path)
    before = path.read_bytes()
    assert execute.main(["09"]) == 1
    told = capsys.readouterr()
    assert "09-failing.ipynb: a cell failed" in told.err
    assert "AssertionError" in told.err
    assert path.read_bytes() == before
    assert os.listdir(execute.FOLDER) == ["09-failing.ipynb"]  # noqa: PTH208 - all of it, hidden files too
    with pytest.raises(SystemExit):
        execute.main(["77"])
    assert "no notebook begins with 77" in capsys.readouterr().err
