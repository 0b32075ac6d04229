"""What servers say, as the transports understand it."""

import ftplib
import threading
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from servers import CONNECTION, FOREVER, Fault, FtpFault, FtpServer, HttpServer, closed_port, http_date

from cbminer.survey.transport import (
    Failure,
    FtpTransport,
    HttpTransport,
    Missing,
    Refusal,
    Remote,
    http_client,
    is_loopback,
    open_transport,
    raise_for_status,
)

NAME = "a.dat"
DATA = bytes(range(256)) * 10


@pytest.fixture
def server():
    with HttpServer({NAME: DATA}) as server:
        yield server


@pytest.fixture
def transport():
    transport = HttpTransport(timeout=20.0)
    yield transport
    transport.close()


def take(transport, url, **options):
    with transport.get(url, **options) as transfer:
        return transfer.offset, b"".join(transfer.chunks), transfer.remote


# What is known of a file

FULL = Remote(5, '"a"', "Mon")


@pytest.mark.parametrize(
    ("one", "other", "agree", "same"),
    [
        (FULL, FULL, True, True),
        (FULL, Remote(6, '"a"', "Mon"), False, False),
        (FULL, Remote(5, '"b"', "Mon"), False, False),
        (FULL, Remote(5, '"a"', "Tue"), False, False),
        (FULL, Remote(None, '"a"', ""), True, True),
        (FULL, Remote(None, "", "Mon"), True, True),
        (FULL, Remote(5, 'W/"a"', ""), True, True),
        (FULL, Remote(5), True, False),
        (FULL, Remote(), True, False),
        (Remote(5, '"a"'), Remote(5, "", "Mon"), True, False),
        (Remote(0), Remote(0), True, False),
        (Remote(0), Remote(5), False, False),
        (Remote(0, '"a"'), Remote(5, '"a"'), False, False),
    ],
)
def test_whether_a_file_is_still_the_same(one, other, agree, same):
    assert (one.agrees(other), other.agrees(one)) == (agree, agree)
    assert (one.is_same_file(other), other.is_same_file(one)) == (same, same)


@pytest.mark.parametrize(
    ("remote", "condition"),
    [(FULL, '"a"'), (Remote(5, 'W/"a"', "Mon"), "Mon"), (Remote(5, 'W/"a"'), ""), (Remote(5), "")],
)
def test_precondition_is_never_a_weak_tag(remote, condition):
    assert remote.precondition == condition


# Statuses


def answer(status, **headers):
    request = httpx.Request("GET", "http://ogle.example/a.dat")
    return httpx.Response(
        status, headers={key.replace("_", "-"): value for key, value in headers.items()}, request=request
    )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_statuses_that_another_try_may_mend(status):
    with pytest.raises(Failure, match=f"answered {status} "):
        raise_for_status(answer(status))


@pytest.mark.parametrize("status", [300, 304, 400, 401, 403, 405, 416, 451, 501])
def test_statuses_that_stay(status):
    with pytest.raises(Refusal, match=f"answered {status} ") as refusal:
        raise_for_status(answer(status))
    assert not isinstance(refusal.value, Missing)


@pytest.mark.parametrize("status", [404, 410])
def test_statuses_of_absence(status):
    with pytest.raises(Missing):
        raise_for_status(answer(status))


def test_success():
    raise_for_status(answer(200))
    raise_for_status(answer(206))


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), (" 120 ", 120.0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0)])
def test_retry_after(text, seconds):
    with pytest.raises(Failure) as failure:
        raise_for_status(answer(503, Retry_After=text))
    assert failure.value.retry_after == seconds


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_retry_after_a_date(zone):
    # The date is made here, not where the module is read: minutes may pass before this test has its turn.
    in_an_hour = http_date(datetime.now(UTC) + timedelta(hours=1)).replace("GMT", zone)
    with pytest.raises(Failure) as failure:
        raise_for_status(answer(503, Retry_After=in_an_hour))
    assert 3000.0 <= failure.value.retry_after <= 3600.0


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "\xb2", "9" * 5000, "Mon, 99 Foo 2020", ",", "1 1 1 1 1 1"])
def test_retry_after_that_says_nothing(text):
    with pytest.raises(Failure) as failure:
        raise_for_status(answer(503, Retry_After=text.encode("latin-1")))
    assert failure.value.retry_after is None


