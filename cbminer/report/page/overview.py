"""A run in words for the head of the page: what ran, what was judged, and what came of it."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Any

import numpy as np
from astropy.table import QTable

from cbminer.blocks import Blocks
from cbminer.classifier.classes import CLASSES
from cbminer.flags import FLAG_MEANINGS
from cbminer.provenance import Provenance
from cbminer.ranking.hypotheses import HYPOTHESES, HYPOTHESIS_NAMES
from cbminer.report.counting import count_flags, count_labels
from cbminer.report.ranking import compare_choices
from cbminer.survey.archive import is_url
from cbminer.survey.download import without_password

__all__ = ["Fact", "FlagCount", "flag_counts", "run_facts", "settings_hash", "shown_command", "summary_of_run"]

_PLACE = "PATH"
_ADDRESS = "ADDRESS"


@dataclass(frozen=True)
class Fact:
    """One line of the table of what ran."""

    name: str
    value: str


@dataclass(frozen=True)
class FlagCount:
    """How many stars have a flag."""

    name: str
    stars: int
    meaning: str


def settings_hash(settings: dict[str, Any]) -> str:
    """Name the settings of a run.

    Parameters
    ----------
    settings : dict
        Resolved settings, as the provenance holds them.

    Returns
    -------
    str
        SHA-256 of their JSON with sorted keys.
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def shown_command(command: str) -> str:
    """Take the places of files and the secrets of addresses out of a command, since a page is passed on.

    Parameters
    ----------
    command : str
        Command of a provenance.

    Returns
    -------
    str
        The command with PATH for every word that is a path. Addresses of servers stay, without user, password, query
        and fragment.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command.split(maxsplit=1)[0] if command.strip() else ""
    return " ".join(_without_place(word) for word in words)


def _without_place(word: str) -> str:
    option, equals, value = word.partition("=")
    if equals and option.startswith("--"):
        return f"{option}={_without_place(value)}"
    if is_url(word):
        return _without_secrets(word)
    is_place = "/" in word or "\\" in word or word.startswith("~") or bool(PureWindowsPath(word).drive)
    return _PLACE if is_place else word


def _without_secrets(address: str) -> str:
    bare = re.split(r"[?#]", address, maxsplit=1)[0]
    # A password may itself hold a sign that ends the name of a server: then nothing tells where it ends.
    hidden = "@" in address and "@" not in bare.split("/", 3)[2]
    return _ADDRESS if hidden else without_password(bare)


def run_facts(provenance: Provenance) -> list[Fact]:
    """Tell what ran, without any place on a disk.

    Parameters
    ----------
    provenance : Provenance
        What ran.

    Returns
    -------
    list of Fact
        Names and values.
    """
    releases = "; ".join(f"{galaxy}: {provenance.releases.get(galaxy, 'unknown')}" for galaxy in provenance.galaxies)
    facts = [
        Fact("Command", shown_command(provenance.command)),
        Fact("Catalogue", releases),
        Fact("Seed", str(provenance.seed)),
        Fact("Settings", f"SHA-256 {settings_hash(provenance.settings)}"),
    ]
    if provenance.classifier is not None:
        network = provenance.classifier
        facts.append(Fact("Classifier", f"{network['version']}, SHA-256 {network['sha256']}"))
    facts.append(Fact("Versions", ", ".join(f"{name} {number}" for name, number in provenance.versions.items())))
    return facts


def summary_of_run(judged: QTable | Blocks, provenance: Provenance) -> Iterator[str]:
    """Sum a run up.

    Parameters
    ----------
    judged : `~astropy.table.QTable` or blocks
        Its judged stars.
    provenance : Provenance
        What ran.

    Yields
    ------
    str
        Sentences, one a line.
    """
    n_stars = count_labels(judged, "galaxy")
    for galaxy in provenance.galaxies:
        counts = provenance.counts.get(galaxy, {})
        read, wanted = counts.get("light curves read", 0), counts.get("light curves wanted", 0)
        absent = f"{wanted - read:,} absent or unreadable"
        yield f"{galaxy}: {n_stars[galaxy]:,} stars, {read:,} light curves read, {absent}."
        relation = provenance.relations.get(galaxy)
        if relation:
            scatter = relation["intrinsic_scatter"]
            known = f"{scatter:.2f} mag" if np.isfinite(scatter) else "not known"
            yield (
                f"{galaxy}: relation M_V = {relation['a']:.2f} log P {relation['b']:+.2f} (V-I)_0 {relation['c']:+.2f} "
                f"({relation['mode']}), intrinsic scatter {known}."
            )
    yield from _class_lines(judged)
    for galaxy, record in (provenance.ranking or {}).items():
        yield _mixture_line(galaxy, record)
    yield from _choice_lines(judged)


def _class_lines(judged: QTable | Blocks) -> Iterator[str]:
    counts = count_labels(judged, "light_curve_class")
    found = [f"{counts[name]:,} {name}" for name in (*CLASSES, "undecided") if counts[name]]
    if found:
        yield f"Light curves by class: {', '.join(found).replace('_', ' ')}."


def flag_counts(judged: QTable | Blocks) -> list[FlagCount]:
    """Count what was missing or substituted.

    Parameters
    ----------
    judged : `~astropy.table.QTable` or blocks
        Judged stars.

    Returns
    -------
    list of FlagCount
        Flags that any star has.
    """
    return [
        FlagCount(flag.name or "", count, FLAG_MEANINGS[flag]) for flag, count in count_flags(judged).items() if count
    ]


def _mixture_line(galaxy: str, record: Mapping[str, Any]) -> str:
    """Say what the survey was found to be made of."""
    if record["stars"] == 0:
        return f"{galaxy}: no light curves, and so no odds."
    shares = ", ".join(f"{100 * record['share'][name]:.1f} % {HYPOTHESIS_NAMES[name]}" for name in HYPOTHESES)
    unsteady = "" if record["converged"] else f" Frequencies and places still changed after {record['steps']} steps."
    return f"{galaxy}: {record['stars']:,} light curves are by their odds {shares}.{unsteady}"


def _choice_lines(judged: QTable | Blocks) -> Iterator[str]:
    candidates, bona_fide, ranking = compare_choices(judged)
    yield (
        f"{candidates['stars']:,} candidates, of which {candidates['expected_contact']:.1f} in contact by their odds; "
        f"{bona_fide['stars']:,} are bona fide, {bona_fide['expected_contact']:.1f} of them in contact by their odds."
    )
    if bona_fide["stars"]:
        yield (
            f"The first {ranking['stars']:,} of the ranking hold {ranking['expected_contact']:.1f} contact binaries; "
            f"{ranking['also_bona_fide']:,} stars are in both."
        )
