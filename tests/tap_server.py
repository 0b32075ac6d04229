"""A TAP service on this machine. SQLite runs the queries, so that a query that is wrong fails here, too."""

import io
import math
import re
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import numpy as np
from astropy.io.votable import from_table
from astropy.io.votable.tree import Info
from astropy.table import MaskedColumn, Table

TAP_TYPES = {"str": "VARCHAR", "f8": "DOUBLE", "f4": "REAL", "i8": "BIGINT", "i4": "INTEGER"}
TABLE_OF_COLUMNS = ("table_name", "column_name", "description", "ucd", "unit", "datatype")
UNITS = {"d", "deg", "mag", "d-1"}
# What services do when nobody says how many rows are wanted.
DEFAULT_MAXREC = 50


@dataclass
class Field:
    """A column of a table: its values may hold None."""

    name: str
    kind: str
    data: list
    unit: str = ""
    ucd: str = ""
    description: str = ""


@dataclass
class Fault:
    """An answer that is not what was asked for."""

    status: int = 200
    body: bytes = b""
    kind: str = "text/xml"
    headers: dict = field(default_factory=dict)
    stall: float = 0.0
    # Bytes of the true answer that are sent; the connection is closed after them.
    cut: int = 0
    # Whether the length of the cut answer is told as if it were all.
    cut_quietly: bool = False


@dataclass
class Asked:
    """A request that came."""

    query: str
    maxrec: str
    agent: str
    upload: Table | None