# HTTP


def test_part_of_a_file(server, transport):
    whole = take(transport, server.url + NAME)
    assert whole == (0, DATA, whole[2])
    assert whole[2].size == len(DATA)
    assert take(transport, server.url + NAME, offset=100, known=whole[2]) == (100, DATA[100:], whole[2])
    assert server.log[-1][2]["If-Range"] == whole[2].etag


def test_whole_file_where_a_part_was_asked_for_beyond_its_end(server, transport):
    known = take(transport, server.url + NAME)[2]
    assert take(transport, server.url + NAME, offset=len(DATA), known=known)[:2] == (0, DATA)


def test_part_whose_whole_size_is_not_told(server, transport):
    known = take(transport, server.url + NAME)[2]
    server.fail(NAME, Fault(headers={"Content-Range": f"bytes 100-{len(DATA) - 1}/*"}))
    offset, data, remote = take(transport, server.url + NAME, offset=100, known=known)
    assert (offset, data, remote.size) == (100, DATA[100:], None)


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ({"Content-Encoding": "gzip"}, None),
        ({"Content-Encoding": "identity"}, len(DATA)),
        ({"Content-Length": None, "Transfer-Encoding": "chunked"}, None),
    ],
)
def test_size_of_what_is_packed_on_the_way_is_not_that_of_the_file(server, transport, headers, size):
    server.fail(NAME, Fault(("HEAD",), headers=headers))
    assert transport.ask(server.url + NAME).size == size


def test_server_that_goes_on_after_its_word(server, transport):
    url = server.url + NAME
    known = transport.ask(url)
    short = Remote(100, known.etag, known.modified, ranges=True)
    assert transport.goes_on(url, known) is False
    assert transport.goes_on(url, short) is True
    assert transport.goes_on(url, Remote(100, '"other"', ranges=True)) is False
    server.forget()
    assert transport.goes_on(url, Remote(100, known.etag)) is False
    assert transport.goes_on(url, Remote(None, known.etag, ranges=True)) is False
    assert server.log == []
    server.fail(NAME, Fault(ranges=False), Fault(headers={"Content-Range": "bytes 0-0/9"}), Fault(status=404))
    assert [transport.goes_on(url, short) for _ in range(3)] == [False] * 3


def test_short_error_pages_keep_the_connection(server, transport):
    server.fail(NAME, Fault(status=503), Fault(status=403), Fault(("HEAD",), status=503))
    for ask in (take, take, lambda way, url: way.ask(url)):
        with pytest.raises((Failure, Refusal)):
            ask(transport, server.url + NAME)
    with pytest.raises(Missing):
        take(transport, server.url + "nowhere.dat")
    assert transport.ask(server.url + NAME).size == len(DATA)
    assert take(transport, server.url + NAME)[1] == DATA
    assert server.connections == 1


def test_error_page_without_end_is_not_read(server, transport):
    server.fail(NAME, Fault(status=403, headers={"Content-Length": str(1 << 40)}, ending="stall", after=3))
    with pytest.raises(Refusal, match="answered 403"):
        take(transport, server.url + NAME)


def refuses(error):
    def handle(_request):
        raise error

    return HttpTransport(transport=httpx.MockTransport(handle))


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), Failure, r"cannot be reached \(.Errno 111. Connection"),
        (
            httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
            Refusal,
            "shows a certificate that cannot be trusted",
        ),
        (httpx.ProxyError("403 Forbidden"), Failure, r"cannot be reached \(403 Forbidden\)"),
        (httpx.ConnectTimeout(""), Failure, "did not answer in time"),
        (httpx.PoolTimeout(""), Failure, "did not answer in time"),
        (httpx.ReadError(""), Failure, r"broke off the connection \(ReadError\)"),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), Failure, "broke off the conn"),
        (httpx.RemoteProtocolError("illegal status line"), Failure, r"sent no proper answer \(illegal status line\)"),
    ],
)
def test_errors_of_the_network(error, kind, says):
    transport = refuses(error)
    with pytest.raises(kind, match=says):
        transport.ask("https://ogle.example/a.dat")
    transport.close()


