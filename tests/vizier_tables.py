"""What a TAP service holds in the tests, as columns of `tap_server`."""

from tap_server import Field

from cbminer.survey.vizier import VizierSettings

MORPHOLOGY = "J/ApJS/255/1/table2"
OGLE = "J/AcA/66/421/ecl"
STARS = ["OGLE-LMC-ECL-00001", "OGLE-BLG-ECL-000001", "OGLE-LMC-ECL-00002", "OGLE-SMC-ECL-00001", "OGLE-LMC-ELL-00007"]
C = [0.7, 0.2, None, 0.85, 0.99]
PERIODS = [0.9, 1.1, 2.5, 3.25, 40.0]


def make_settings(server, **more):
    quick = {"timeout": "5 s", "backoff": "0.01 s", "attempts": 2}
    return VizierSettings(**{"tap_url": server.url, "simbad_url": server.url, **quick, **more})


def morphology(star="Star", c="c", **about):
    return [
        Field("recno", "i4", list(range(1, 6))),
        Field(star, "str", list(STARS)),
        Field("Bad", "str", ["05 20 00.0"] * 5),
        Field("Per", "f8", list(PERIODS), unit="d", ucd="time.period"),
        Field(c, "f4", list(C), **about),
    ]


def ogle(**replaced):
    columns = {
        "star": Field("Star", "str", ["OGLE-LMC-ECL-00001", "OGLE-LMC-ECL-00002", "OGLE-SMC-ECL-00001"]),
        "type": Field("Type", "str", ["C", "NC", "C"]),
        "ra": Field("RAJ2000", "f8", [80.0, 80.125, 13.0], unit="deg", ucd="pos.eq.ra;meta.main"),
        "dec": Field("DEJ2000", "f8", [-69.5, -69.25, -72.75], unit="deg", ucd="pos.eq.dec;meta.main"),
        "I_mag": Field("Imag", "f4", [16.123, 17.456, 18.0], unit="mag"),
        "V_mag": Field("Vmag", "f4", [15.987, 17.5, 18.1], unit="mag"),
        "period": Field("Per", "f8", [0.9123456, 2.5, 1.0], unit="d"),
        "T0": Field("T0", "f8", [2457000.1234, 2457001.5, 2457002.0], unit="d"),
        "depth1": Field("DepI", "f4", [0.4, 0.3, 0.2], unit="mag"),
        "depth2": Field("DepII", "f4", [0.35, 0.0, 0.1], unit="mag"),
    }
    return [column for column in {**columns, **replaced}.values() if column is not None]
