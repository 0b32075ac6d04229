"""References: BibTeX entries of the package, read strictly and written in BibTeX or as plain lines."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from cbminer.errors import InputFormatError

__all__ = ["REFERENCES_FILE", "Reference", "parse_bibtex", "references"]

REFERENCES_FILE = Path(__file__).parent / "citations.bib"
_ENTRY = re.compile(r"@(\w+)\{([^\s,{}]+),\n((?:  \w+ = \{.*\},\n)+)\}\n")
_FIELD = re.compile(r"  (\w+) = \{(.*)\},\n")
_NEEDED = {"article": {"author", "journal", "year"}, "inproceedings": {"author", "title", "booktitle", "year"}}
_MISC = {"author", "title", "year"}
_ACCENTS = {"'": "\u0301", "`": "\u0300", '"': "\u0308", "^": "\u0302", "~": "\u0303", "v": "\u030c", "c": "\u0327"}
_OTHERS = "others"


@dataclass(frozen=True)
class Reference:
    """One work that can be cited.

    Attributes
    ----------
    kind : str
        Type of the BibTeX entry, such as "article".
    key : str
        Key of the entry.
    fields : mapping of str to str
        Fields in BibTeX's notation, in order.
    """

    kind: str
    key: str
    fields: Mapping[str, str]

    def to_bibtex(self) -> str:
        """Write the entry in BibTeX.

        Returns
        -------
        str
            The entry, without a line end.
        """
        lines = [f"  {name} = {{{value}}}," for name, value in self.fields.items()]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])

    def to_text(self) -> str:
        """Write the reference as one line.

        Returns
        -------
        str
            Authors, year, where, and what it can be found by.
        """
        fields = {name: _plain(value) for name, value in self.fields.items()}
        where = [fields[name] for name in ("journal", "booktitle", "note", "volume", "pages") if name in fields]
        if "journal" not in fields:
            where.insert(0, fields.get("title", ""))
        if "version" in fields:
            where.append(f"version {fields['version']}")
        if "doi" in fields:
            where.append(f"doi:{fields['doi']}")
        elif "eprint" in fields:
            where.append(f"arXiv:{fields['eprint']}")
        return ", ".join([f"{self.short} {fields['year']}", *where])

    @property
    def short(self) -> str:
        """Names of the authors as in a text: up to three, or the first one and et al."""
        names = self.fields["author"].split(" and ")
        last = [_plain(name if name.startswith("{") else name.split(",")[0]) for name in names]
        if len(last) > 3 or last[-1] == _OTHERS:
            return f"{last[0]} et al."
        return last[0] if len(last) == 1 else f"{', '.join(last[:-1])} & {last[-1]}"


def _plain(text: str) -> str:
    """Text without BibTeX's notation."""
    accented = re.sub(
        r"\{?\\(['`\"^~vc]) ?\{?([A-Za-z])\}?\}?", lambda found: found[2] + _ACCENTS[found[1]], text, flags=re.ASCII
    )
    plain = accented.replace(r"{\l}", "ł").replace(r"\&", "&").replace("--", "-")
    return unicodedata.normalize("NFC", re.sub(r"[{}]", "", plain))


def parse_bibtex(text: str, *, name: str) -> dict[str, Reference]:
    """Read BibTeX as strictly as the package writes it: a line a field, braces balanced, comments after a per cent.

    Parameters
    ----------
    text : str
        Entries.
    name : str
        What the text is called in messages.

    Returns
    -------
    dict of str to Reference
        Entries by key.

    Raises
    ------
    InputFormatError
        If the text is anything else, a key stands there twice, or an entry lacks a field.
    """
    found: dict[str, Reference] = {}
    body = re.sub(r"(?m)^%.*\n", "", text)
    position = 0
    for match in _ENTRY.finditer(body):
        _refuse_rest(body[position : match.start()], name)
        position = match.end()
        kind, key, inner = match.groups()
        fields = dict(_FIELD.findall(inner))
        if key in found:
            msg = f"{name}: the key {key} stands there twice: rename one"
            raise InputFormatError(msg)
        lacking = sorted(_NEEDED.get(kind, _MISC) - set(fields))
        if lacking:
            msg = f"{name}: the entry {key} has no {', '.join(lacking)}: add it"
            raise InputFormatError(msg)
        broken = [field for field, value in fields.items() if not _balanced(value)]
        if broken or len(fields) != inner.count("\n"):
            msg = f"{name}: the entry {key} has braces that do not match, or a field twice: correct it"
            raise InputFormatError(msg)
        found[key] = Reference(kind, key, MappingProxyType(fields))
    _refuse_rest(body[position:], name)
    return found


def _refuse_rest(text: str, name: str) -> None:
    if text.strip():
        msg = f"{name}: {text.strip()[:60]!r} is no BibTeX entry with a line a field: correct it"
        raise InputFormatError(msg)


def _balanced(text: str) -> bool:
    depth = 0
    for letter in text:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth < 0:
            return False
    return depth == 0


@cache
def references() -> Mapping[str, Reference]:
    """Read the references of the package.

    Returns
    -------
    mapping of str to Reference
        By key; cbminer itself with its version.
    """
    found = parse_bibtex(REFERENCES_FILE.read_text(encoding="utf-8"), name=REFERENCES_FILE.name)
    own = found["cbminer"]
    found["cbminer"] = Reference(own.kind, own.key, {**own.fields, "version": version("cbminer")})
    return MappingProxyType(found)
