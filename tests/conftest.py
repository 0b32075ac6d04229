"""Archives and settings that the tests share."""

import os
from pathlib import Path

import pytest

from cbminer.settings import load_settings
from cbminer.survey.mock import MockCloud, build_mock_archive

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def cache_of_tests(tmp_path_factory):
    """Keep the tests out of the cache of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBMINER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data():
    folder = Path(os.environ.get("CBMINER_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data are not at {folder}; set CBMINER_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def mock_archive(tmp_path_factory):
    """A small mock survey of both Clouds."""
    settings = load_settings()
    clouds = [
        MockCloud("LMC", 150, 18.477, 0.0, 0.100, 0.043),
        MockCloud("SMC", 60, 18.977, 0.12, 0.047, 0.025),
    ]
    folder = tmp_path_factory.mktemp("mock") / "archive"
    return build_mock_archive(folder, clouds, settings=settings.mock, seed=5)


def ident_line(star="OGLE-LMC-ECL-00001", kind="C", ra="05:20:00.00", dec="-69:30:00.0", cross=""):
    return f"{star:<18s}  {kind:<3s} {ra:<11s} {dec:<11s}  {cross:<101s}".rstrip()


def ecl_line(
    star="OGLE-LMC-ECL-00001", i="16.000", v="15.900", p="0.9000000", t0="2455000.5000", d1="0.400", d2="0.390"
):
    return f"{star:<18s}  {i:>6s} {v:>6s} {p:>12s}  {t0:>12s} {d1:>6s} {d2:>5s}"


@pytest.fixture
def write_archive(tmp_path):
    """Write ident.dat and ecl.dat of the LMC; other files by name."""

    def write(ident, ecl, **files):
        folder = tmp_path / "ocvs" / "lmc" / "ecl"
        folder.mkdir(parents=True, exist_ok=True)
        contents = {
            "ident.dat": ident,
            "ecl.dat": ecl,
            **{name.replace("_", "."): data for name, data in files.items()},
        }
        for name, data in contents.items():
            text = "\n".join(data) + "\n" if isinstance(data, list) else data
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return write