class TapServer:
    """The service: `tables` is what it holds, `faults` what it answers first, `asked` what it was asked."""

    def __init__(self):
        self.tables: dict[str, list[Field]] = {}
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.quotes_in_schema = False
        self.takes_tables = True
        self.limit = 10**9
        self.serialization = "tabledata"
        self.status_after_rows = False
        self.lost_rows = 0
        self.lost_columns = 0
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/tap"

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def queries(self):
        return [asked.query for asked in self.asked]

    def _handler(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                values, upload = read_form(self.headers["Content-Type"], body)
                outer.asked.append(
                    Asked(values.get("QUERY", ""), values.get("MAXREC", ""), self.headers["User-Agent"], upload)
                )
                fault = outer.faults.pop(0) if outer.faults else None
                status, answer = (200, b"") if fault and not fault.cut else outer.answer(values, upload)
                _send(self, fault, status, answer)

            def log_message(self, *_args):
                pass

        return Handler

    def answer(self, values, upload):
        if (values["REQUEST"], values["LANG"]) != ("doQuery", "ADQL"):
            return 400, error_votable("REQUEST and LANG are missing")
        if upload is not None and not self.takes_tables:
            return 400, error_votable("uploads are not allowed")
        try:
            names, rows = self._run(values["QUERY"], upload)
        except sqlite3.Error as error:
            return 400, error_votable(f"Incorrect ADQL query: {error}")
        maxrec = min(int(values.get("MAXREC", DEFAULT_MAXREC)), self.limit)
        overflow = len(rows) > maxrec
        rows = rows[: maxrec - self.lost_rows if self.lost_rows else maxrec]
        if self.lost_columns and "COUNT" not in values["QUERY"] and "TAP_SCHEMA" not in values["QUERY"]:
            names, rows = names[: -self.lost_columns], [row[: -self.lost_columns] for row in rows]
        return 200, self._votable(names, rows, overflow=overflow)

    def _run(self, query, upload):
        known = {
            name for table, columns in self.tables.items() for name in (table, *(column.name for column in columns))
        }
        unknown = [name for name in re.findall(r'"([^"]+)"', query) if name not in known]
        if unknown and "TAP_SCHEMA" not in query:
            message = f"{len(unknown)} unresolved identifiers: {unknown[0]}"
            raise sqlite3.OperationalError(message)
        connection = sqlite3.connect(":memory:")
        try:
            self._fill(connection, upload)
            cursor = connection.execute(_to_sql(query))
            return [item[0] for item in cursor.description], cursor.fetchall()
        finally:
            connection.close()

    def _fill(self, connection, upload):
        connection.create_function("POINT", 3, lambda _system, ra, dec: f"{ra!r} {dec!r}", deterministic=True)
        connection.create_function("CIRCLE", 4, lambda _system, *numbers: " ".join(map(repr, numbers)))
        connection.create_function("CONTAINS", 2, _contains)
        connection.execute("PRAGMA case_sensitive_like = ON")
        connection.execute("ATTACH ':memory:' AS TAP_SCHEMA")
        connection.execute("ATTACH ':memory:' AS TAP_UPLOAD")
        connection.execute(f"CREATE TABLE TAP_SCHEMA.columns ({', '.join(TABLE_OF_COLUMNS)})")
        for name, columns in self.tables.items():
            declared = ", ".join(f'"{column.name}"' for column in columns)
            connection.execute(f'CREATE TABLE "{name}" ({declared})')
            rows = zip(*(column.data for column in columns), strict=True)
            _insert(connection, f'"{name}"', rows)
            shown = f'"{name}"' if self.quotes_in_schema else name
            for column in columns:
                shown_column = f'"{column.name}"' if self.quotes_in_schema else column.name
                row = (shown, shown_column, column.description, column.ucd, column.unit, TAP_TYPES[column.kind])
                _insert(connection, "TAP_SCHEMA.columns", [row])
        if upload is not None:
            connection.execute(f"CREATE TABLE TAP_UPLOAD.stars ({', '.join(upload.colnames)})")
            rows = [tuple(float(value) for value in row) for row in upload]
            _insert(connection, "TAP_UPLOAD.stars", rows)

    def _votable(self, names, rows, *, overflow):
        kinds = {column.name: column for columns in self.tables.values() for column in columns}
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        table = Table()
        for number, (name, data) in enumerate(zip(names, columns, strict=True)):
            known = kinds.get(name)
            table[f"f{number}"] = _column(list(data), known.kind if known else None)
            if known is not None and known.unit in UNITS and known.kind != "str":
                table[f"f{number}"].unit = known.unit
        votable = from_table(table)
        for written, name in zip(votable.get_first_table().fields, names, strict=True):
            written.name = name
        status = [Info(name="QUERY_STATUS", value="OK")]
        if overflow:
            status.append(Info(name="QUERY_STATUS", value="OVERFLOW"))
        votable.resources[0].type = "results"
        votable.resources[0].infos.extend(status)
        stream = io.BytesIO()
        votable.to_xml(stream, tabledata_format=self.serialization)
        xml = stream.getvalue()
        # What services of long standing say, and parsers of today frown upon.
        if b'name="RAJ2000" ' in xml and b'unit="deg"' not in xml:
            xml = xml.replace(b'name="RAJ2000" ', b'name="RAJ2000" unit="&quot;h:m:s&quot;" ')
        return xml.replace(b"<RESOURCE", b'<COOSYS ID="J2000" system="eq_FK5" equinox="J2000"/><RESOURCE', 1)


def _insert(connection, table, rows):
    rows = list(rows)
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608 - our own names


def read_form(kind, body):
    """Parameters of a request, and the table that came along."""
    if kind.startswith("application/x-www-form-urlencoded"):
        return {name: values[0] for name, values in parse_qs(body.decode()).items()}, None
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body, policy=policy.HTTP)
    values, parts = {}, {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if part.get_filename():
            parts[name] = content
        else:
            values[name] = content.decode().rstrip("\r\n")
    table, where = values["UPLOAD"].split(",")
    assert table == "stars"
    return values, Table.read(io.BytesIO(parts[where.removeprefix("param:")]), format="votable")


def _send(handler, fault, status, answer):
    fault = fault or Fault(status=status, body=answer)
    if fault.stall:
        time.sleep(fault.stall)
    body = answer[: fault.cut] if fault.cut else fault.body
    handler.send_response(fault.status)
    for name, value in fault.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Type", fault.kind)
    handler.send_header("Content-Length", str(len(answer) if fault.cut and not fault.cut_quietly else len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    if fault.cut:
        handler.close_connection = True


def _to_sql(query):
    top = re.match(r"SELECT TOP (\d+) (.*)", query, re.DOTALL)
    return f"SELECT {top[2]} LIMIT {top[1]}" if top else query


def _contains(point, circle):
    ra, dec = (float(number) for number in point.split())
    ra0, dec0, radius = (float(number) for number in circle.split())
    x = math.remainder(ra - ra0, 360.0) * math.cos(math.radians(dec0))
    return int(math.hypot(x, dec - dec0) <= radius)


def _column(data, kind):
    missing = [value is None for value in data]
    if kind is None:
        kind = "i8" if all(isinstance(value, int) for value in data) else "str"
    if kind == "str":
        # Empty texts are how VOTables write missing ones.
        return np.array(["" if value is None else value for value in data], dtype=str)
    filled = [0 if value is None else value for value in data]
    return MaskedColumn(np.array(filled, dtype=kind), mask=missing)


def error_votable(text):
    """What a TAP service says of a query that is wrong."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">{escape(text)}</INFO></RESOURCE></VOTABLE>'
    ).encode()