@pytest.mark.parametrize("url", ["gopher://ogle.example/a", "http://ogle.example:port/a", "a/b", "//x/y"])
def test_addresses_that_cannot_be_asked(transport, url):
    with pytest.raises(Refusal, match="cannot be asked"):
        transport.ask(url)


def test_password_in_a_redirect_is_not_shown(server, transport):
    server.fail(NAME, Fault(status=302, headers={"Location": "http://me:secret@ogle.example/"}))
    with pytest.raises(Refusal, match=r"\(http://ogle.example/\)"):
        take(transport, server.url + NAME)


def test_client_names_the_package_and_follows_nothing(server):
    server.fail(NAME, Fault(status=302, headers={"Location": "/b.dat"}))
    with http_client() as client:
        assert client.get(server.url + NAME).status_code == 302
    assert next(iter(server.agents)).startswith("cbminer/")
    assert server.log[0][2]["Accept-Encoding"] == "identity"


def test_abort_wakes_a_reader(server, transport):
    server.fail(NAME, Fault(ending="stall", after=10))
    with transport.get(server.url + NAME) as transfer:
        assert next(transfer.chunks) == DATA[:10]
        transport.abort()
        with pytest.raises(Failure, match="broke off the connection"):
            next(transfer.chunks)


def test_end_from_this_side_is_not_the_end_of_the_file(server, transport):
    """An answer without a length ends with the connection, whoever ended it."""
    server.fail(NAME, Fault(headers={"Content-Length": None}, ending="stall", after=10))
    with transport.get(server.url + NAME) as transfer:
        assert (next(transfer.chunks), transfer.remote.size) == (DATA[:10], None)
        transport.abort()
        with pytest.raises(Failure, match="was asked for no more"):
            next(transfer.chunks)


# FTP


@pytest.fixture
def ftp():
    with FtpServer({NAME: DATA}) as server:
        yield server


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1:port/a", "ftp://127.0.0.1:99999/a", "ftp:///a", "ftp://[bad/a", "ftp://"]
)
def test_ftp_addresses_that_cannot_be_asked(url):
    with pytest.raises(Refusal, match="cannot be asked"):
        FtpTransport().ask(url)


def test_line_end_in_a_path_is_no_second_command(ftp):
    with pytest.raises(Refusal, match="cannot be asked"):
        take(FtpTransport(timeout=20.0), ftp.url + "a%0D%0ADELE%20b")
    assert [what for what, _, _ in ftp.log] == ["USER", "PASS", "TYPE"]


@pytest.mark.parametrize(
    ("command", "reply", "kind"),
    [
        ("SIZE", "550 No such file.", Missing),
        ("MDTM", "550 No such file.", Missing),
        ("RETR", "550 No such file.", Missing),
        ("RETR", "550 a.dat: Permission denied.", Refusal),
        ("RETR", "553 No.", Refusal),
        ("RETR", "450 Busy.", Failure),
        ("RETR", "nonsense", Failure),
        ("PASS", "530 No.", Refusal),
        ("PASS", "421 Full.", Failure),
        ("TYPE", "504 No.", Refusal),
    ],
)
def test_ftp_replies(ftp, command, reply, kind):
    ftp.fail(NAME if command in {"SIZE", "MDTM", "RETR"} else CONNECTION, FtpFault(command, reply))
    with pytest.raises(kind, match=reply.rstrip(".")) as raised:
        take(FtpTransport(timeout=20.0), ftp.url + NAME)
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("size", "time", "known"),
    [
        ("500 What?", "500 What?", Remote()),
        ("213 \xb2", "213 20200230000000", Remote()),
        ("213", "213", Remote()),
        (f"213 {'9' * 30}", "213 1", Remote()),
        ("213 5", "213 20200229010203.999", Remote(5, "", "Sat, 29 Feb 2020 01:02:03 GMT")),
    ],
)
def test_ftp_sizes_and_times(ftp, size, time, known):
    ftp.fail(NAME, FtpFault("SIZE", size), FtpFault("MDTM", time), times=FOREVER)
    transport = FtpTransport(timeout=20.0)
    assert transport.ask(ftp.url + NAME) == known
    assert transport.goes_on(ftp.url + NAME, known) is False
    transport.close()


