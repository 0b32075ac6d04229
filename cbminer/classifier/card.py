"""The card of a network: what it was made of, how good it is, on what, and where it fails."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cbminer.classifier.classes import CLASS_LABELS, CLASSES
from cbminer.errors import InputFormatError
from cbminer.whole_file import written_whole

__all__ = ["LIMITS", "card_path", "read_card", "render_card", "write_card"]

LIMITS = (
    (
        "Trained on synthetic light curves alone unless labelled ones are named above; real stars have spots, discs "
        "and errors that these lack."
    ),
    (
        "Close pairs seen from above (inclination below about 55 degrees) have nearly the same light curves, whether "
        "in contact or not: probabilities near one half are the answer there, not a failure. Near-contact pairs "
        "without eclipses count as ellipsoidal."
    ),
    (
        "A pulsating or rotating star of nearly sinusoidal light at twice its period looks like an ellipsoidal "
        "variable; the verdict on the period, not the shape, tells."
    ),
    "Probabilities hold for equally frequent classes; give the frequencies of your survey under [classifier.prior].",
)

_SHORT = {
    "contact": "contact",
    "near_contact": "near",
    "detached": "detached",
    "ellipsoidal": "ellips.",
    "not_eclipsing": "not ecl.",
}


def card_path(model: Path) -> Path:
    """Path of the card of a network.

    Parameters
    ----------
    model : `~pathlib.Path`
        File of the network.

    Returns
    -------
    `~pathlib.Path`
        ``NAME.card.json`` beside ``NAME.npz``.
    """
    return model.with_suffix(".card.json")


def write_card(card: dict[str, Any], path: Path) -> None:
    """Write a card; the file appears whole or not at all.

    Parameters
    ----------
    card : dict
        The card.
    path : `~pathlib.Path`
        File.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def read_card(model: Path, *, sha256: str) -> dict[str, Any]:
    """Read the card of a network.

    Parameters
    ----------
    model : `~pathlib.Path`
        File of the network.
    sha256 : str
        Hash of the network.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    InputFormatError
        If it is missing or damaged, or of another network.
    """
    path = card_path(model)
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        described = card["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"card {path} cannot be read ({error}): train the network again, or reinstall cbminer"
        raise InputFormatError(msg) from error
    if described != sha256:
        msg = f"card {path} describes another network than {model.name}: keep the files of one training together"
        raise InputFormatError(msg)
    return card


def render_card(card: dict[str, Any]) -> str:
    """Write a card as text.

    Parameters
    ----------
    card : dict
        The card.

    Returns
    -------
    str
        Lines for a terminal.
    """
    sections = (_head, _layers, _synthetic, _look_alikes, _inclinations, _magnitudes, _abstention, _real, _limits)
    return "\n\n".join(text for section in sections if (text := "\n".join(section(card))))


def _head(card: dict[str, Any]) -> Iterator[str]:
    network, training, library = card["network"], card["training"], card["library"]
    yield f"Network {card['name']}, version {card['version']}, made by {card['made_by']}"
    yield f"SHA-256 {card['sha256']}"
    scalars = ", ".join(network["scalars"]) or "none"
    yield f"{network['variant']} variant, {network['n_bins']} phase bins, estimator {network['method']}"
    yield f"numbers beside the curve: {scalars}"
    yield (
        f"trained in {training['epochs']} epochs of {training['examples']} examples with seed {training['seed']} on "
        f"{sum(card['curves']['training'].values())} curves; {card['labelled_curves'] or 'no'} labelled real ones"
    )
    yield f"library of {library['rows']} rows, seed {library['seed']}"
    calibration = card["calibration"]
    before = calibration["error_before"]
    yield f"temperature {calibration['temperature']:.3f}; calibration error without it {before:.3f}"
    yield "classes:"
    yield from (f"  {name:<14} {CLASS_LABELS[name]}" for name in CLASSES)


def _layers(card: dict[str, Any]) -> Iterator[str]:
    heads = f"{'layer':<10}{'channels':>12}{'positions':>11}{'1-bit MAC':>12}{'8-bit MAC':>11}"
    yield heads + f"{'float op.':>11}{'bytes':>8}{'as float':>10}"
    for row in card["layers"]:
        channels = f"{row['c_in']} > {row['c_out']}"
        size = row["weight_bytes"] + row["constant_bytes"]
        full = row["float_weight_bytes"] + row["constant_bytes"]
        yield (
            f"{row['name']:<10}{channels:>12}{row['positions']:>11}{row['binary_operations']:>12,}"
            f"{row['integer_operations']:>11,}{row['float_operations']:>11,}{size:>8,}{full:>10,}"
        )
    size = sum(row["weight_bytes"] + row["constant_bytes"] for row in card["layers"])
    full = sum(row["float_weight_bytes"] + row["constant_bytes"] for row in card["layers"])
    yield f"all layers: {size:,} bytes, {full:,} as 32-bit floats: {full / size:.1f} times smaller"


def _synthetic(card: dict[str, Any]) -> Iterator[str]:
    mix = ", ".join(f"{name} {share:g}" for name, share in card["synthetic"]["training_mix"]["mix"].items())
    yield "intervals of 95 % by bootstrap over the stars, without the scatter from one training to another;"
    yield f"'in a mix': precision where the classes are as frequent as {mix} (an assumption)"
    titles = (
        ("training_mix", "synthetic stars never trained on, noise and sampling as in the training"),
        ("bright", "the same at I = 16 to 17, 400 to 700 points"),
        ("bright_above_60", "the same, eclipsing classes at inclinations above 60 degrees alone"),
    )
    for key, title in titles:
        yield from _evaluation(card["synthetic"][key], title)
        if "twin" in card:
            yield f"  float twin: macro-F1 {_range(card['twin'][key]['macro_f1'])}"
        yield ""
    for key, title in (("contact_against_detached", "all"), ("contact_against_detached_above_60", "above 60 degrees")):
        pair = card["synthetic"][key]
        yield (
            f"contact against detached alone, I = 16 to 17, inclinations {title}: accuracy {pair['accuracy']:.4f}, "
            f"area under the curve {pair['area_under_curve']:.4f}"
        )


def _evaluation(judged: dict[str, Any], title: str) -> Iterator[str]:
    yield f"{title} ({judged['n']} examples)"
    yield (
        f"  accuracy {_range(judged['accuracy'])}, macro-F1 {_range(judged['macro_f1'])}, "
        f"calibration error {_range(judged['calibration_error'])}"
    )
    names = "".join(f"{_SHORT[name]:>10}" for name in CLASSES)
    yield f"  {'true / chosen':<14}{names}{'recall':>9}{'precision':>11}{'F1':>7}{'in a mix':>10}"
    for row, name in zip(judged["confusion"], CLASSES, strict=True):
        cells = "".join(f"{count:>10}" for count in row)
        figures = "".join(
            f"{_one(judged[key][name]):>{width}}"
            for key, width in (("recall", 9), ("precision", 11), ("f1", 7), ("mix_precision", 10))
        )
        yield f"  {name:<14}{cells}{figures}"


def _look_alikes(card: dict[str, Any]) -> Iterator[str]:
    yield f"{'what is no eclipsing pair, and is called':<40}{'a pair':>24}{'eclipsing':>11}{'contact':>9}"
    for name, row in card["synthetic"]["look_alikes"].items():
        pair, eclipsing, contact = (row[key] for key in ("called_a_pair", "called_eclipsing", "called_contact"))
        yield f"  {name:<38}{_range(pair):>24}{eclipsing[0]:>11.3f}{contact[0]:>9.3f}"


def _inclinations(card: dict[str, Any]) -> Iterator[str]:
    yield "by inclination, I = 16 to 17: contact, near-contact and detached pairs in their class; how often contact is"
    yield "told from near contact and ellipsoidal (near contact without eclipses), and how sure the network is of that"
    yield f"  {'degrees':<12}{'accuracy':>24}{'contact or another':>24}{'confidence in it':>18}"
    for row in card["synthetic"]["by_inclination"]:
        degrees = f"{row['from']:.0f} to {row['to']:.0f}"
        yield (
            f"  {degrees:<12}{_range(row['accuracy']):>24}{_range(row['contact_told']):>24}"
            f"{_one([row['contact_confidence']]):>18}"
        )


def _magnitudes(card: dict[str, Any]) -> Iterator[str]:
    for key, title in (("by_magnitude", "I magnitude"), ("by_points", "points, I = 17")):
        recalls = "".join(f"{_SHORT[name]:>10}" for name in CLASSES)
        yield f"{title:<16}{'macro-F1':>24}{'cal. error':>12}   recall{recalls}"
        for value, row in card["synthetic"][key].items():
            each = "".join(f"{row['recall'][name][0]:>10.3f}" for name in CLASSES)
            yield f"  {value:<14}{_range(row['macro_f1']):>24}{row['calibration_error'][0]:>12.3f}         {each}"


def _abstention(card: dict[str, Any]) -> Iterator[str]:
    yield "if stars whose largest probability is below a limit stay undecided (training mix)"
    yield f"  {'limit':<8}{'decided':>9}{'accuracy':>10}"
    for row in card["synthetic"]["abstention"]:
        accuracy = "-" if row["accuracy"] is None else f"{row['accuracy']:.3f}"
        yield f"  {row['least_probability']:<8.2f}{row['decided']:>9.3f}{accuracy:>10}"


def _real(card: dict[str, Any]) -> Iterator[str]:
    if "real" not in card:
        return
    yield "real stars with labels, never trained on"
    for survey, table in card["real"]["surveys"].items():
        names = "".join(f"{_SHORT[name]:>10}" for name in CLASSES)
        yield f"  {survey:<36}{'stars':>6}{names}"
        for group, row in table.items():
            yield f"    {group:<34}{row['stars']:>6}" + "".join(f"{count:>10}" for count in row["chosen"])
    yield from (f"  {line}" for line in card["real"]["figures"])


def _limits(_card: dict[str, Any]) -> Iterator[str]:
    yield "limits"
    yield from (f"- {text}" for text in LIMITS)


def _range(values: Sequence[float] | None) -> str:
    if values is None:
        return "-"
    return f"{values[0]:.3f} ({values[1]:.3f} to {values[2]:.3f})"


def _one(values: Sequence[float | None]) -> str:
    return "-" if values[0] is None else f"{values[0]:.3f}"
