"""Reddening from FITS images and HEALPix tables."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy_healpix import HEALPix

from cbminer.errors import InputFormatError, SettingsError
from cbminer.flags import Flag
from cbminer.photometry.reddening import MeanReddening, ReddeningSettings, read_reddening_map, reddening_of

MEAN = MeanReddening(E_VI="0.1 mag", scatter="0.043 mag")
UNSEEN = -1.6375e30
NSIDE = 32


def read(path, **given):
    return read_reddening_map(ReddeningSettings(map=str(path), **({"quantity": "E(V-I)"} | given)))


def at(dust, ra, dec):
    return reddening_of(np.asarray(ra, dtype=float), np.asarray(dec, dtype=float), mean=MEAN, dust=dust)


def header(ctype=("RA---TAN", "DEC--TAN"), crval=(80.0, -69.0), crpix=(2, 2), cdelt=(-0.5, 0.5)):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = list(ctype), list(crval), list(crpix), list(cdelt)
    return wcs.to_header()


def sky(head, x, y):
    return WCS(head).pixel_to_world_values(x, y)


@pytest.fixture
def image():
    data = np.arange(9.0).reshape(3, 3) / 10
    data[1, 0] = np.nan
    return data


def test_pixel_of_an_image(tmp_path, image):
    path = tmp_path / "map.fits"
    fits.PrimaryHDU(image, header()).writeto(path)
    ra, dec = sky(header(), [1, 2, 2.4, 0, 9, -0.6], [1, 2, 1.6, 1, 9, 2])
    found = at(read(path), [*ra, np.nan], [*dec, -69.0])
    np.testing.assert_allclose(found.E_VI, [0.4, 0.8, 0.8, 0.1, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(found.error, 0.043)
    outside, blank = Flag.MEAN_REDDENING | Flag.OUTSIDE_REDDENING_MAP, Flag.MEAN_REDDENING | Flag.BLANK_REDDENING
    assert list(found.flags) == [0, 0, 0, blank, outside, outside, outside]


def test_image_asks_what_it_holds_unless_its_name_tells(tmp_path, image):
    path = tmp_path / "map.fits"
    fits.PrimaryHDU(image, header()).writeto(path)
    with pytest.raises(SettingsError, match=r"map\.fits does not tell what its image holds: set quantity"):
        read(path, quantity=None)
    head = header()
    head["BUNIT"] = "E(B-V) [mag]"
    fits.PrimaryHDU(image, head).writeto(path, overwrite=True)
    with pytest.raises(SettingsError, match=r"holds E\(B-V\): set E_VI_per_E_BV"):
        read(path, quantity=None)
    assert at(read(path, quantity=None, E_VI_per_E_BV=1.3), [80.0], [-69.0]).E_VI[0] == pytest.approx(0.52)


@pytest.mark.parametrize("suffix", ["fits", "fits.gz"])
def test_galactic_image_of_the_smc(tmp_path, suffix):
    # A plate carree about the galactic equator is linear, so that the truth needs no projection.
    l0, b0, step, shape = 295.0, -50.0, 0.05, (240, 400)
    head = header(("GLON-CAR", "GLAT-CAR"), (l0, 0.0), (1, 1 - b0 / step), (step, step))
    data = np.arange(shape[0] * shape[1]).reshape(shape) * 1e-5
    fits.PrimaryHDU(data.astype(">f4"), head).writeto(tmp_path / f"oden.{suffix}")
    rng = np.random.default_rng(2)
    column, row = rng.integers(0, shape[1], 300), rng.integers(0, shape[0], 300)
    offset = rng.uniform(-0.49, 0.49, (2, 300))
    stars = SkyCoord(l0 + (column + offset[0]) * step, b0 + (row + offset[1]) * step, unit="deg", frame="galactic").icrs
    assert stars.ra.deg.max() - stars.ra.deg.min() > 10
    found = at(read(tmp_path / f"oden.{suffix}"), stars.ra.deg, stars.dec.deg)
    np.testing.assert_allclose(found.E_VI, data[row, column], rtol=1e-6)
    assert not found.flags.any()


def test_image_across_zero_hours(tmp_path):
    head = header(crval=(0.0, -73.0), crpix=(11, 11), cdelt=(-0.1, 0.1))
    fits.PrimaryHDU(np.tile(np.arange(21.0) / 100, (21, 1)), head).writeto(tmp_path / "map.fits")
    step = 0.1 / np.cos(np.radians(73.0))
    found = at(read(tmp_path / "map.fits"), [359.999, 0.001, 360 - 3 * step, 3 * step], [-73.0] * 4)
    np.testing.assert_allclose(found.E_VI, [0.1, 0.1, 0.13, 0.07])


def test_image_of_the_errors_and_blank_integers(tmp_path, image):
    errors = np.full((3, 3), 0.05)
    errors[2, 2] = -1.0
    parts = [
        fits.PrimaryHDU(),
        fits.ImageHDU(image, header(), name="EVI"),
        fits.ImageHDU(errors, header(), name="EVI_ERR"),
    ]
    fits.HDUList(parts).writeto(tmp_path / "map.fits")
    ra, dec = sky(header(), [1, 2], [1, 2])
    found = at(read(tmp_path / "map.fits", quantity=None), ra, dec)
    np.testing.assert_allclose(found.E_VI, [0.4, 0.8])
    np.testing.assert_allclose(found.lower, [0.05, 0.043])
    np.testing.assert_allclose(found.upper, found.lower)
    part = fits.ImageHDU(np.array([[1, 2], [-32768, 4]], dtype=np.int16), header(crpix=(1, 1)), name="EVI")
    part.header["BLANK"] = -32768
    part.header["BSCALE"] = 0.1
    fits.HDUList([fits.PrimaryHDU(), part]).writeto(tmp_path / "whole.fits")
    ra, dec = sky(header(crpix=(1, 1)), [0, 0], [0, 1])
    scaled = at(read(tmp_path / "whole.fits"), ra, dec)
    assert list(scaled.flags) == [0, Flag.MEAN_REDDENING | Flag.BLANK_REDDENING]
    assert scaled.E_VI[0] == pytest.approx(fits.getdata(tmp_path / "whole.fits", 1)[0, 0])


def test_several_images_and_no_images(tmp_path, image):
    path = tmp_path / "map.fits"
    parts = [fits.PrimaryHDU(image, header()), fits.ImageHDU(image + 1, header(), name="SFD")]
    fits.HDUList([*parts, fits.ImageHDU(np.full((2, 2), 0.1), name="SIGMA")]).writeto(path)
    with pytest.raises(InputFormatError, match=r"has several maps \(0 PRIMARY, 1 SFD\): choose one with hdu"):
        read(path)
    for chosen, expected in ((0, 0.4), (1, 1.4), ("sfd", 1.4)):
        assert at(read(path, hdu=chosen, error_hdu=chosen), [80.0], [-69.0]).E_VI[0] == pytest.approx(expected)
    for given, message in (
        ({"hdu": 7}, "has no part 7; its parts are 0 PRIMARY, 1 SFD, 2 SIGMA. Set hdu"),
        ({"hdu": 2}, "part 2 SIGMA, has no celestial coordinates"),
        ({"hdu": 0}, "image of 3 x 3 pixels but one of 2 x 2 for its errors: choose another with error_hdu"),
        ({"hdu": 0, "error_hdu": "x"}, "has no part x"),
    ):
        with pytest.raises(InputFormatError, match=message):
            read(path, **given)
    fits.PrimaryHDU(image).writeto(path, overwrite=True)
    with pytest.raises(InputFormatError, match="neither an image with celestial coordinates nor a table"):
        read(path)


def test_cube_is_refused_and_a_cube_of_one_plane_is_not(tmp_path, image):
    path = tmp_path / "map.fits"
    fits.PrimaryHDU(np.stack([image] * 5), header()).writeto(path)
    with pytest.raises(InputFormatError, match="part 0 PRIMARY, is a cube of 3 x 3 x 5 pixels: give the plane"):
        read(path)
    fits.PrimaryHDU(image[np.newaxis], header()).writeto(path, overwrite=True)
    assert at(read(path), [80.0], [-69.0]).E_VI[0] == pytest.approx(0.4)


def test_truncated_file_is_named(tmp_path):
    path = tmp_path / "map.fits"
    fits.PrimaryHDU(np.zeros((200, 200)), header()).writeto(path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.warns(UserWarning, match="truncated"), pytest.raises(InputFormatError, match="cannot be read as FITS"):
        read(path)


def test_bilinear_image_is_exact_on_a_slope_and_keeps_blanks(tmp_path):
    y, x = np.mgrid[:20, :30].astype(float)
    data, errors = 0.01 * x + 0.002 * y, 0.001 * x
    data[5, 5] = np.nan
    head = header(crpix=(15, 10), cdelt=(-0.1, 0.1))
    parts = [fits.PrimaryHDU(data, head), fits.ImageHDU(errors, head, name="ERR")]
    fits.HDUList(parts).writeto(tmp_path / "map.fits")
    px, py = np.array([10.3, 20.75, 5.2, 0.0, 29.4]), np.array([7.9, 3.5, 4.9, 0.0, 10.0])
    found = at(read(tmp_path / "map.fits", interpolation="bilinear"), *sky(head, px, py))
    np.testing.assert_allclose(found.E_VI[[0, 1, 3]], (0.01 * px + 0.002 * py)[[0, 1, 3]], atol=1e-9)
    np.testing.assert_allclose(found.lower[[0, 1]], 0.001 * px[[0, 1]], atol=1e-9)
    assert found.flags[2] == Flag.MEAN_REDDENING | Flag.BLANK_REDDENING
    # Half a pixel beyond the last centre the outermost pixel goes on.
    assert found.E_VI[4] == pytest.approx(0.29 + 0.02)
    beside = at(read(tmp_path / "map.fits", interpolation="bilinear"), *sky(head, [5.6], [5.0]))
    assert beside.E_VI[0] == pytest.approx(0.06 + 0.01)


def truth(lon, lat):
    """Reddening as a function of the coordinates of the map: no two pixels have the same."""
    return 0.2 + 0.1 * np.sin(np.radians(lat)) + 0.05 * np.cos(np.radians(lon))


def healpix_table(path, order="RING", coordsys="G", rows=1, keep=None, drop=(), **cards):
    """Write a HEALPix map of `truth`, of the whole sky or of the pixels in `keep`."""
    grid = HEALPix(NSIDE, order=order.lower())
    pixels = np.arange(grid.npix) if keep is None else keep
    lon, lat = grid.healpix_to_lonlat(pixels)
    value = truth(lon.deg, lat.deg).astype(np.float32)
    shape, code = (-1, rows) if rows > 1 else (-1,), f"{rows}E" if rows > 1 else "E"
    columns = [
        fits.Column(name="EVI", format=code, array=value.reshape(shape)),
        fits.Column(name="EVI_ERR", format=code, array=(value / 10).reshape(shape)),
    ]
    if keep is not None:
        columns.insert(0, fits.Column(name="PIXEL", format="J", array=pixels))
    hdu = fits.BinTableHDU.from_columns(columns)
    known = {"PIXTYPE": "HEALPIX", "ORDERING": order, "NSIDE": NSIDE, "COORDSYS": coordsys}
    known["INDXSCHM"] = "IMPLICIT" if keep is None else "EXPLICIT"
    for key, entry in (known | cards).items():
        if key not in drop:
            hdu.header[key] = entry
    hdu.writeto(path, overwrite=True)
    return path


@pytest.fixture
def pixel_centres():
    """Centres of 200 pixels of a galactic map in ICRS, and the reddening there."""
    lon, lat = HEALPix(NSIDE, order="ring").healpix_to_lonlat(np.random.default_rng(5).integers(0, 12 * NSIDE**2, 200))
    stars = SkyCoord(lon, lat, frame="galactic").icrs
    return stars.ra.deg, stars.dec.deg, truth(lon.deg, lat.deg)


@pytest.mark.parametrize("order", ["RING", "NESTED"])
@pytest.mark.parametrize("rows", [1, 1024])
def test_healpix_gives_the_pixel(tmp_path, pixel_centres, order, rows):
    ra, dec, expected = pixel_centres
    found = at(read(healpix_table(tmp_path / "map.fits", order, rows=rows), quantity=None), ra, dec)
    np.testing.assert_allclose(found.E_VI, expected, rtol=1e-6)
    np.testing.assert_allclose(found.lower, expected / 10, rtol=1e-6)
    assert not found.flags.any()


def test_ring_and_nested_are_the_same_map(tmp_path):
    rng = np.random.default_rng(6)
    ra, dec = rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    maps = [read(healpix_table(tmp_path / f"{order}.fits", order, "C")) for order in ("RING", "NESTED")]
    np.testing.assert_array_equal(*(at(dust, ra, dec).E_VI for dust in maps))
    smooth = [read(tmp_path / f"{order}.fits", interpolation="bilinear") for order in ("RING", "NESTED")]
    np.testing.assert_allclose(*(at(dust, ra, dec).E_VI for dust in smooth), rtol=1e-12)
    # Between pixels 1.8 deg apart the interpolated map is far nearer to the truth than the pixels are.
    errors = [np.std(at(dust, ra, dec).E_VI - truth(ra, dec)) for dust in (maps[0], smooth[0])]
    assert errors[1] < 0.1 * errors[0]


def test_equatorial_and_galactic_differ_and_the_setting_stands_in(tmp_path, pixel_centres):
    ra, dec, expected = pixel_centres
    path = healpix_table(tmp_path / "map.fits", drop=("COORDSYS",))
    with pytest.raises(SettingsError, match=r"COORDSYS = MISSING .*set coordinates under \[reddening\]"):
        read(path)
    np.testing.assert_allclose(at(read(path, coordinates="galactic"), ra, dec).E_VI, expected, rtol=1e-6)
    assert np.abs(at(read(path, coordinates="equatorial"), ra, dec).E_VI - expected).max() > 0.05
    equatorial = at(read(healpix_table(tmp_path / "c.fits", coordsys="C")), [0.0], [-89.99])
    assert equatorial.E_VI[0] == pytest.approx(truth(45.0, -89.0), abs=2e-3)


@pytest.mark.parametrize("order", ["RING", "NESTED"])
def test_explicit_map_holds_only_its_pixels(tmp_path, order):
    grid = HEALPix(NSIDE, order=order.lower())
    keep = np.random.default_rng(7).permutation(grid.npix)[:3000]
    dust = read(healpix_table(tmp_path / "map.fits", order, "C", keep=keep, OBJECT="PARTIAL"))
    lon, lat = grid.healpix_to_lonlat(np.arange(grid.npix))
    found = at(dust, lon.deg, lat.deg)
    listed = np.isin(np.arange(grid.npix), keep)
    np.testing.assert_allclose(found.E_VI, np.where(listed, truth(lon.deg, lat.deg), 0.1), rtol=1e-6)
    outside = Flag.MEAN_REDDENING | Flag.OUTSIDE_REDDENING_MAP
    np.testing.assert_array_equal(found.flags, np.where(listed, 0, int(outside)))
    smooth = at(read(tmp_path / "map.fits", interpolation="bilinear"), lon.deg, lat.deg)
    np.testing.assert_array_equal(smooth.flags, found.flags)
    np.testing.assert_allclose(smooth.E_VI, found.E_VI, rtol=1e-6)
    # Off the centres only the neighbours that are listed count.
    ra, dec = lon.deg[keep] + 0.4, np.clip(lat.deg[keep] + 0.4, -90, 90)
    aside = at(read(tmp_path / "map.fits", interpolation="bilinear"), ra, dec)
    inside = aside.flags == 0
    assert inside.sum() > 1000
    np.testing.assert_allclose(aside.E_VI[inside], truth(ra, dec)[inside], atol=0.005)


def test_run_of_pixels_and_unseen(tmp_path):
    grid = HEALPix(NSIDE, order="ring")
    path = healpix_table(tmp_path / "map.fits", coordsys="C")
    with fits.open(path) as hdus:
        table = hdus[1].data[100:300].copy()
        table["EVI"][:2] = UNSEEN, np.nan
        head = hdus[1].header.copy()
    head["FIRSTPIX"], head["LASTPIX"] = 100, 299
    fits.BinTableHDU(table, head).writeto(path, overwrite=True)
    numbers = np.array([99, 100, 101, 102, 299, 300])
    lon, lat = grid.healpix_to_lonlat(numbers)
    found = at(read(path), lon.deg, lat.deg)
    outside, blank = Flag.MEAN_REDDENING | Flag.OUTSIDE_REDDENING_MAP, Flag.MEAN_REDDENING | Flag.BLANK_REDDENING
    assert list(found.flags) == [outside, blank, blank, 0, 0, outside]
    np.testing.assert_allclose(found.E_VI[3:5], truth(lon.deg, lat.deg)[3:5], rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"NSIDE": 31}, r"map.fits has 12288 pixels, .* but NSIDE = 31 has 11532"),
        ({"NSIDE": 48, "order": "NESTED"}, "has NSIDE = 48 .*ORDERING = NESTED it must be a power of 2"),
        ({"NSIDE": -4}, "has NSIDE = -4 .*it must be a whole number from 1 on"),
        ({"NSIDE": "many"}, "has NSIDE = many"),
        ({"ORDERING": "NUNIQ"}, "has ORDERING = NUNIQ in its header, where RING or NESTED is expected"),
        ({"INDXSCHM": "EXPLICIT"}, "has INDXSCHM = EXPLICIT but no column PIXEL; its columns are EVI, EVI_ERR"),
        ({"keep": np.array([3, 12288])}, "has 2 pixels, the last being 12288, but NSIDE = 32 has 12288"),
        ({"keep": np.arange(5), "drop": ("NSIDE",)}, "has NSIDE = None"),
    ],
)
def test_bad_headers_are_named(tmp_path, given, message):
    keep = given.get("keep")
    path = healpix_table(tmp_path / "map.fits", **{**given, "keep": None if keep is None else np.clip(keep, 0, 12287)})
    if keep is not None:
        with fits.open(path, mode="update") as hdus:
            hdus[1].data["PIXEL"] = keep
    with pytest.raises(InputFormatError, match=message):
        read(path)


def test_nside_of_the_whole_sky_follows_from_its_pixels(tmp_path, pixel_centres):
    ra, dec, expected = pixel_centres
    found = at(read(healpix_table(tmp_path / "map.fits", drop=("NSIDE",))), ra, dec)
    np.testing.assert_allclose(found.E_VI, expected, rtol=1e-6)


def test_fits_table_of_cells_and_one_of_several(tmp_path):
    names = ("RA", "DEC", "EBV", "EBV_ERROR")
    rows = (np.array([[80.0, -69.0, 0.1 * part, 0.01]]).T for part in (1, 2))
    tables = [
        fits.BinTableHDU.from_columns(
            [fits.Column(name=name, format="D", array=entry) for name, entry in zip(names, row, strict=True)], name=name
        )
        for row, name in zip(rows, ("MC", "MW"), strict=True)
    ]
    path = tmp_path / "mcmap.fits"
    fits.HDUList([fits.PrimaryHDU(), tables[0]]).writeto(path)
    found = at(read(path, quantity=None, E_VI_per_E_BV=1.3), [80.0], [-69.0])
    assert (found.E_VI[0], found.error[0]) == pytest.approx((0.13, 0.013))
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path, overwrite=True)
    with pytest.raises(InputFormatError, match=r"several maps \(1 MC, 2 MW\)"):
        read(path, quantity="E(B-V)", E_VI_per_E_BV=1.3)
    assert at(read(path, quantity="E(B-V)", E_VI_per_E_BV=1.3, hdu="MW"), [80.0], [-69.0]).E_VI[0] == pytest.approx(
        0.26
    )