def test_ftp_part(ftp):
    transport = FtpTransport(timeout=20.0)
    known = transport.ask(ftp.url + NAME)
    assert take(transport, ftp.url + NAME, offset=100, known=known) == (100, DATA[100:], known)
    assert take(transport, ftp.url + NAME, offset=100, known=Remote(5)) == (0, DATA, known)
    # Without a time nothing tells whether the file is still the same.
    assert take(transport, ftp.url + NAME, offset=100, known=Remote(known.size))[0] == 0


@pytest.mark.parametrize("last", ["226 Transfer complete.", "426 Transfer aborted.", ""])
def test_end_from_this_side_is_not_the_end_of_the_file_over_ftp(ftp, last):
    """The server may take it for the end of its work, and say so."""
    answered = threading.Event()
    ftp.fail(NAME, FtpFault(ending="stall", after=10, last=last, afterwards=answered.set))
    transport = FtpTransport(timeout=20.0)
    with transport.get(ftp.url + NAME) as transfer:
        assert next(transfer.chunks) == DATA[:10]
        transport.abort()
        assert answered.wait(20.0)
        with pytest.raises(Failure):
            next(transfer.chunks)


def test_end_from_this_side_that_comes_late_over_ftp(ftp):
    """It reaches the data, but the server's word that all is well is there already."""
    transport = FtpTransport(timeout=20.0)
    with transport.get(ftp.url + NAME) as transfer:
        for hold in transport._sockets._holds:
            hold._is_ended = True
        with pytest.raises(Failure, match="was asked for no more"):
            list(transfer.chunks)


def test_ftp_connection_refused():
    with pytest.raises(Failure, match=r"cannot be reached \(.*refused"):
        FtpTransport().ask(f"ftp://127.0.0.1:{closed_port()}/a")


def test_ftp_transport_is_clean_after_an_unfinished_transfer(ftp):
    with FtpTransport(timeout=20.0).get(ftp.url + NAME) as transfer:
        next(transfer.chunks)
    # A server that still counts the connection would refuse the next one.
    assert take(FtpTransport(timeout=20.0), ftp.url + NAME)[1] == DATA


def test_server_speaks_to_an_ordinary_client(ftp):
    """The test server is one that ftplib by itself can use."""
    with ftplib.FTP(timeout=20.0) as client:  # noqa: S321 - on this machine
        client.connect("127.0.0.1", int(ftp.url.rsplit(":", 1)[1].strip("/")))
        client.login()
        pieces = []
        client.retrbinary(f"RETR {NAME}", pieces.append, rest=2000)
    assert b"".join(pieces) == DATA[2000:]


# Addresses


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:80/", True),
        ("http://127.9.9.9/", True),
        ("http://[::1]:80/", True),
        ("http://LOCALHOST/", True),
        ("ftp://me:secret@localhost/", True),
        ("http://192.168.0.1/", False),
        ("http://localhost.example/", False),
        ("http://127.0.0.1.example/", False),
        ("http://[bad/", False),
        ("nowhere", False),
    ],
)
def test_loopback(url, loopback):
    assert is_loopback(url) is loopback


@pytest.mark.parametrize(
    ("url", "kind"), [("ftp://x/", FtpTransport), ("FTP://x/", FtpTransport), ("http://x/", HttpTransport)]
)
def test_transport_of_an_address(url, kind):
    transport = open_transport(url)
    assert type(transport) is kind
    transport.close()
