"""Reddening from the mean, from tables and from images."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from cbminer.errors import InputFormatError, SettingsError
from cbminer.flags import Flag
from cbminer.photometry.reddening import MeanReddening, ReddeningSettings, read_reddening_map, reddening_of

MEAN = MeanReddening(E_VI="0.1 mag", scatter="0.043 mag")
RA, DEC = np.array([80.0, 81.0, 20.0]), np.array([-69.0, -69.0, -73.0])


def test_mean_is_flagged():
    found = reddening_of(RA, DEC, mean=MEAN)
    np.testing.assert_array_equal(found.E_VI, 0.1)
    np.testing.assert_array_equal(found.error, 0.043)
    assert np.all(found.flags == Flag.MEAN_REDDENING)


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits", "txt"])
def test_nearest_cell_of_a_table_and_the_mean_outside(tmp_path, suffix):
    table = Table({"RA": [80.1, 81.0], "Dec": [-69.0, -69.1], "E(V-I)": [0.2, 0.3], "err": [0.02, np.nan]})
    path = tmp_path / f"map.{suffix}"
    table.write(
        path, format={"csv": "ascii.csv", "ecsv": "ascii.ecsv", "fits": "fits", "txt": "ascii.commented_header"}[suffix]
    )
    found = reddening_of(RA, DEC, mean=MEAN, dust=read_reddening_map(ReddeningSettings(map=str(path))))
    np.testing.assert_allclose(found.E_VI, [0.2, 0.3, 0.1])
    np.testing.assert_allclose(found.error, [0.02, 0.043, 0.043])
    assert list(found.flags) == [0, 0, Flag.MEAN_REDDENING | Flag.OUTSIDE_REDDENING_MAP]


def test_pixel_of_an_image(tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [80.0, -69.0], [2, 2], [-0.5, 0.5]
    image = np.arange(9.0).reshape(3, 3) / 10
    image[1, 0] = np.nan
    path = tmp_path / "map.fits"
    fits.PrimaryHDU(image, wcs.to_header()).writeto(path)
    dust = read_reddening_map(ReddeningSettings(map=str(path)))
    x, y = wcs.pixel_to_world_values([1, 2, 0, 9], [1, 2, 1, 9])
    found = reddening_of(np.array(x), np.array(y), mean=MEAN, dust=dust)
    np.testing.assert_allclose(found.E_VI, [0.4, 0.8, 0.1, 0.1])
    assert [bool(flag & Flag.OUTSIDE_REDDENING_MAP) for flag in found.flags] == [False, False, True, True]


def test_map_of_ebv_asks_for_its_factor(tmp_path):
    path = tmp_path / "map.csv"
    Table({"RA": [80.0], "Dec": [-69.0], "E(B-V)": [0.1]}).write(path, format="ascii.csv")
    with pytest.raises(SettingsError, match="set E_VI_per_E_BV"):
        read_reddening_map(ReddeningSettings(map=str(path)))
    dust = read_reddening_map(ReddeningSettings(map=str(path), E_VI_per_E_BV=1.3))
    assert reddening_of(RA[:1], DEC[:1], mean=MEAN, dust=dust).E_VI[0] == pytest.approx(0.13)


def test_unknown_columns_are_named_with_the_setting(tmp_path):
    path = tmp_path / "map.csv"
    Table({"x": [80.0], "y": [-69.0]}).write(path, format="ascii.csv")
    with pytest.raises(InputFormatError, match=r"has no column ra or raj2000 .*its columns are x, y.* ra_column under"):
        read_reddening_map(ReddeningSettings(map=str(path)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("a.csv", None, "is not there"), ("a.fits", b"junk", "FITS"), ("a.csv", b"RA,Dec\n", "no rows")],
)
def test_bad_map_files_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputFormatError, match=message):
        read_reddening_map(ReddeningSettings(map=str(path)))
