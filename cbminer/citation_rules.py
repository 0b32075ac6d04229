"""Which references belong to what a run used, why, and which acknowledgements its services ask for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cbminer.citation import Reference, references
from cbminer.citation_usage import Usage

__all__ = ["ACKNOWLEDGEMENTS", "RULES", "Acknowledgement", "Rule", "acknowledged", "citation_lines", "cited"]


@dataclass(frozen=True)
class Rule:
    """References of one thing that can be used.

    Attributes
    ----------
    keys : tuple of str
        Keys of the references.
    why : str
        What they are cited for.
    when : callable
        Whether a run used it.
    """

    keys: tuple[str, ...]
    why: str
    when: Callable[[Usage], bool]


@dataclass(frozen=True)
class Acknowledgement:
    """A text that a service asks for.

    Attributes
    ----------
    service : str
        The service.
    text : str
        The text.
    when : callable
        Whether a run used it.
    """

    service: str
    text: str
    when: Callable[[Usage], bool]


def _always(_: Usage) -> bool:
    return True


def _release(*words: str) -> Callable[[Usage], bool]:
    return lambda usage: usage.ogle and any(word in text for text in usage.releases for word in words)


def _colours(source: str) -> Callable[[Usage], bool]:
    return lambda usage: usage.ranked and usage.setting("population.colours.source") == source


def _binarised(*methods: str) -> Callable[[Usage], bool]:
    return lambda usage: usage.network in methods


def _vizier(usage: Usage) -> bool:
    asked = "vizier" in (usage.setting("survey.catalogue"), usage.setting("morphology_table.table"))
    return not usage.simulated and ((usage.selected and asked) or "gaia" in usage.products)


def _distance(galaxy: str) -> Callable[[Usage], bool]:
    return lambda usage: galaxy in usage.galaxies and usage.default_modulus(galaxy)


def _selected(usage: Usage) -> bool:
    return usage.selected


def _relation(usage: Usage) -> bool:
    """Whether the relation is the package's, or of the form that it has: given coefficients are their author's."""
    return usage.selected and usage.setting("selection.plc.mode") != "coefficients"


def _tables(*presets: str) -> Callable[[Usage], bool]:
    return lambda usage: usage.preset in presets


def _gaia(usage: Usage) -> bool:
    return "gaia" in usage.products or usage.preset in {"gaia", "gaia-raw"}


def _plane(usage: Usage) -> bool:
    return any(usage.setting(f"cloud.{galaxy}.distance.geometry") == "plane" for galaxy in usage.galaxies)


def _parallaxes(usage: Usage) -> bool:
    return usage.selected and bool(usage.setting("table.parallax_column"))


def _shifted_parallaxes(usage: Usage) -> bool:
    zero_point = str(usage.setting("parallax.zero_point") or "0").split()[0]
    return _parallaxes(usage) and float(zero_point) != 0


def _own_grid(usage: Usage) -> bool:
    return usage.ranked and not usage.grid


RULES = (
    Rule(("Menon2026",), "the method", _always),
    Rule(("cbminer",), "the program", _always),
    Rule(("Udalski2015",), "the survey OGLE-IV", lambda usage: usage.ogle),
    Rule(("Pawlak2016",), "the catalogue of eclipsing binaries", _release("Pawlak et al. 2016", "not recognised")),
    Rule(("Glowacki2025",), "the catalogue of eclipsing binaries", _release("Glowacki", "not recognised")),
    Rule(("Graczyk2011",), "the catalogue of eclipsing binaries", _release("Graczyk et al. 2011")),
    Rule(("Pawlak2013",), "the catalogue of eclipsing binaries", _release("Pawlak et al. 2013")),
    Rule(("Caplar2025",), "HATS and LSDB", _tables("hats")),
    Rule(("SkowronJ2016",), "the form of the errors of photometry", _always),
    Rule(("Skowron2021",), "reddening of the Clouds, and extinction by it", _selected),
    Rule(("Pietrzynski2019",), "the distance of the LMC", _distance("LMC")),
    Rule(("Graczyk2020",), "the distance of the SMC", _distance("SMC")),
    Rule(("VanDerMarel2001",), "distances in a plane", _plane),
    Rule(("BailerJones2015",), "distances of parallaxes", _parallaxes),
    Rule(("Lindegren2021",), "the zero point of parallaxes", _shifted_parallaxes),
    Rule(("Pawlak2016PLC",), "the period-luminosity-colour relation of early-type contact binaries", _relation),
    Rule(
        ("PecautMamajek2013", "LanzHubeny2007", "Martins2005"),
        "colours and bolometric corrections of the derived relation, or of the population",
        lambda usage: (
            (usage.selected and usage.setting("selection.plc.mode") == "derived")
            or (usage.ranked and usage.setting("population.colours.source") == "pecaut-mamajek")
        ),
    ),
    Rule(("Bodi2021", "Matijevic2012"), "the morphology parameter c and its scale", _always),
    Rule(("Roweis2000",), "locally linear embedding", _always),
    Rule(("Rucinski1997",), "Fourier coefficients of contact binaries", _always),
    Rule(
        ("Palmer2009", "Greengard2004", "Garrison2024"),
        "the search for periods",
        lambda usage: usage.setting("period_choice.search") is True,
    ),
    Rule(("Wilson1979", "Eggleton1983"), "Roche geometry", _always),
    Rule(("VonZeipel1924", "Horvat2019"), "gravity darkening and mutual heating", _always),
    Rule(("Bessell1990",), "the passbands", _always),
    Rule(("Guo2017",), "calibration of the network", lambda usage: bool(usage.variant)),
    Rule(("Liu2018", "Liu2020"), "the build of the network", lambda usage: usage.variant == "standard"),
    Rule(("Courbariaux2016",), "its binarisation by straight-through gradients", _binarised("ste", "approx_sign")),
    Rule(("Wu2023",), "its binarisation (ReSTE)", _binarised("reste")),
    Rule(("Vargas2024",), "its binarisation (BiPer)", _binarised("biper")),
    Rule(("Qin2020",), "its binarisation (IR-Net)", _binarised("irnet")),
    Rule(("Liu2023",), "its binarisation by statistics", _binarised("statistics", "ternary")),
    Rule(("Xing2024",), "its binarisation with centred weights", _binarised("centred")),
    Rule(("Dempster1977",), "shares of the kinds of stars by expectation maximisation", lambda usage: usage.ranked),
    Rule(("Kroupa2001", "Sana2012"), "initial masses, mass ratios and periods", lambda usage: usage.ranked),
    Rule(
        ("Hurley2000", "Tout1996", "Breivik2020"), "single-star tracks of the grid of models (SSE by COSMIC)", _own_grid
    ),
    Rule(("Hurley2002",), "response of its stars to mass transfer", _own_grid),
    Rule(("Menon2021",), "the radius at L2", lambda usage: usage.ranked),
    Rule(
        ("Fabry2025",),
        "models of contact binaries",
        lambda usage: usage.ranked and (not usage.grid or "fabry" in usage.grid.lower()),
    ),
    Rule(
        ("CastelliKurucz2003", "VanHammeWilson2003", "ClaretBloemen2011"),
        "model atmospheres and limb darkening of the population's colours",
        _colours("kurucz"),
    ),
    Rule(("Lange2023", "ForemanMackey2016"), "fits by nested sampling", lambda usage: "fits" in usage.products),
    Rule(
        ("Prsa2016", "Horvat2018", "Jones2020", "Conroy2020"),
        "PHOEBE beside the fits",
        lambda usage: "phoebe" in usage.products,
    ),
    Rule(("Brown2001",), "errors of completeness", lambda usage: "completeness" in usage.products),
    Rule(("Ochsenbein2000",), "VizieR", _vizier),
    Rule(("Gaia2016", "Gaia2023"), "Gaia DR3", _gaia),
    Rule(("Mowlavi2023",), "its eclipsing binaries", lambda usage: "gaia" in usage.products),
    Rule(("Eyer2023",), "its epoch photometry", _tables("gaia", "gaia-raw")),
    Rule(("Shappee2014", "Hart2023"), "ASAS-SN and its Sky Patrol", _tables("asas-sn")),
    Rule(("Bellm2019", "Masci2019"), "ZTF", _tables("ztf", "ztf-alerce")),
    Rule(("Forster2021",), "ALeRCE", _tables("ztf-alerce")),
    Rule(("Ivezic2019",), "the survey of the Rubin Observatory", _tables("rubin", "rubin-nested")),
    Rule(("Wenger2000",), "SIMBAD", lambda usage: "simbad" in usage.products),
    Rule(("Astropy2013", "Astropy2018", "Astropy2022"), "astropy", _always),
    Rule(("Harris2020", "Virtanen2020", "Hunter2007", "Lam2015"), "numpy, scipy, matplotlib and numba", _always),
)

ACKNOWLEDGEMENTS = (
    Acknowledgement(
        "OGLE",
        "OGLE asks that the papers of the survey and of the catalogue be cited; see the README of the collection.",
        lambda usage: usage.ogle,
    ),
    Acknowledgement(
        "VizieR",
        "This research has made use of the VizieR catalogue access tool, CDS, Strasbourg, France "
        "(DOI 10.26093/cds/vizier).",
        _vizier,
    ),
    Acknowledgement(
        "SIMBAD",
        "This research has made use of the SIMBAD database, CDS, Strasbourg Astronomical Observatory, France.",
        lambda usage: "simbad" in usage.products,
    ),
    Acknowledgement(
        "Gaia",
        "This work has made use of data from the European Space Agency (ESA) mission Gaia "
        "(https://www.cosmos.esa.int/gaia), processed by the Gaia Data Processing and Analysis Consortium (DPAC, "
        "https://www.cosmos.esa.int/web/gaia/dpac/consortium). Funding for the DPAC has been provided by national "
        "institutions, in particular the institutions participating in the Gaia Multilateral Agreement.",
        _gaia,
    ),
)


def cited(usage: Usage) -> list[tuple[Reference, str]]:
    """Find what is to be cited.

    Parameters
    ----------
    usage : Usage
        What was used.

    Returns
    -------
    list of (Reference, str)
        References, each once, and what they are cited for.
    """
    known = references()
    return [(known[key], rule.why) for rule in RULES if usage.everything or rule.when(usage) for key in rule.keys]


def acknowledged(usage: Usage) -> list[Acknowledgement]:
    """Find the acknowledgements that are asked for.

    Parameters
    ----------
    usage : Usage
        What was used.

    Returns
    -------
    list of Acknowledgement
        The texts.
    """
    return [item for item in ACKNOWLEDGEMENTS if usage.everything or item.when(usage)]


def citation_lines(usage: Usage, *, bibtex: bool) -> Iterator[str]:
    """Write what is to be cited.

    Parameters
    ----------
    usage : Usage
        What was used.
    bibtex : bool
        Whether entries are written in BibTeX, with all else as comments; else a line a reference.

    Yields
    ------
    str
        Lines.
    """
    mark = "% " if bibtex else ""
    about = "all that cbminer can use" if usage.everything else "what this run used"
    yield f"{mark}References of {about}."
    for remark in usage.remarks:
        # To BibTeX an entry begins at this sign, wherever it stands.
        plain = remark.replace("@", "(at)") if bibtex else remark
        yield f"{mark}To be seen to by you: {plain}."
    yield ""
    last = ""
    for reference, why in cited(usage):
        if why != last:
            yield f"{mark}For {why}:"
            last = why
        yield reference.to_bibtex() if bibtex else f"  {reference.to_text()}"
        if bibtex:
            yield ""
    texts = acknowledged(usage)
    if texts:
        yield f"{mark}Acknowledgements that are asked for:"
    for item in texts:
        yield f"{mark}{item.service}: {item.text}"
