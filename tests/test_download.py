"""Fetching from servers that fail in every way: the right bytes come, or an error that says what to do."""

import errno
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import (
    CONNECTION,
    FOREVER,
    Fault,
    FtpFault,
    FtpServer,
    HttpServer,
    changed,
    closed_port,
    etag_of,
    http_date,
)

from cbminer.errors import ArchiveError
from cbminer.monitor import TransferMonitor
from cbminer.survey import download, part
from cbminer.survey.download import WAYS_OUT, Fetcher, FetchSettings, Interrupted, Job, _Pace
from cbminer.survey.manifest import Manifest
from cbminer.survey.part import Part

SERVERS = {"http": HttpServer, "ftp": FtpServer}
NAME = "lmc/ecl/phot/I/OGLE-LMC-ECL-00001.dat"
OTHER = "lmc/ecl/phot/I/OGLE-LMC-ECL-00002.dat"


def noise(seed, size):
    return random.Random(seed).randbytes(size)  # noqa: S311 - it stands for light curves


DATA, NEW = noise(1, 300_000), noise(2, 300_000)
PAGE = b"<html><body>Please log in.</body></html>"
K = 100_000


def settings_of(**values):
    # Long enough for a busy machine: only tests of a stall wait for it.
    values = {"timeout": "20 s", "backoff": "0.5 s", **values}
    return FetchSettings.model_validate(values)


class Rig:
    """A server, a cache, and fetchers that note how long they would wait."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.incoming, self.root = folder / "incoming", folder / "files"
        self.target = self.root / NAME
        self.manifest = Manifest(folder / "manifest.sqlite")
        self.sleeps = []
        self.on_sleep = lambda: None
        self._open = ExitStack()

    def fetcher(self, url="", transport=None, **values):
        fetcher = Fetcher(
            url or self.server.url,
            self.incoming,
            manifest=self.manifest,
            settings=settings_of(**values),
            transport=transport,
        )
        fetcher._sleep = self._sleep
        return self._open.enter_context(fetcher)

    def _sleep(self, seconds, stop):
        self.sleeps.append(seconds)
        self.on_sleep()
        if stop.is_set():
            raise Interrupted

    def fetch(
        self, name=NAME, *, url="", transport=None, check=None, monitor=None, again=False, largest=None, **values
    ):
        """Fetch with a new fetcher, as a new process would."""
        fetcher = self.fetcher(url, transport, **values)
        return fetcher.fetch(name, self.root / name, check=check, monitor=monitor, again=again, largest=largest)

    def part(self, name=NAME):
        return self.incoming / f"{name}.part"

    def note(self, name=NAME):
        return self.incoming / f"{name}.part.json"

    def assert_came(self, data=DATA, name=NAME):
        """The file is there with the right bytes, the manifest vouches for it, and nothing else is left."""
        assert (self.root / name).read_bytes() == data
        entry = self.manifest.get(name)
        assert (entry.size, entry.sha256, entry.state) == (len(data), hashlib.sha256(data).hexdigest(), "file")
        assert entry.url == self.server.url + name
        assert abs(datetime.now(UTC) - datetime.fromisoformat(entry.fetched)) < timedelta(hours=1)
        assert self.left_over() == []
        return entry

    def assert_nothing_came(self, name=NAME):
        assert not (self.root / name).exists()
        assert self.manifest.get(name) is None

    def left_over(self):
        return [path for path in self.incoming.rglob("*") if path.is_file()]

    def close(self):
        self._open.close()
        self.manifest.close()


@pytest.fixture
def serve(tmp_path):
    """Start servers, each with a cache of its own."""
    with ExitStack() as stack:

        def start(kind, files=None, **options):
            server = stack.enter_context(SERVERS[kind]({NAME: DATA} if files is None else files, **options))
            rig = Rig(server, tmp_path / kind)
            stack.callback(rig.close)
            return rig

        yield start


@pytest.fixture
def http(serve):
    return serve("http")


@pytest.fixture
def ftp(serve):
    return serve("ftp")


@pytest.fixture(params=["http", "ftp"])
def rig(request, serve):
    return serve(request.param)


def no_page(path):
    return "sent a web page" if path.read_bytes()[:5] == b"<html" else ""


def breaking(rig, after, ending="close"):
    """A fault of the rig's kind that ends the data."""
    return Fault(after=after, ending=ending) if rig.server.scheme == "http" else FtpFault(after=after, ending=ending)


# What comes without any fault


def test_file_comes_whole_and_is_entered(rig):
    returned = rig.fetch()
    entry = rig.assert_came()
    assert returned == entry
    assert entry.modified == http_date(changed(DATA))
    assert entry.etag == (etag_of(DATA) if rig.server.scheme == "http" else "")
    assert rig.server.served == {NAME: len(DATA)}
    assert rig.sleeps == []


@pytest.mark.parametrize("data", [b"", b"x"])
def test_tiny_files_come(rig, data):
    rig.server.files[NAME] = data
    rig.fetch()
    rig.assert_came(data)


@pytest.mark.parametrize("name", ["a b/c%20d#e?f&g=h;i+j.dat", "Größe/µ ☉.dat", "~x/[y]/{z}'\"<>|.dat"])
def test_names_are_quoted(serve, rig, name):
    rig.server.files = {name: DATA}
    rig.fetch(name)
    assert (rig.root / name).read_bytes() == DATA
    assert rig.manifest.get(name).size == len(DATA)
    assert set(rig.server.requests) == {name}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "", "a\\b", "C:x", "a\nb", "a\r\nDELE b", "\x1b[2J"])
def test_names_that_lead_elsewhere_are_refused(rig, name):
    rig.server.files = {name: DATA}
    fetcher = rig.fetcher()
    with pytest.raises(ArchiveError, match="is no path in an archive"):
        fetcher.fetch(name, rig.target)
    with pytest.raises(ArchiveError, match="is no path in an archive"):
        fetcher.ask(name)
    assert rig.server.log == []


def test_file_that_is_there_is_not_asked_for(rig):
    first = rig.fetch()
    rig.server.forget()
    assert rig.fetch() == first
    assert rig.server.log == []


def test_file_under_the_name_that_the_manifest_does_not_vouch_for_is_replaced(rig):
    rig.target.parent.mkdir(parents=True)
    rig.target.write_bytes(b"half")
    rig.fetch()
    rig.assert_came()
    rig.target.write_bytes(DATA[:K])
    rig.fetch()
    rig.assert_came()


def test_fetching_again_replaces_only_by_a_whole_file(rig):
    rig.fetch()
    rig.server.files[NAME] = NEW
    rig.fetch(again=True)
    rig.assert_came(NEW)


def test_ask(rig):
    remote = rig.fetcher().ask(NAME)
    assert (remote.size, remote.modified) == (len(DATA), http_date(changed(DATA)))
    assert remote.ranges is (rig.server.scheme == "http")
    assert rig.fetcher().ask("nowhere.dat") is None
    assert rig.server.served == {}


def test_ask_without_head(http):
    http.server.fail(NAME, Fault(("HEAD",), status=405))
    assert http.fetcher().ask(NAME).size == len(DATA)
    assert [what for what, _, _ in http.server.log] == ["HEAD", "GET"]


def test_user_agent_names_the_package(rig):
    rig.fetcher().ask(NAME)
    rig.fetch()
    assert len(rig.server.agents) == 1
    assert re.match(r"cbminer(/\d|@)", rig.server.agents.pop())


