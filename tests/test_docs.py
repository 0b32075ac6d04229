"""What the README and the documentation tell people to type: commands, settings and Python that the package knows."""

import ast
import importlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from cbminer.cli import app
from cbminer.settings import load_settings

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(
        page
        for page in (ROOT / "docs").rglob("*.md")
        if not {"generated", "_build"} & set(page.relative_to(ROOT / "docs").parts)
    ),
]
COMMANDS = typer.main.get_command(app)


@dataclass(frozen=True)
class Block:
    """Code of a page: its language, lines, place, and whether the page says that it runs."""

    page: Path
    line: int
    language: str
    text: str
    runs: bool = False

    @property
    def place(self):
        return f"{self.page.relative_to(ROOT)}, line {self.line}"


def blocks_of(page):
    """Code blocks, fenced or indented by four blanks."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found, number = [], 0
    while number < len(lines):
        fence = re.match(r"(```+|:::+)\s*\{?([\w-]*)\}?\s*(\w*)", lines[number])
        start = number
        if fence and fence[1].startswith("`"):
            number += 1
            while not lines[number].startswith(fence[1]):
                number += 1
            language = fence[3] if fence[2] == "code-block" else fence[2]
            runs = start > 0 and lines[start - 1].strip() == "<!-- runs -->"
            found.append(Block(page, start + 2, language, "\n".join(lines[start + 1 : number]), runs))
        elif lines[number].startswith("    ") and (number == 0 or not lines[number - 1].strip()):
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
                number += 1
            text = "\n".join(line[4:] for line in lines[start:number])
            first = text.split(maxsplit=1)[0]
            found.append(Block(page, start + 1, "python" if first in {"import", "from"} else "", text))
            continue
        number += 1
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def typed_commands():
    for block in BLOCKS:
        if block.language not in {"", "sh", "bash", "shell", "console"}:
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            for part in line.removeprefix("$ ").split("&&"):
                # What a command does stands beside it, behind a gap or a hash.
                typed = re.split(r"\s{2,}|\s+#", part.strip())[0]
                if typed.startswith("cbminer "):
                    yield block.place, typed


def named_commands():
    """Commands within sentences: these leave out what everybody knows."""
    for page in PAGES:
        for typed in re.findall(r"`(cbminer [^`]+)`", page.read_text(encoding="utf-8")):
            yield str(page.relative_to(ROOT)), " ".join(typed.split())


def command_of(typed):
    """The command that the words name, and the words that are left."""
    command, words = COMMANDS, shlex.split(typed)[1:]
    words = [word for word in words if word != "--debug"]
    while getattr(command, "commands", None) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            msg = f"there is no command {words[0]!r} in {typed!r}"
            raise AssertionError(msg)
        command = command.commands[words.pop(0)]
    return command, words


def options_of(command):
    return {"--help", *(word for option in command.params for word in (*option.opts, *option.secondary_opts))}


def check_command(typed):
    """Parse a command as the program does, without running it."""
    command, words = command_of(typed)
    try:
        command.make_context(typed, words)
    except Exception as error:  # typer brings the errors of its parser along under different names
        msg = f"{typed!r}: {getattr(error, 'message', error)}"
        raise AssertionError(msg) from error


def check_options(typed):
    """Look at the command and its options alone."""
    command, words = command_of(typed)
    unknown = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)} - options_of(command)
    assert not unknown, f"{typed!r} has options that do not exist: {unknown}"


def test_typed_commands_parse():
    commands = list(typed_commands())
    assert len(commands) > 60
    wrong = []
    for place, typed in commands:
        try:
            # A synopsis shows what may be left out.
            check_options(re.sub(r"[\[\]|]", " ", typed)) if re.search(r"[\[|]", typed) else check_command(typed)
        except AssertionError as error:
            wrong.append(f"{place}: {error}")
    assert not wrong, "\n".join(wrong)


def test_commands_in_sentences_exist():
    named = list(named_commands())
    assert len(named) > 10
    wrong = []
    for place, typed in named:
        try:
            check_options(re.sub(r"[\[\]|]", " ", typed))
        except AssertionError as error:
            wrong.append(f"{place}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "typed",
    [
        "cbminer select --galaxy LMC --no-such-option",
        "cbminer select --galaxy M31",
        "cbminer select",
        "cbminer pick --galaxy LMC",
        "cbminer grid impart RUNS --out my-grid",
        "cbminer explain",
        "cbminer rank --top many",
    ],
)
def test_wrong_commands_are_noticed(typed):
    with pytest.raises(AssertionError, match=re.escape(typed.split()[1])):
        check_command(typed)


def test_wrong_options_in_sentences_are_noticed():
    with pytest.raises(AssertionError, match="--no-such-option"):
        check_options("cbminer rank --no-such-option")


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "toml"], ids=lambda block: block.place
)
def test_settings_are_read(block, tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(block.text, encoding="utf-8")
    load_settings(path)


# Clients of observatories that their users have, and the tests need not.
ELSEWHERE = {"p2api"}
PYTHON = [block for block in BLOCKS if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_python_compiles_and_its_imports_exist(block):
    tree = ast.parse(block.text)
    compile(tree, block.place, "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in {name.name for name in node.names} - ELSEWHERE:
                importlib.import_module(name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            assert not missing, f"{node.module} has no {missing}"


@pytest.mark.parametrize("block", [block for block in PYTHON if block.runs], ids=lambda block: block.place)
def test_python_that_says_so_runs(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, block.place, "exec"), {"__name__": "documentation"})  # noqa: S102 - our own pages
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_hold_on_a_code_host(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", text)
    local = [target for target in targets if "://" not in target and not target.startswith(("mailto:", "/"))]
    # Pages of the reference exist once the site is built.
    missing = [target for target in local if "generated/" not in target and not (page.parent / target).exists()]
    assert not missing


def texts_of_the_package():
    """Every string of the package, with an ellipsis for what is filled in."""
    for path in (ROOT / "cbminer").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documentation = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                yield node.value


def is_said(message, texts):
    """Whether the fixed words of a message stand in this order in one text of the package."""
    words = ".*".join(re.escape(part.strip()) for part in message.split("..."))
    return any(re.search(words, text, re.DOTALL) for text in texts)


def quoted_messages():
    page = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0] for line in page.splitlines() if re.match(r"\| `", line)]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


def test_messages_of_the_page_on_trouble_are_those_of_the_package():
    messages, texts = quoted_messages(), set(texts_of_the_package())
    assert len(messages) >= 14
    # What is written on the spot of an example is a text of its own.
    halves = {"... has no unit: write it as a string with a unit, for example ...": "write it as a string"}
    for message, second in halves.items():
        assert message in messages
        place = message.index(second)
        messages[messages.index(message)] = message[:place] + "..."
        messages.append(message[place:])
    assert [message for message in messages if not is_said(message, texts)] == []


def test_messages_that_nobody_says_are_noticed():
    texts = set(texts_of_the_package())
    for message in ("... exists: replace it with --force", "gave ... of ... lines", "unknown key; ... is known here"):
        assert not is_said(message, texts)
