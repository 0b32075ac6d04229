"""Simulated surveys of any number of stars: the first of the mock survey, or all of it several times.

Usage: python benchmarks/repeated_survey.py N --cache DIR

Up to 48,605 stars, as many as OGLE-IV lists in both Clouds together (Pawlak et al. 2016), `cbminer` simulates the
survey itself; a star of its mock does not change when the survey grows, so that a smaller one is the beginning of a
larger one. It takes a minute for 8,000 stars on 2 cores. More stars than that are the same stars again under other
names: MOCK-LMC-ECL-00001 is followed by MOCK-LMC-E01-00001, with the same row and the same light curve. The text files
of these are hard links to those of the mock survey, so that 200,000 stars take hardly more room on the disk; the store
that is made of them holds every one of them.
"""

import argparse
import os
import shutil
from pathlib import Path

FULL = {"LMC": 40204, "SMC": 8401}
SEASONS = 7
CATALOGUE = ("ident.dat", "ecl.dat", "ell.dat", "remarks.txt")


def shared_out(n_stars):
    """Stars of each Cloud, in the proportion of OGLE-IV."""
    n_lmc = round(n_stars * FULL["LMC"] / sum(FULL.values()))
    return {"LMC": n_lmc, "SMC": n_stars - n_lmc}


def make_survey(n_stars, cache, *, full=None):
    """Make a survey, or find it made already.

    `full` are the stars of the Clouds that are simulated at most; the folder of the archive is returned.
    """
    full, wanted = full or FULL, shared_out(n_stars)
    simulated = {galaxy: min(number, full[galaxy]) for galaxy, number in wanted.items()}
    mock = simulate(simulated, cache)
    if simulated == wanted:
        return mock
    return repeat_survey(mock, cache / "repeated" / f"{mock.name}-{n_stars}", wanted)


def simulate(stars, cache):
    """Let cbminer simulate a survey of so many stars of each Cloud."""
    from cbminer.pipeline import open_survey
    from cbminer.settings import load_settings

    settings = load_settings()
    recipe = {"n_lmc": stars["LMC"], "n_smc": stars["SMC"], "seasons": SEASONS}
    settings = settings.model_copy(update={"mock": settings.mock.model_copy(update=recipe)})
    return Path(open_survey("mock", list(stars), settings=settings, cache=cache).location)


def repeat_survey(mock, folder, wanted):
    """Write an archive with the stars of another one over and over, until there are so many in each Cloud."""
    if folder.exists():
        return folder
    unfinished = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    for galaxy, number in wanted.items():
        repeat_cloud(mock / galaxy.lower() / "ecl", unfinished / galaxy.lower() / "ecl", number)
    shutil.copy(mock / "MOCK.txt", unfinished)
    unfinished.rename(folder)
    return folder


def repeat_cloud(source, folder, n_stars):
    """Write the catalogue files of a Cloud, and link its light curves."""
    stars = [line.split(maxsplit=1)[0] for line in (source / "ident.dat").read_text().splitlines()]
    rounds = [stars[: n_stars - first] for first in range(0, n_stars, len(stars))]
    folder.mkdir(parents=True)
    shutil.copy(source / "MOCK.txt", folder)
    for name in CATALOGUE:
        lines = (source / name).read_text().splitlines(keepends=True)
        by_star = {line.split(maxsplit=1)[0]: line for line in lines}
        with (folder / name).open("w") as file:
            for copy, part in enumerate(rounds):
                file.writelines(renamed(by_star[star], copy) for star in part if star in by_star)
    for band in ("I", "V"):
        place, mine = folder / "phot" / band, source / "phot" / band
        place.mkdir(parents=True)
        at_hand = {path.stem for path in mine.iterdir()}
        for copy, part in enumerate(rounds):
            for star in at_hand.intersection(part):
                os.link(mine / f"{star}.dat", place / f"{renamed(star, copy)}.dat")


def renamed(text, copy):
    """Text with the star of another round, in a name of the same length: the columns of the files stay in place."""
    return text.replace("-ECL-", f"-E{copy:02d}-", 1) if copy else text


def take_in(archive, cache):
    """Read the catalogue and take the light curves into the store, as the first run of a survey does."""
    from cbminer.survey.archive import open_archive

    opened, curves = open_archive(str(archive), cache=cache), {}
    for galaxy in FULL:
        opened.catalogue(galaxy)
        store = opened.light_curves(galaxy, opened.light_curve_stars(galaxy), bands=("I", "V"))
        for band in ("I", "V"):
            stars = store.names(band)
            some = (store.sources(stars[first : first + 5000], band) for first in range(0, len(stars), 5000))
            points = sum(file.n_points for files in some for file in files)
            of_band = curves.setdefault(band, {"curves": 0, "points": 0})
            of_band["curves"] += len(stars)
            of_band["points"] += points
    return curves


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stars", type=int)
    parser.add_argument("--cache", type=Path, required=True, help="folder in which the surveys and the store are kept")
    given = parser.parse_args()
    archive = make_survey(given.stars, given.cache)
    for band, found in take_in(archive, given.cache).items():
        print(f"{band}: {found['curves']:,} light curves with {found['points']:,} points")
    print(archive)


if __name__ == "__main__":
    main()