def test_password_is_used_but_neither_shown_nor_stored(rig):
    address = rig.server.url.replace("://", "://me:secret%21@")
    entry = rig.fetch(url=address)
    assert entry.url == rig.server.url + NAME == rig.fetcher(address).url(NAME)
    rig.server.files[OTHER] = NEW
    rig.server.fail(OTHER, Fault(status=403), FtpFault(reply="553 No."))
    with pytest.raises(ArchiveError) as error:
        rig.fetch(OTHER, url=address)
    assert "secret" not in str(error.value)
    if rig.server.scheme == "ftp":
        assert rig.server.agents == {"secret!"}
    else:
        assert all("Authorization" in headers for _, _, headers in rig.server.log)


def test_address_without_a_slash(rig):
    rig.fetch(url=rig.server.url.rstrip("/"))
    rig.assert_came()


def test_ftp_over_ipv6(serve):
    try:
        rig = serve("ftp", host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    rig.server.fail(NAME, FtpFault(after=K))
    rig.fetch()
    rig.assert_came()
    assert any(what == "EPSV" for what, _, _ in rig.server.log)


# Faults that another try mends: (faults, bytes that are served in all, requests), None where chance has a say

SECOND = len(DATA) - K
HTTP_MENDED = {
    "reset before the answer": ([Fault(ending="reset")], len(DATA), 2),
    "reset before the first byte": ([Fault(ending="reset", after=0)], len(DATA), 2),
    "closed before the answer": ([Fault(ending="close")], len(DATA), 2),
    "truncated": ([Fault(ending="close", after=K)], len(DATA), 2),
    "truncated twice": ([Fault(ending="close", after=K)] * 2, len(DATA), 3),
    "truncated before the last byte": ([Fault(ending="close", after=len(DATA) - 1)], len(DATA), 2),
    "truncated without a length": ([Fault(ending="close", after=K, chunked=True)], len(DATA), 2),
    "no length": ([Fault(chunked=True)], len(DATA), None),
    "length too large": ([Fault(headers={"Content-Length": str(len(DATA) + 9)})], 2 * len(DATA), 3),
    "length too small": ([Fault(headers={"Content-Length": str(K)})], None, None),
    "503": ([Fault(status=503)], len(DATA), 2),
    "503 and seconds to wait": ([Fault(status=503, headers={"Retry-After": "3"})], len(DATA), 2),
    "429": ([Fault(status=429)], len(DATA), 2),
    "other statuses": ([Fault(status=status) for status in (408, 500, 502, 504)], len(DATA), 5),
    "redirect on the host": ([Fault(status=302, headers={"Location": f"/{NAME}"})], len(DATA), 2),
    "truncated, then no ranges": ([Fault(ending="close", after=K), Fault(ranges=False)], len(DATA) + K, None),
    "truncated, then the wrong part": (
        [Fault(ending="close", after=K), Fault(shift=5, ending="close", after=0)],
        len(DATA) + K,
        3,
    ),
    "truncated, then a part of nothing": (
        [Fault(ending="close", after=K), Fault(headers={"Content-Range": None}, ending="close", after=0)],
        len(DATA) + K,
        3,
    ),
    "truncated, then no such part": ([Fault(ending="close", after=K), Fault(status=416)], len(DATA) + K, 3),
    "a page": ([Fault(body=PAGE)], len(DATA) + len(PAGE), None),
    "no validators": (
        [Fault(ending="close", after=K, headers={"ETag": None, "Last-Modified": None})],
        len(DATA) + K,
        2,
    ),
    "only a weak tag": (
        [Fault(ending="close", after=K, headers={"ETag": 'W/"1"', "Last-Modified": None})],
        len(DATA) + K,
        2,
    ),
    "only a time": ([Fault(ending="close", after=K, headers={"ETag": None})], len(DATA), 2),
    "a weak tag and a time": ([Fault(ending="close", after=K, headers={"ETag": f"W/{etag_of(DATA)}"})], len(DATA), 2),
}
FTP_MENDED = {
    "reset before the first byte": ([FtpFault(ending="reset")], len(DATA), 2),
    "closed after some bytes": ([FtpFault(after=K, ending="close", last="")], len(DATA), 2),
    "426": ([FtpFault(after=K, ending="close", last="426 Transfer aborted.")], len(DATA), 2),
    "426 after the last byte": ([FtpFault(last="426 Transfer aborted.")], len(DATA) + 1, 2),
    "truncated in good order": ([FtpFault(after=K, ending="close")], len(DATA), 2),
    "421": ([FtpFault(reply="421 Shutting down.")], len(DATA), 2),
    "450": ([FtpFault(reply="450 File busy.")], len(DATA), 2),
    "no REST": ([FtpFault(after=K, ending="close"), FtpFault("REST", "502 Not known here.")], len(DATA) + K, 2),
    "REST without effect": ([FtpFault(after=K, ending="close"), FtpFault("REST", deaf=True)], 2 * len(DATA) + K, 3),
    "no SIZE": ([FtpFault(after=K, ending="close", last=""), *[FtpFault("SIZE", "500 What?")] * 2], len(DATA) + K, 2),
    "no MDTM": ([FtpFault(after=K, ending="close"), *[FtpFault("MDTM", "500 What?")] * 2], len(DATA) + K, 2),
    "SIZE that says nothing": ([FtpFault("SIZE", "213")], len(DATA), 1),
    "MDTM that says nothing": ([FtpFault("MDTM", "213 yesterday")], len(DATA), 1),
}


@pytest.mark.parametrize(("faults", "served", "requests"), HTTP_MENDED.values(), ids=HTTP_MENDED)
def test_http_fault_that_another_try_mends(http, faults, served, requests):
    http.server.fail(NAME, *faults)
    http.fetch(check=no_page)
    entry = http.assert_came()
    assert (entry.etag, entry.modified) == (etag_of(DATA), http_date(changed(DATA)))
    if served is not None:
        assert http.server.served[NAME] == served
    if requests is not None:
        assert http.server.requests[NAME] == requests + 1  # the last one asks whether the file goes on


@pytest.mark.parametrize(("faults", "served", "requests"), FTP_MENDED.values(), ids=FTP_MENDED)
def test_ftp_fault_that_another_try_mends(ftp, faults, served, requests):
    for fault in faults:
        ftp.server.fail(CONNECTION if fault.command == "REST" else NAME, fault)
    ftp.fetch(check=no_page)
    ftp.assert_came()
    assert (ftp.server.served[NAME], ftp.server.requests[NAME]) == (served, requests)


@pytest.mark.parametrize("after", [None, 0, K])
def test_http_stall(http, after):
    http.server.fail(NAME, Fault(ending="stall", after=after))
    http.fetch(timeout="0.2 s")
    http.assert_came()
    assert len(http.sleeps) >= 1
    assert http.server.served[NAME] >= len(DATA)


@pytest.mark.parametrize("fault", [FtpFault("CONNECT", ending="stall"), FtpFault("PASS", ending="stall")])
def test_ftp_stall_at_the_door(ftp, fault):
    ftp.server.fail(CONNECTION, fault)
    ftp.fetch(timeout="0.2 s")
    ftp.assert_came()
    assert len(ftp.sleeps) >= 1


@pytest.mark.parametrize("after", [0, K])
def test_ftp_stall_in_the_data(ftp, after):
    ftp.server.fail(NAME, FtpFault(ending="stall", after=after))
    ftp.fetch(timeout="0.2 s")
    ftp.assert_came()
    assert len(ftp.sleeps) >= 1


@pytest.mark.parametrize("reply", ["421 Too many users.", "430 Not now."])
def test_ftp_server_that_is_busy_at_the_door(ftp, reply):
    ftp.server.fail(CONNECTION, FtpFault("CONNECT", reply))
    ftp.fetch()
    ftp.assert_came()
    assert len(ftp.sleeps) == 1


def test_banner_that_is_no_unicode(ftp):
    ftp.server.fail(CONNECTION, FtpFault("CONNECT", "220 Gr\xfc\xdfe"))
    ftp.fetch()
    ftp.assert_came()


def test_reset_in_the_data(rig):
    rig.server.fail(NAME, breaking(rig, K, "reset"))
    rig.fetch()
    rig.assert_came()
    # A reset may overtake bytes that were sent.
    assert len(DATA) <= rig.server.served[NAME] <= len(DATA) + K


def test_server_that_comes_back(rig):
    rig.server.close_port()

    def come_back():
        if len(rig.sleeps) == 2:
            rig.server.open_port()

    rig.on_sleep = come_back
    rig.fetch()
    rig.assert_came()
    assert len(rig.sleeps) == 2


def test_redirects_are_followed_with_the_range(http):
    http.server.files = {"real.dat": DATA}
    http.server.fail(NAME, Fault(status=301, headers={"Location": "/real.dat"}), times=FOREVER)
    http.server.fail("real.dat", Fault(ending="close", after=K))
    http.fetch()
    http.assert_came()
    assert http.server.served == {"real.dat": len(DATA)}


def test_gz_file_that_the_server_calls_packed_is_taken_as_it_is(http):
    name, data = "lmc/ecl/phot.tar.gz", b"\x1f\x8b" + DATA
    http.server.files[name] = data
    http.server.fail(name, Fault(headers={"Content-Encoding": "gzip"}, ending="close", after=K))
    http.fetch(name)
    http.assert_came(data, name)


# Faults that stay: (fault, what the error says, requests or None)

HTTP_STAYING = {
    "reset": (Fault(ending="reset"), "broke off the connection (", 3),
    "truncated at once": (Fault(ending="close", after=0), "broke off the connection (", 3),
    "stall": (Fault(ending="stall"), "did not answer in time", 3),
    "length too large": (
        Fault(headers={"Content-Length": str(len(NEW) + 9)}),
        "broke off the connection (",
        None,
    ),
    "length too small": (
        Fault(headers={"Content-Length": str(K)}),
        f"announced {K} bytes of a longer file. Try again later.",
        None,
    ),
    "503": (Fault(status=503), "answered 503 Service Unavailable. Try again later; what has come is kept.", 3),
    "503 for seconds": (
        Fault(status=503, headers={"Retry-After": "7"}),
        "answered 503 Service Unavailable. Try again in 7 s; what has come is kept.",
        3,
    ),
    "503 for longer than anybody waits": (
        Fault(status=503, headers={"Retry-After": "3600"}),
        "answered 503 Service Unavailable. Try again in 3600 s; what has come is kept.",
        1,
    ),
    "429": (Fault(status=429), "answered 429 Too Many Requests. Try again later; what has come is kept.", 3),
    "403": (Fault(status=403), "answered 403 Forbidden. ", 1),
    "401": (Fault(status=401), "answered 401 Unauthorized. ", 1),
    "204": (Fault(status=204), "answered 204 No Content and sent no file. ", 1),
    "304": (Fault(status=304), "answered 304 Not Modified. ", 1),
    "redirect in a circle": (
        Fault(status=302, headers={"Location": f"/{NAME}"}),
        "redirects in a circle (5 redirects, the last to http://127.0.0.1:",
        6,
    ),
    "redirect to another host": (
        Fault(status=302, headers={"Location": "http://localhost:1/x.dat"}),
        "redirects to another host (http://localhost:1/x.dat); if you trust it, name it with --archive. ",
        1,
    ),
    "redirect to another protocol": (
        Fault(status=302, headers={"Location": "file:///etc/passwd"}),
        "redirects to another host (file:",
        1,
    ),
    "redirect to nonsense": (
        Fault(status=302, headers={"Location": "http://127.0.0.1:port/"}),
        "sent no proper answer (Invalid URL in location header: Invalid port: 'port')",
        3,
    ),
    "redirect to nowhere": (Fault(status=302), "answered 302 Found. ", 1),
    "packed on the way": (
        Fault(headers={"Content-Encoding": "gzip"}),
        "sent the file packed with gzip although it was asked not to. ",
        1,
    ),
    "a part that nobody asked for": (
        Fault(status=206, body=NEW[5:], headers={"Content-Range": f"bytes 5-{len(NEW) - 1}/{len(NEW)}"}),
        "sent another part of the file than it was asked for. ",
        3,
    ),
    "a page": (Fault(body=PAGE), "sent a web page. Try again later. ", None),
    "numbers that are none": (
        Fault(status=503, headers={"Retry-After": "\xb2"}),
        "answered 503 Service Unavailable. Try again later",
        3,
    ),
    "number beyond measure": (
        Fault(status=206, body=NEW, headers={"Content-Range": f"bytes 0-9/{'9' * 5000}"}),
        "sent another part of the file than it was asked for. ",
        3,
    ),
}
FTP_STAYING = {
    "reset": (NAME, FtpFault(ending="reset"), "broke off the connection (", 3),
    "hangs up": (NAME, FtpFault(ending="close", last=""), "broke off the connection (EOFError). ", 3),
    "truncated at once": (NAME, FtpFault(ending="close"), f"ended after 0 of {len(NEW)} bytes. Try again later", 3),
    "stall": (NAME, FtpFault(ending="stall"), "did not answer in time. Try again later", 3),
    "stall at the door": (CONNECTION, FtpFault("CONNECT", ending="stall"), "did not answer in time. Try again", 0),
    "421 at the door": (CONNECTION, FtpFault("CONNECT", "421 Too many users."), "answered 421 Too many users. Try", 0),
    "530": (CONNECTION, FtpFault("PASS", "530 Login incorrect."), "answered 530 Login incorrect.", 0),
    "426": (NAME, FtpFault(ending="close", last="426 Aborted."), "answered 426 Aborted. Try again later; what", 3),
    "550 for want of rights": (NAME, FtpFault(reply="550 Permission denied."), "answered 550 Permission denied.", 1),
    "no passive mode": (CONNECTION, FtpFault("PASV", "502 No."), "answered 502 No.", 0),
    "escape sequences": (NAME, FtpFault(reply="553 \x1b[2JNo\x07\x9b."), "answered 553 [2JNo.", 1),
}


def assert_old_state_is_kept(rig, fetch):
    """An error leaves the file that was there and its entry as they were. Returns the error's text."""
    rig.fetch()
    before = rig.manifest.get(NAME)
    rig.server.files[NAME] = NEW
    rig.server.forget()
    rig.sleeps.clear()
    with pytest.raises(ArchiveError) as error:
        fetch()
    assert rig.target.read_bytes() == DATA
    assert rig.manifest.get(NAME) == before
    assert [path for path in rig.root.rglob("*") if path.is_file()] == [rig.target]
    text = str(error.value)
    assert text.startswith(f"{NAME} cannot be fetched: {rig.server.url} ")
    assert text.endswith(f". {WAYS_OUT}")
    assert len(text.splitlines()) == 1
    return text


def first_timeout(fault):
    return "0.15 s" if fault.ending == "stall" else "20 s"


@pytest.mark.parametrize(("fault", "says", "requests"), HTTP_STAYING.values(), ids=HTTP_STAYING)
def test_http_fault_that_stays(http, fault, says, requests):
    def fetch():
        http.server.fail(NAME, fault, times=FOREVER)
        http.fetch(again=True, check=no_page, attempts=3, timeout=first_timeout(fault))

    assert f"{http.server.url} {says}" in assert_old_state_is_kept(http, fetch)
    if requests is not None:
        assert http.server.requests[NAME] == requests
    # As soon as the server is mended, the file comes.
    http.server.recover(NAME)
    http.fetch(again=True, check=no_page)
    http.assert_came(NEW)


@pytest.mark.parametrize(("name", "fault", "says", "requests"), FTP_STAYING.values(), ids=FTP_STAYING)
def test_ftp_fault_that_stays(ftp, name, fault, says, requests):
    def fetch():
        ftp.server.fail(name, fault, times=FOREVER)
        ftp.fetch(again=True, attempts=3, timeout=first_timeout(fault))

    assert f"{ftp.server.url} {says}" in assert_old_state_is_kept(ftp, fetch)
    assert ftp.server.requests[NAME] == requests
    ftp.server.recover(name)
    ftp.fetch(again=True)
    ftp.assert_came(NEW)


def test_connection_refused(rig):
    url = f"{rig.server.scheme}://127.0.0.1:{closed_port()}/"
    with pytest.raises(ArchiveError) as error:
        rig.fetch(url=url, attempts=3)
    assert str(error.value).startswith(f"{NAME} cannot be fetched: {url} cannot be reached (")
    assert "Connection refused" in str(error.value)
    assert len(rig.sleeps) == 2
    rig.assert_nothing_came()


def test_server_that_never_sends_more_than_a_part(http):
    """Progress up to a point is no progress for ever."""
    http.server.fail(NAME, Fault(ranges=False, ending="close", after=K), times=FOREVER)
    with pytest.raises(ArchiveError, match=r"broke off the connection"):
        http.fetch(attempts=4)
    # The first brought new bytes, the others did not.
    assert http.server.requests[NAME] == 5
    http.assert_nothing_came()


def test_file_of_unknown_size_is_not_continued_over_ftp(ftp):
    """Without SIZE nobody would notice bytes from the wrong place."""
    ftp.server.fail(NAME, FtpFault(after=K, ending="close", last=""))
    ftp.server.fail(CONNECTION, FtpFault("REST", deaf=True))
    ftp.server.fail(NAME, FtpFault("SIZE", "500 What?"), times=FOREVER)
    ftp.fetch()
    ftp.assert_came()


@pytest.mark.parametrize("status", [400, 401, 402, 403, 405, 406, 409, 418, 451])
def test_refusals_are_asked_for_once(http, status):
    http.server.fail(NAME, Fault(status=status), times=FOREVER)
    with pytest.raises(ArchiveError, match=f"answered {status}"):
        http.fetch()
    assert http.server.requests[NAME] == 1
    assert http.sleeps == []
    http.assert_nothing_came()


@pytest.mark.parametrize("status", [404, 410])
def test_absent_file_is_entered_as_absent(http, status):
    http.server.fail(NAME, Fault(status=status), times=FOREVER)
    assert http.fetch() is None
    assert http.manifest.get(NAME).state == "absent"
    assert http.server.requests[NAME] == 1
    assert not http.target.exists()
    http.server.recover(NAME)
    http.fetch()
    http.assert_came()


def test_absent_file_over_ftp(ftp):
    ftp.server.files = {}
    assert ftp.fetch() is None
    assert (ftp.manifest.get(NAME).state, ftp.server.log.count(("RETR", NAME, NAME))) == ("absent", 0)
    assert ftp.left_over() == []


def test_file_that_vanished_after_half_of_it_came(rig):
    rig.server.fail(NAME, breaking(rig, K))
    received = []
    rig.on_sleep = rig.server.files.clear
    assert rig.fetch(monitor=TransferMonitor(received.append)) is None
    assert rig.manifest.get(NAME).state == "absent"
    assert rig.left_over() == []
    assert sum(received) == 0


def test_file_that_vanished_leaves_the_one_that_came_before(rig):
    rig.fetch()
    rig.server.files = {}
    assert rig.fetch(again=True) is None
    rig.assert_came()


# Going on where an earlier transfer ended


def stop_after(rig, size):
    """Leave what a process leaves whose server went away for good after some bytes."""
    rig.server.fail(NAME, breaking(rig, size))
    down = Fault(status=503) if rig.server.scheme == "http" else FtpFault(reply="421 Down.")
    rig.server.fail(NAME, down, times=FOREVER)
    with pytest.raises(ArchiveError, match="what has come is kept"):
        rig.fetch(attempts=1)
    rig.server.recover(NAME)
    rig.server.forget()
    rig.assert_nothing_came()
    assert rig.part().stat().st_size == size


def test_another_process_fetches_only_what_is_missing(rig):
    stop_after(rig, K)
    received = []
    rig.fetch(monitor=TransferMonitor(received.append))
    rig.assert_came()
    assert rig.server.served[NAME] == len(DATA) - K
    assert received[0] == K
    assert sum(received) == len(DATA)


def test_part_that_is_whole_costs_one_byte(rig):
    stop_after(rig, len(DATA) - 1)
    # As if the process had been killed before it entered the file into the manifest.
    with rig.part().open("ab") as stream:
        stream.write(DATA[-1:])
    note = json.loads(rig.note().read_text())
    note["size"] += 1
    note["sha256"] = hashlib.sha256(DATA).hexdigest()
    rig.note().write_text(json.dumps(note))
    rig.fetch()
    rig.assert_came()
    assert rig.server.served[NAME] == 1


def test_part_that_is_whole_of_a_changed_file_of_the_same_size(rig):
    stop_after(rig, len(DATA) - 1)
    rig.server.files[NAME] = NEW
    rig.fetch()
    rig.assert_came(NEW)


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("headers", [{}, {"ETag": None}, {"Last-Modified": None}])
@pytest.mark.parametrize("new", [NEW, NEW[: K // 2], NEW + NEW], ids=["same size", "shorter", "longer"])
def test_file_that_changed_between_two_parts(http, if_range, headers, new):
    http.server.fail(NAME, Fault(ending="close", after=K, headers=headers))
    http.server.fail(NAME, Fault(if_range=if_range, headers=headers), times=FOREVER)
    received = []
    http.on_sleep = lambda: http.server.files.update({NAME: new})
    http.fetch(monitor=TransferMonitor(received.append))
    http.assert_came(new)
    assert sum(received) == len(new)


def test_part_that_does_not_say_what_it_is_a_part_of(http):
    """Neither the tag nor the time is repeated: nothing tells that the file is still the same."""
    http.server.fail(NAME, Fault(ending="close", after=K))
    http.server.fail(NAME, Fault(if_range=False, headers={"ETag": None, "Last-Modified": None}))
    http.on_sleep = lambda: http.server.files.update({NAME: NEW})
    http.fetch()
    http.assert_came(NEW)


@pytest.mark.parametrize("new", [NEW, NEW[: K // 2], NEW + NEW], ids=["same size", "shorter", "longer"])
def test_file_that_changed_over_ftp(ftp, new):
    ftp.server.fail(NAME, FtpFault(after=K, ending="close"))
    ftp.on_sleep = lambda: ftp.server.files.update({NAME: new})
    ftp.fetch()
    ftp.assert_came(new)
    assert ftp.server.served[NAME] == K + len(new)


def cut_part(rig):
    os.truncate(rig.part(), K // 2)


def lengthen_part(rig):
    with rig.part().open("ab") as stream:
        stream.write(b"rubbish")


def rot_part(rig):
    with rig.part().open("r+b") as stream:
        stream.seek(K // 2)
        stream.write(b"\0\0\0\0")


def edit_note(*, remote=None, **changes):
    def edit(rig):
        note = json.loads(rig.note().read_text())
        note["remote"].update(remote or {})
        rig.note().write_text(json.dumps({**note, **changes}))

    return edit


DAMAGES = {
    "part cut": (cut_part, False),
    "part longer": (lengthen_part, True),
    "part rotten": (rot_part, False),
    "part gone": (lambda rig: rig.part().unlink(), False),
    "part is a folder": (lambda rig: (rig.part().unlink(), rig.part().mkdir()), None),
    "note gone": (lambda rig: rig.note().unlink(), False),
    "note cut": (lambda rig: os.truncate(rig.note(), 20), False),
    "note empty": (lambda rig: os.truncate(rig.note(), 0), False),
    "note is a list": (lambda rig: rig.note().write_text("[1, 2]"), False),
    "note is no text": (lambda rig: rig.note().write_bytes(b"\xff\xfe\x00"), False),
    "note of another version": (lambda rig: rig.note().write_text('{"size": 5, "remote": {"colour": "red"}}'), False),
    "size too small": (edit_note(size=K // 2), False),
    "size too large": (edit_note(size=K + 1), False),
    "size negative": (edit_note(size=-1), False),
    "size is a word": (edit_note(size="many"), False),
    "size infinite": (edit_note(size=float("inf")), False),
    "size is true": (edit_note(size=True), False),
    "announced size is a word": (edit_note(remote={"size": "many"}), False),
    "tag is a number": (edit_note(remote={"etag": 5}), False),
    "tag of another file": (edit_note(remote={"etag": '"other"', "modified": ""}), False),
    "hash of something else": (edit_note(sha256="0" * 64), False),
}


@pytest.mark.parametrize(("damage", "is_kept"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_part_or_note(http, damage, is_kept):
    stop_after(http, K)
    damage(http)
    if is_kept is None:
        with pytest.raises(ArchiveError, match=r"cannot be written \(Is a directory\)"):
            http.fetch()
        return
    http.fetch()
    http.assert_came()
    assert http.server.served[NAME] == (len(DATA) - K if is_kept else len(DATA))


def test_large_file_is_noted_on_the_way(http, monkeypatch):
    """A process that is killed leaves most of what came."""
    notes = []
    settle = Part.settle

    def noting(self):
        settle(self)
        notes.append(json.loads(http.note().read_text())["size"])

    monkeypatch.setattr(Part, "settle", noting)
    http.server.files[NAME] = data = noise(3, 5_000_000)
    http.fetch()
    http.assert_came(data)
    assert all(after - before < 1.2 * (1 << 20) for before, after in pairwise([0, *notes]))
    assert notes[-1] == len(data)


# The end of a transfer


class Killed(BaseException):
    """Stands for the end of the process."""


def test_file_that_was_received_but_not_renamed_is_finished_without_the_server(rig, monkeypatch):
    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Part, "move_to", die)
        with pytest.raises(Killed):
            rig.fetch()
    assert not rig.target.exists()
    rig.server.forget()
    rig.fetch()
    rig.assert_came()
    assert rig.server.log == []


def test_new_version_that_was_received_but_not_renamed_replaces_the_old_one(rig, monkeypatch):
    rig.fetch()
    rig.server.files[NAME] = NEW

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Part, "move_to", die)
        with pytest.raises(Killed):
            rig.fetch(again=True)
    assert rig.target.read_bytes() == DATA
    rig.server.forget()
    rig.fetch()
    rig.assert_came(NEW)
    assert rig.server.log == []


KILL = """
import hashlib, os, sys
from pathlib import Path
import httpx
from cbminer.survey import download, manifest, part
from cbminer.survey.download import Fetcher, FetchSettings
from cbminer.survey.manifest import Entry, Manifest

url, name, digest, root, again, stride = *sys.argv[1:4], Path(sys.argv[4]), *map(int, sys.argv[5:])
files = {module.__file__ for module in (download, manifest, part)}
settings = FetchSettings.model_validate({"backoff": "0.001 s"})
# One for all children: making it takes longer than all the rest.
transport = httpx.HTTPTransport(verify=False)

def hash_of(data):
    return hashlib.sha256(data).hexdigest()

def prepare(folder):
    if again:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"old")
        with Manifest(folder / "manifest.sqlite") as kept:
            kept.put(Entry(name, url, 3, hash_of(b"old")))

def fetch(folder, again):
    with Manifest(folder / "manifest.sqlite") as kept:
        fetcher = Fetcher(url, folder / "incoming", manifest=kept, settings=settings, transport=transport)
        fetcher.fetch(name, folder / name, again=bool(again))
        return kept.get(name).sha256

def killed(folder, line):
    left = line
    def trace(frame, event, _argument):
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        left -= event == "line"
        if left <= 0:
            os._exit(9)
        return trace
    sys.settrace(trace)
    fetch(folder, again)

def mended(folder):
    # What is there is what the manifest says, whether it is the old or the new file.
    assert fetch(folder, 0) == hash_of((folder / name).read_bytes())
    assert again or hash_of((folder / name).read_bytes()) == digest
    assert fetch(folder, again) == hash_of((folder / name).read_bytes()) == digest
    assert [path for path in (folder / "incoming").rglob("*") if path.is_file()] == []

def run(task, *arguments):
    child = os.fork()
    if not child:
        try:
            task(*arguments)
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

line, ended = 1, 9
while ended == 9:
    folder = root / str(line)
    folder.mkdir()
    assert run(prepare, folder) == 0
    ended = run(killed, folder, line)
    target = folder / name
    assert not target.exists() or hash_of(target.read_bytes()) in {digest, hash_of(b"old")}, line
    assert run(mended, folder) == 0, f"killed at line {line}"
    line += stride
assert ended == 0, ended
print(line)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("again", [False, True])
def test_process_that_is_killed_at_any_line(http, tmp_path, again):
    """What it leaves is never half a file, and the next process finishes it."""
    digest = hashlib.sha256(DATA).hexdigest()
    # The file comes in three pieces, so that going on is among what is killed.
    http.server.fail(NAME, Fault(ending="close", after=K), times=FOREVER)
    folder = tmp_path / "killed"
    folder.mkdir()
    # All lines take a minute; the tests take some of them.
    stride = os.environ.get("CBMINER_KILL_STRIDE", "23")
    command = [sys.executable, "-c", KILL, http.server.url, NAME, digest, str(folder), str(int(again)), stride]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


# Disks


def full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


FULL = r"the disk of .*incoming.* is full: free some space, or choose another folder with --cache"


def fail_late(monkeypatch, owner, name, *, after, error=errno.ENOSPC):
    """Let a function fail once it was called some times."""
    right, calls = getattr(owner, name), []

    def failing(*args, **kwargs):
        calls.append(args)
        if len(calls) > after:
            raise OSError(error, os.strerror(error))
        return right(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)


class FullStream:
    """A file on a disk that is full after some bytes."""

    def __init__(self, stream, room):
        self._stream, self._room = stream, room

    def write(self, data):
        if self._stream.tell() + len(data) > self._room:
            full()
        return self._stream.write(data)

    def __getattr__(self, name):
        return getattr(self._stream, name)


def test_disk_that_is_full_at_a_write(http, monkeypatch):
    begin = Part.begin

    def begin_on_full_disk(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        self._stream = FullStream(self._stream, K)

    with monkeypatch.context() as patch:
        patch.setattr(Part, "begin", begin_on_full_disk)
        with pytest.raises(ArchiveError, match=FULL) as error:
            http.fetch()
    assert "what has come so far is kept" in str(error.value)
    http.assert_nothing_came()
    have = Part(http.part()).size
    assert 0 < have <= K
    http.server.forget()
    http.fetch()
    http.assert_came()
    assert http.server.served[NAME] == len(DATA) - have
    assert http.sleeps == []


def test_disk_that_is_full_at_the_last_sync(http, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ArchiveError, match=FULL):
            http.fetch()
    http.assert_nothing_came()
    assert http.server.requests[NAME] == 1
    http.fetch()
    http.assert_came()


def test_disk_that_is_full_at_a_later_sync(http, monkeypatch):
    http.server.files[NAME] = data = noise(4, 3_500_000)
    with monkeypatch.context() as patch:
        fail_late(patch, os, "fsync", after=2)
        with pytest.raises(ArchiveError, match=FULL):
            http.fetch()
    http.assert_nothing_came()
    have = Part(http.part()).size
    assert have >= 2 << 20
    http.server.forget()
    http.fetch()
    http.assert_came(data)
    assert http.server.served[NAME] == len(data) - have


def test_disk_without_room_for_what_is_announced(rig, monkeypatch):
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage(rig.folder)
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=len(DATA) - 1))
        with pytest.raises(ArchiveError, match=FULL):
            rig.fetch()
        rig.assert_nothing_came()
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=len(DATA)))
        rig.fetch()
    rig.assert_came()


def test_disk_that_is_full_when_the_file_gets_its_name(http, monkeypatch):
    replace = Path.replace

    def no_room(self, target):
        return full() if Path(target) == http.target else replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", no_room)
        with pytest.raises(ArchiveError, match="is full: free some space"):
            http.fetch()
    assert not http.target.exists()
    http.server.forget()
    http.fetch()
    http.assert_came()
    assert http.server.log == []


def test_folder_that_cannot_be_written(rig):
    rig.incoming.write_text("a file where a folder should be")
    with pytest.raises(ArchiveError) as error:
        rig.fetch()
    assert re.search(r"incoming.* cannot be written \((File exists|Not a directory)\)", str(error.value))
    assert str(error.value).endswith("choose another folder with --cache")
    rig.assert_nothing_came()


def test_folder_without_rights(http, monkeypatch, tmp_path):
    """Also where the tests run as root, who may write everywhere."""
    opened = Path.open

    def refused(path, *args, **kwargs):
        if path.is_relative_to(tmp_path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(ArchiveError, match=r"cannot be written \(Permission denied\): choose another folder with --c"):
        http.fetch()


def test_manifest_that_cannot_be_written(http):
    """The file does not get its name before the manifest vouches for it."""
    http.manifest._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(ArchiveError, match=r"manifest.sqlite cannot be used \(attempt to write a readonly database\)"):
        http.fetch()
    assert not http.target.exists()
    http.manifest._connection.execute("PRAGMA query_only = OFF")
    http.server.forget()
    http.fetch()
    http.assert_came()
    assert http.server.served[NAME] == 1


def test_tiny_file_costs_two_syncs(http, monkeypatch):
    """One of the file and one of its folder, beside those of the manifest."""
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(part.os, "fsync", lambda handle: (synced.append(handle), fsync(handle)))
    http.fetch()
    assert len(synced) == 2


# Waiting


def test_waits_double_with_jitter_up_to_the_longest(http):
    http.server.fail(NAME, Fault(status=503), times=FOREVER)
    fetcher = http.fetcher(attempts=12, backoff="0.5 s", longest_wait="20 s")
    with pytest.raises(ArchiveError, match="answered 503"):
        fetcher.fetch(NAME, http.target)
    assert http.server.requests[NAME] == 12
    assert len(http.sleeps) == 11
    for step, seconds in enumerate(http.sleeps):
        doubled = 0.5 * 2.0**step
        assert min(20.0, 0.75 * doubled) <= seconds <= min(20.0, 1.25 * doubled)
    # No two are a power of two apart: there is jitter.
    assert len({seconds / 2.0**step for step, seconds in enumerate(http.sleeps)}) > 5


def test_wait_that_the_server_asks_for_is_heeded(http):
    date = http_date(datetime.now(UTC) + timedelta(seconds=100))
    past = http_date(datetime.now(UTC) - timedelta(seconds=100))
    waits = ["7", date, past, "soon", ""]
    http.server.fail(NAME, *[Fault(status=503, headers={"Retry-After": wait}) for wait in waits])
    http.fetch(attempts=9, backoff="0.001 s")
    http.assert_came()
    assert http.sleeps[0] == 7.0
    assert 50.0 < http.sleeps[1] <= 100.0
    assert all(seconds < 1.0 for seconds in http.sleeps[2:])
    assert len(http.sleeps) == 5


def test_longer_wait_than_the_longest_ends_at_once(http):
    http.server.fail(NAME, Fault(after=K, ending="close"), Fault(status=429, headers={"Retry-After": "121"}))
    with pytest.raises(ArchiveError, match=r"429 Too Many Requests. Try again in 121 s; what has come is kept"):
        http.fetch(longest_wait="120 s")
    assert http.server.requests[NAME] == 2
    assert Part(http.part()).size == K


def test_only_tries_without_a_new_byte_count(rig):
    """Twenty interruptions do no harm as long as bytes come."""
    step = len(DATA) // 20
    rig.server.fail(NAME, breaking(rig, step), times=19)
    rig.fetch(attempts=1)
    rig.assert_came()
    assert rig.server.served[NAME] == len(DATA)
    # The wait does not grow either.
    assert max(rig.sleeps) <= 0.5 * 1.25


def test_tries_without_a_new_byte_count_anew_after_one(http):
    nothing, something = Fault(status=503), Fault(after=K, ending="close")
    http.server.fail(NAME, nothing, nothing, something, nothing, nothing, something)
    http.fetch(attempts=3)
    http.assert_came()


def test_answers_do_not_really_wait(http):
    """The waits of the other tests are noted; these are waited for."""
    fetcher = http.fetcher(backoff="0.001 s")
    del fetcher._sleep
    http.server.fail(NAME, Fault(status=503), Fault(after=K, ending="close"))
    fetcher.fetch(NAME, http.target)
    http.assert_came()


def pace_of(interval, *, late=()):
    """Run a pace on a clock that its own waits move on; other waits come in between."""
    now, waits = [100.0], []

    class Stop:
        def wait(self, seconds):
            waits.append(seconds)
            now[0] += seconds

    pace = _Pace(interval, clock=lambda: now[0])
    begun = []
    for extra in [*late, *[0.0] * 5]:
        pace.wait(Stop())
        begun.append(now[0])
        now[0] += extra
    return begun, waits


def test_pace_keeps_requests_apart():
    begun, waits = pace_of(0.2)
    assert all(after - before == pytest.approx(0.2) for before, after in pairwise(begun))
    assert waits[0] == 0.0


def test_pace_does_not_make_up_for_lost_time():
    begun, _ = pace_of(0.2, late=[10.0, 0.0, 0.0])
    assert all(after - before >= 0.2 - 1e-9 for before, after in pairwise(begun))


def test_pace_over_threads():
    """Requests of several threads at the same time get places one after the other."""
    waits = []

    class Stop:
        def wait(self, seconds):
            waits.append(seconds)

    pace = _Pace(0.2, clock=lambda: 100.0)
    threads = [threading.Thread(target=pace.wait, args=(Stop(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([0.2 * place for place in range(8)])


@pytest.mark.parametrize(
    ("url", "interval"),
    [("https://ogle.example/", 0.2), ("ftp://10.0.0.1/", 0.2), ("http://127.0.0.1:80/", 0.0), ("http://[::1]/", 0.0)],
)
def test_only_other_machines_are_paced(tmp_path, url, interval):
    with Manifest(tmp_path / "manifest.sqlite") as manifest:
        fetcher = Fetcher(url, tmp_path, manifest=manifest, settings=FetchSettings())
        assert fetcher._pace._interval == interval
        fetcher.close()


def test_every_request_is_paced(http, monkeypatch):
    paced = []
    monkeypatch.setattr(_Pace, "wait", lambda _, stop: paced.append(stop))
    http.server.fail(NAME, Fault(status=503))
    http.fetch()
    http.fetcher().ask(NAME)
    assert len(paced) == len(http.server.log) == 4


# What came is no good


def test_same_bytes_twice_are_not_asked_for_a_third_time(rig):
    with pytest.raises(ArchiveError, match=r"sent what is no table. Try again later. Give") as error:
        rig.fetch(check=lambda _: "sent what is no table")
    assert rig.server.requests[NAME] == 2
    assert "what has come is kept" not in str(error.value)
    assert rig.left_over() == []
    rig.assert_nothing_came()


def test_bytes_that_are_spoilt_on_the_way_are_asked_for_again(http):
    spoilt = [Fault(body=DATA[:-1] + bytes([value])) for value in range(2)]
    http.server.fail(NAME, *spoilt)
    received = []
    http.fetch(
        check=lambda path: "" if path.read_bytes() == DATA else "spoilt", monitor=TransferMonitor(received.append)
    )
    http.assert_came()
    assert sum(received) == len(DATA)


def test_bytes_that_are_spoilt_always_differently(http):
    spoilt = [Fault(body=DATA[:-1] + bytes([value])) for value in range(9)]
    http.server.fail(NAME, *spoilt)
    with pytest.raises(ArchiveError, match="spoilt"):
        http.fetch(check=lambda path: "" if path.read_bytes() == DATA else "spoilt", attempts=4)
    assert http.server.requests[NAME] == 4


def test_after_a_spoilt_file_new_bytes_count_anew(http):
    spoilt, nothing, something = Fault(body=NEW), Fault(status=503), Fault(ending="close", after=K)
    http.server.fail(NAME, spoilt, something, nothing, something, nothing)
    http.fetch(check=lambda path: "" if path.read_bytes() == DATA else "spoilt", attempts=2)
    http.assert_came()


def test_part_of_an_earlier_process_that_makes_no_good_file_is_dropped(http):
    stop_after(http, K)
    spoilt = [True]
    http.fetch(check=lambda _: "spoilt" if spoilt and spoilt.pop() else "")
    http.assert_came()
    assert http.server.served[NAME] == 2 * len(DATA) - K


def test_check_sees_the_whole_file_before_it_has_its_name(rig):
    seen = []

    def check(path):
        seen.append((path.read_bytes(), rig.target.exists()))
        return ""

    rig.fetch(check=check)
    assert seen == [(DATA, False)]


def test_file_above_the_largest_size_is_refused(rig):
    with pytest.raises(ArchiveError, match=r"sends 300000 bytes, more than the 299999 that such a file may have. Give"):
        rig.fetch(largest=len(DATA) - 1)
    assert rig.left_over() == []
    assert rig.sleeps == []
    rig.fetch(largest=len(DATA))
    rig.assert_came()


def test_endless_file_is_refused(http):
    http.server.files[NAME] = bytes(20_000_000)
    http.server.fail(NAME, Fault(chunked=True), times=FOREVER)
    with pytest.raises(ArchiveError, match=r"more than the 1000000 that such a file may have"):
        http.fetch(largest=1_000_000)
    assert http.server.requests[NAME] == 1
    assert http.left_over() == []


def test_ftp_server_that_sends_more_than_it_announced(ftp):
    ftp.server.fail(NAME, FtpFault("SIZE", f"213 {K}"))
    ftp.fetch()
    ftp.assert_came()


def test_few_bytes_that_were_not_announced(http):
    """They are in the client's hands already and taken for an answer; another connection tells."""
    http.server.files[NAME] = DATA[:2000]
    http.server.fail(NAME, Fault(headers={"Content-Length": "1000"}))
    http.fetch()
    http.assert_came(DATA[:2000])


def test_bytes_left_on_a_connection_do_not_spoil_the_next_file(http):
    """Bytes beyond the announced length wait where the next answer is looked for."""
    http.server.files[OTHER] = NEW
    http.server.fail(NAME, Fault(body=DATA[:2000], headers={"Content-Length": "1000"}))
    fetcher = http.fetcher(connections=1)
    for name in (NAME, OTHER):
        fetcher.fetch(name, http.root / name)
    assert (http.root / OTHER).read_bytes() == NEW


def test_honest_server_is_not_doubted_for_every_small_file(http):
    http.server.files = {f"{number}.dat": bytes([number]) * 1000 for number in range(9)}
    http.server.files["large.dat"] = bytes(2_000_000)
    jobs = [(name, http.root / name) for name in http.server.files]
    http.fetcher(connections=1).fetch_many(jobs)
    assert http.server.requests == {**dict.fromkeys(http.server.files, 1), "0.dat": 2, "large.dat": 2}


# Several files


def many(rig, number, size=3000):
    rig.server.files = {f"I/{place:03d}.dat": noise(place, size) for place in range(number)}
    return [(name, rig.root / name) for name in rig.server.files]


def test_many_files(rig):
    jobs = many(rig, 12)
    received, finished = [], []
    rig.fetcher().fetch_many(jobs, monitor=TransferMonitor(received.append, finished.append))
    for name, target in jobs:
        assert target.read_bytes() == rig.server.files[name]
    assert {entry.name for entry in rig.manifest.entries(state="file")} == set(rig.server.files)
    assert (sum(received), sum(finished)) == (12 * 3000, 12)
    assert rig.left_over() == []


def test_no_files(rig):
    rig.fetcher().fetch_many([])
    assert rig.server.log == []


def test_same_file_twice(rig):
    jobs = many(rig, 1, size=300_000)
    rig.fetcher().fetch_many(jobs * 4)
    assert jobs[0][1].read_bytes() == rig.server.files[jobs[0][0]]
    assert rig.server.served == {jobs[0][0]: 300_000}


@pytest.mark.parametrize("connections", [1, 2, 4])
def test_no_more_connections_than_allowed(rig, connections):
    """As many files as are allowed are under way at the same time, and not one more."""
    jobs = many(rig, 3 * connections)
    together = threading.Barrier(connections, timeout=20.0)
    fault = Fault(before=together.wait) if rig.server.scheme == "http" else FtpFault(before=together.wait)
    for name, _ in jobs:
        rig.server.fail(name, fault)
    fetcher = rig.fetcher(connections=connections)
    fetcher._is_honest = True
    fetcher.fetch_many(jobs)
    assert rig.server.most_at_once == connections
    assert all(target.exists() for _, target in jobs)


def test_first_error_is_raised_and_the_rest_is_kept(rig):
    jobs = many(rig, 9)
    bad = jobs[4][0]
    rig.server.fail(bad, Fault(status=403), FtpFault(reply="553 No."), times=FOREVER)
    fetcher = rig.fetcher(connections=1)
    with pytest.raises(ArchiveError, match=rf"{bad} cannot be fetched: .* answered (403 Forbidden|553 No)"):
        fetcher.fetch_many(jobs)
    for name, target in jobs[:4]:
        assert target.read_bytes() == rig.server.files[name]
    assert [entry.name for entry in rig.manifest.entries()] == [name for name, _ in jobs[:4]]
    assert not any(target.exists() for _, target in jobs[4:])
    # The same fetcher goes on where it stopped.
    rig.server.recover(bad)
    rig.server.forget()
    fetcher.fetch_many(jobs)
    assert set(rig.server.requests) == {name for name, _ in jobs[4:]}


def test_error_in_one_thread_stops_a_long_transfer_in_another(http):
    http.server.files = {"large.dat": bytes(50_000_000), "bad.dat": b"x"}
    underway = threading.Event()
    http.server.fail("large.dat", Fault(before=underway.set))
    http.server.fail("bad.dat", Fault(status=403, before=lambda: underway.wait(20.0)))
    jobs = [(name, http.root / name) for name in http.server.files]
    with pytest.raises(ArchiveError, match="403"):
        http.fetcher().fetch_many(jobs)
    assert not (http.root / "large.dat").exists()


def test_jobs_may_have_checks_of_their_own(http):
    jobs = many(http, 3)
    own = Job(*jobs[1], check=lambda _: "is no good in its own way")
    with pytest.raises(ArchiveError, match=f"{jobs[1][0]} .* is no good in its own way"):
        http.fetcher(connections=1).fetch_many([jobs[0], own], check=lambda _: "")
    with pytest.raises(ArchiveError, match=f"{jobs[2][0]} .* is no good in the common way"):
        http.fetcher(connections=1).fetch_many([jobs[2]], check=lambda _: "is no good in the common way")
    with pytest.raises(ArchiveError, match="more than the 10 that"):
        http.fetcher().fetch_many([Job(*jobs[2], largest=10)])


def test_error_of_a_check_is_raised(http):
    def check(_path):
        msg = "mistake"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="mistake"):
        http.fetcher().fetch_many([(NAME, http.target)], check=check)
    http.assert_nothing_came()


# Being stopped


class Watcher:
    """Waits until clients hang in stalls and have taken in some bytes, and then does something."""

    def __init__(self, server, action, *, stalls=1, size=0):
        self._server, self._action, self._stalls, self._missing = server, action, stalls, size
        self._lock, self._came = threading.Lock(), threading.Event()
        self.monitor = TransferMonitor(self._received)
        self._received(0)
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _received(self, size):
        with self._lock:
            self._missing -= size
            if self._missing <= 0:
                self._came.set()

    def _watch(self):
        for _ in range(self._stalls):
            self._server.wait_for_stall()
        assert self._came.wait(20.0)
        self._action()

    def join(self):
        self._thread.join()


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_a_server_stalls(rig):
    rig.server.fail(NAME, breaking(rig, K, "stall"))
    watcher = Watcher(rig.server, press_ctrl_c, size=K)
    with pytest.raises(KeyboardInterrupt):
        rig.fetch(monitor=watcher.monitor)
    watcher.join()
    rig.assert_nothing_came()
    assert Part(rig.part()).size == K
    rig.server.forget()
    rig.fetch()
    rig.assert_came()
    assert rig.server.served[NAME] == len(DATA) - K


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_servers_of_several_files_stall(rig):
    jobs = many(rig, 6, size=200_000)
    for name, _ in jobs[2:4]:
        rig.server.fail(name, breaking(rig, K, "stall"))
    watcher = Watcher(rig.server, press_ctrl_c, stalls=2, size=2 * 200_000 + 2 * K)
    fetcher = rig.fetcher(connections=2)
    with pytest.raises(KeyboardInterrupt):
        fetcher.fetch_many(jobs, monitor=watcher.monitor)
    watcher.join()
    assert [Part(rig.part(name)).size for name, _ in jobs[2:4]] == [K, K]
    assert [target.exists() for _, target in jobs] == [True, True, False, False, False, False]
    rig.server.forget()
    fetcher.fetch_many(jobs)
    assert sum(rig.server.served.values()) == 4 * 200_000 - 2 * K
    assert all(target.read_bytes() == rig.server.files[name] for name, target in jobs)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_a_server_does_not_answer_at_all(http, monkeypatch):
    """Nothing wakes such a thread, so it is left behind; when the answer comes after all, it writes nothing."""
    monkeypatch.setattr(download, "_JOIN_SECONDS", 0.0)
    go_on = threading.Event()
    http.server.fail(NAME, Fault(before=lambda: (press_ctrl_c(), go_on.wait(20.0))))
    fetcher = http.fetcher()
    with pytest.raises(KeyboardInterrupt):
        fetcher.fetch_many([(NAME, http.target)])
    left = [thread for thread in threading.enumerate() if "(run)" in thread.name]
    go_on.set()
    for thread in left:
        thread.join()
    assert len(left) == 1
    assert not http.incoming.exists()
    http.assert_nothing_came()
    # The same fetcher is good for another call.
    fetcher.fetch_many([(NAME, http.target)])
    http.assert_came()


def test_ctrl_c_while_waiting_for_another_try(http):
    http.server.fail(NAME, Fault(after=K, ending="close"))

    def interrupt():
        raise KeyboardInterrupt

    http.on_sleep = interrupt
    with pytest.raises(KeyboardInterrupt):
        http.fetch()
    assert Part(http.part()).size == K


def test_closing_ends_what_is_under_way(rig):
    rig.server.fail(NAME, breaking(rig, K, "stall"))
    fetcher = rig.fetcher()
    watcher = Watcher(rig.server, fetcher.close, size=K)
    with pytest.raises(Interrupted):
        fetcher.fetch_many([(NAME, rig.target)], monitor=watcher.monitor)
    watcher.join()
    assert Part(rig.part()).size == K
    rig.assert_nothing_came()


def test_aborted_transfer_leaves_no_dirty_connection(http):
    """The connection of an answer that was not read to its end is not used again."""
    http.server.files[OTHER] = NEW
    fetcher = http.fetcher(connections=1)
    with pytest.raises(ArchiveError, match="may have"):
        fetcher.fetch(NAME, http.target, largest=1000)
    fetcher.fetch(OTHER, http.root / OTHER)
    http.assert_came(NEW, OTHER)
    assert http.server.most_at_once <= 2


def test_connection_is_used_again(http):
    jobs = many(http, 8)
    fetcher = http.fetcher(connections=1)
    fetcher.ask(jobs[0][0])
    fetcher.fetch_many(jobs)
    assert http.server.connections == 1


# Redirects that need https


def test_redirect_from_https_to_http_is_refused(http):
    def answer(request):
        return httpx.Response(302, headers={"Location": f"http://{request.url.host}/x.dat"})

    with pytest.raises(ArchiveError, match=r"redirects to an unencrypted address \(http://ogle.example/x.dat\)"):
        http.fetch(url="https://ogle.example/", transport=httpx.MockTransport(answer))


def test_redirect_from_http_to_https_is_followed(http):
    def answer(request):
        if request.url.scheme == "http":
            return httpx.Response(301, headers={"Location": str(request.url.copy_with(scheme="https"))})
        return httpx.Response(200, stream=httpx.ByteStream(DATA))

    http.fetch(url="http://ogle.example/", transport=httpx.MockTransport(answer))
    assert http.target.read_bytes() == DATA


# Any sequence of faults

FAULTS = st.one_of(
    st.builds(lambda after: ("reset", after), st.integers(0, 20_000)),
    st.builds(lambda after: ("close", after), st.integers(0, 20_000)),
    st.just(("busy", 0)),
)


@pytest.mark.parametrize("kind", ["http", "ftp"])
@given(sequence=st.lists(FAULTS, max_size=9), size=st.integers(0, 20_000))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_whatever_happens_on_the_way_the_file_comes_right(tmp_path_factory, kind, sequence, size):
    data = noise(size, size)
    with SERVERS[kind]({NAME: data}) as server:
        rig = Rig(server, tmp_path_factory.mktemp("any"))
        for what, after in sequence:
            if what == "busy":
                server.fail(NAME, Fault(status=503) if kind == "http" else FtpFault(reply="450 Busy."))
            else:
                server.fail(NAME, breaking(rig, after, what))
        # One more than can come in a row without a byte.
        rig.fetch(attempts=len(sequence) + 1)
        rig.assert_came(data)
        in_transit = sum(min(after, size) for what, after in sequence if what == "reset")
        # Of a part that is whole the last byte comes again, with each fault that comes after it.
        assert server.served[NAME] <= size + in_transit + len(sequence)
        rig.close()
