"""Export to Parquet: files by the hour in a folder or an object store, each event in one of them exactly once.

A file is named after its first entry and made only where there is none of that name. So whoever delivers the same
entries again, be it another node that had been given up, finds the file, reads in it how far it goes, and delivers
what comes after: files follow one another without a gap and without an overlap. What is delivered late, into a gap,
ends where the next file begins.

That holds among those who are given the same lines. So a file says through which filter its lines came, and who has
another one stops there: what a filter left out must not pass for written.
"""

import io
import os
import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from payflux.errors import ExportFailed
from payflux.exporters import Batch, GroupDestination, GroupOpening, entry_of
from payflux.finding import Finding
from payflux.settings import Values, optional

SCHEMES = ("file", "s3", "gs", "az", "abfss", "https")
TEXTS = ("utf8", False)
COLUMNS = {
    **dict.fromkeys(("event_type", "event_id"), TEXTS),
    "event_timestamp": ("timestamp", False),
    **dict.fromkeys(("merchant_id_hash", "payment_intent_id_hash", "processor", "failure_category"), TEXTS),
    "retry_count": ("int32", False),
    **dict.fromkeys(("geo_bucket", "amount_bucket", "system_source", "payment_method_bucket", "channel"), TEXTS),
    **dict.fromkeys(("retry_result", "failure_origin"), TEXTS),
    **dict.fromkeys(
        ("payment_method_fingerprint_hash", "card_network", "network_response_code", "network_advice_code", "currency"),
        ("utf8", True),
    ),
    "amount_minor": ("int64", True),
    "initiator": ("utf8", True),
    "latency_ms": ("int64", True),
    **dict.fromkeys(("issuer_country", "processor_event_id"), ("utf8", True)),
    **dict.fromkeys(("stream_message_id", "consumer_name"), TEXTS),
    "processed_at": ("timestamp", False),
    "processor_risk_score": ("float64", True),
    "processor_risk_band": ("utf8", True),
    "processor_risk_drivers": ("list", True),
    "seq": ("int64", False),
    "schema_version": ("int32", False),
}
"""Every column: its type, and whether it may be null. Columns are only ever added, at the end, and may be null then."""

KEY = "payflux."
FILTER = b"payflux.filter"
OTHER = (
    "{} was written through another filter, and what one leaves out would pass for written by the other: give each "
    "filter a folder of its own (PAYFLUX_EXPORT_PARQUET_URL); the filter there is {}, here {}"
)
MAGIC = b"PAR1"
DENIED = ("PermissionDeniedError", "UnauthenticatedError", "NotFoundError")
STATUS = re.compile(r"status code: (\d{3})\b")
HOUR = 3_600_000  # milliseconds
WRITER = {"compression": "zstd(3)"}
ENTRY = re.compile(rb"[0-9]{1,20}-[0-9]{1,20}")


def _url(text: str) -> str:
    if text.startswith("/"):
        return f"file://{text}"
    parts = urlsplit(text)
    if parts.scheme not in SCHEMES or (parts.scheme == "file") == bool(parts.netloc):
        raise ValueError("an absolute path, or a URL such as s3://bucket/folder, gs://…, az://…")
    return text


URL = optional(
    "PAYFLUX_EXPORT_PARQUET_URL",
    _url,
    "Folder that files are written to: a path, s3://bucket/folder, gs://… or az://…; required for `parquet`. "
    "Credentials are those of the environment (AWS_…, GOOGLE_…, AZURE_…).",
)


class Span(NamedTuple):
    """What a file holds, as its own metadata and the manifest say it.

    Attributes:
        first_id: its first entry.
        last_id: its last one.
        first_seq: the number of the first.
        last_seq: the number of the last.
        rows: how many events.
        filter: which events alone it was given; empty for all.
    """

    first_id: str
    last_id: str
    first_seq: int
    last_seq: int
    rows: int
    filter: str


class _Ends(msgspec.Struct, gc=False):
    stream_message_id: str
    seq: int


_ends = msgspec.json.Decoder(_Ends).decode


class ParquetExporter:
    """Writes a file for the entries of each hour in a batch.

    Args:
        opening: the node's settings.
    """

    def __init__(self, opening: GroupOpening) -> None:
        self._url, self._timeout, self._tls = opening.values[URL] or "", opening.timeout, opening.tls
        self._filter = opening.filter
        self._store: Any = None
        self._done: tuple[int, int] = (0, 0)  # everything up to here stands in some file
        self._listed: tuple[str, list[tuple[int, int]]] = ("", [])  # the hour, and where its files begin

    def deliver(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        """Write lines; see GroupExporter."""
        obstore = import_module("obstore")
        try:
            if self._store is None:
                self._store = _opened(self._url, self._timeout, self._tls.authorities)
            return self._write(lines)
        except obstore.exceptions.BaseError as error:
            raise ExportFailed(_reason(error), _said(error)) from None
        except OSError as error:
            raise ExportFailed("write", f"{self._url}: {error.strerror}") from None

    def _write(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        refused: dict[int, str] = {}
        keys = [_key(entry_of(line)) for line in lines]
        first = 0
        while first < len(lines):
            hour = keys[first][0] // HOUR
            end = bisect_left(keys, ((hour + 1) * HOUR, 0), first)
            odd = self._write_hour(_folder(hour), lines[first:end], keys[first:end])
            refused |= {first + place: why for place, why in odd.items()}
            first = end
        return refused

    def _write_hour(self, folder: str, lines: Sequence[bytes], keys: Sequence[tuple[int, int]]) -> dict[int, str]:
        self._look(folder, keys[0])
        done = bisect_right(keys, self._done)
        # What a process wrote that died before it told what it refused is looked at once more.
        refused = _packed(lines[:done], self._filter)[2] if done else {}
        while done < len(lines):
            end = self._end(keys, done)
            data, span, odd = _packed(lines[done:end], self._filter)
            refused |= {done + place: why for place, why in odd.items()}
            if span is None:
                done = end
                continue
            self._put(folder, data, span)
            former, done = done, bisect_right(keys, self._done)
            if done == former:
                raise ExportFailed("write", f"{folder}/{span.first_id}.parquet ends before it begins")
        return refused

    def _end(self, keys: Sequence[tuple[int, int]], start: int) -> int:
        """How many of the lines, one at least, come before the next file begins."""
        begins = self._listed[1]
        after = bisect_right(begins, keys[start])
        return bisect_left(keys, begins[after], start) if after < len(begins) else len(keys)

    def _put(self, folder: str, data: bytes, span: Span) -> None:
        """Make the file, or learn from the one that is there how far it goes."""
        path = f"{folder}/{span.first_id}.parquet"
        if not self._create(path, data):
            span = self._read(path)
        manifest = {"file": path, **span._asdict()}
        self._create(f"_manifest/{folder}/{span.first_id}.json", msgspec.json.encode(manifest))
        self._done = max(self._done, _key(span.last_id.encode()))

    def _create(self, path: str, data: bytes) -> bool:
        """Make an object whole; False where there is one of that name."""
        obstore = import_module("obstore")
        try:
            obstore.put(self._store, path, data, mode="create", use_multipart=False)
        except obstore.exceptions.AlreadyExistsError:
            return False
        if self._url.startswith("file:"):
            _flush(Path(urlsplit(self._url).path) / path)
        return True

    def _look(self, folder: str, first: tuple[int, int]) -> None:
        """Once for each hour: how far the file goes that begins before what is to be written, if there is one.

        One that begins later is asked too: all those of an hour have one filter, and so any of them tells it.
        """
        if folder == self._listed[0]:
            return
        obstore = import_module("obstore")
        names = [str(one["path"]) for page in obstore.list(self._store, folder) for one in page]
        files = sorted((_key(stem), name) for name in names if ENTRY.fullmatch(stem := _stem(name)))
        begins = [key for key, _ in files]
        before = bisect_right(begins, first)
        if files:
            last = self._read(files[max(before - 1, 0)][1]).last_id
            self._done = max(self._done, _key(last.encode()) if before else self._done)
        self._listed = folder, begins

    def _read(self, path: str) -> Span:
        """What a file says of itself, if its lines came through the same filter."""
        data = bytes(import_module("obstore").get(self._store, path).bytes())
        if not data.startswith(MAGIC) or not data.endswith(MAGIC):
            raise ExportFailed("write", f"{path} is no file of PayFlux's")
        try:
            found = import_module("arro3.io").read_parquet(io.BytesIO(data)).schema.metadata
            texts = {FILTER: b""} | found
            span = msgspec.convert(
                [texts[f"{KEY}{name}".encode()].decode() for name in Span._fields], Span, strict=False
            )
        except Exception as error:  # noqa: BLE001 - whatever stands there is none of ours
            raise ExportFailed("write", f"{path} is no file of PayFlux's: {error}") from None
        if span.filter != self._filter:
            raise ExportFailed("denied", OTHER.format(path, span.filter or "none", self._filter or "none"))
        return span

    def close(self) -> None:
        """Nothing is open between two files."""


def _opened(url: str, timeout: float, authorities: str) -> Any:
    store = import_module("obstore.store")
    if url.startswith("file:"):
        return store.LocalStore(urlsplit(url).path, mkdir=True)
    # Plain HTTP is spoken only where the address of the endpoint begins so.
    options: dict[str, object] = {"timeout": f"{timeout:.0f}s", "allow_http": True}
    if authorities:
        options["root_certificate"] = Path(authorities).read_bytes()
    return store.from_url(url, client_options=options, retry_config={"max_retries": 1})


def _packed(lines: Sequence[bytes], chosen: str) -> tuple[bytes, Span | None, dict[int, str]]:
    """Lines as a file, what it holds, and why some of them cannot be in any."""
    odd: dict[int, str] = {}
    try:
        return *_file(lines, chosen), odd
    except Exception:  # noqa: BLE001 - its reader says nothing of the line
        odd = {place: why for place, line in enumerate(lines) if (why := _fault(line))}
    if not odd:
        raise ExportFailed("marshal", "lines that can be written one by one, and not together")
    good = [line for place, line in enumerate(lines) if place not in odd]
    return (*_file(good, chosen), odd) if good else (b"", None, odd)


def _fault(line: bytes) -> str:
    try:
        _file([line], "")
    except Exception as error:  # noqa: BLE001 - as above
        return f"{type(error).__name__}: {error}"[:200]
    return ""


def _file(lines: Sequence[bytes], chosen: str) -> tuple[bytes, Span]:
    first, last = _ends(lines[0]), _ends(lines[-1])
    span = Span(first.stream_message_id, last.stream_message_id, first.seq, last.seq, len(lines), chosen)
    arrow, out = import_module("arro3.io"), io.BytesIO()
    table = arrow.read_json(io.BytesIO(b"".join(lines)), _schema(), batch_size=len(lines))
    metadata = {f"{KEY}{name}": str(value) for name, value in span._asdict().items()}
    arrow.write_parquet(table, out, key_value_metadata=metadata, **WRITER)
    return out.getvalue(), span


def _schema() -> Any:
    core = import_module("arro3.core")
    kinds: dict[str, Callable[[], Any]] = {
        "timestamp": lambda: core.DataType.timestamp("us", tz="UTC"),
        "list": lambda: core.DataType.list(core.Field("item", core.DataType.utf8())),
    }
    fields = []
    for name, (kind, nullable) in COLUMNS.items():
        make = kinds.get(kind) or getattr(core.DataType, kind)
        fields.append(core.Field(name, make(), nullable=nullable))
    return core.Schema(fields)


def _key(entry: bytes) -> tuple[int, int]:
    milliseconds, _, counter = entry.partition(b"-")
    return int(milliseconds), int(counter)


def _stem(path: str) -> bytes:
    """The name of a file without its end; empty where it is none of Parquet."""
    name = path.rpartition("/")[2]
    return name.removesuffix(".parquet").encode() if name.endswith(".parquet") else b""


def _folder(hour: int) -> str:
    """The partition of entries: the hour in which Redis took them, UTC."""
    return time.strftime("dt=%Y-%m-%d/hour=%H", time.gmtime(hour * 3600))


def _flush(path: Path) -> None:
    """Make a file durable, and its name."""
    for one in (path, path.parent):
        fd = os.open(one, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _reason(error: Exception) -> str:
    """Its library has a kind of error of its own for some answers to some requests; all of them name the status."""
    found = STATUS.search(str(error))
    status = int(found[1]) if found else 0
    if type(error).__name__ in DENIED or status in {401, 403, 404}:
        return "denied"
    return "busy" if status else "unreachable"


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _refuse(values: Values) -> Iterator[str]:
    if values[URL] is None:
        yield f"{URL.name}: expected a path, or a URL such as s3://bucket/folder"
    if missing := [name for name in ("arro3.io", "obstore") if not _is_there(name)]:
        yield f"payflux[parquet]: expected it to be installed ({', '.join(missing)} cannot be imported)"


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _look(values: Values) -> Iterator[Finding]:
    url = values[URL] or ""
    folder = Path(urlsplit(url).path)
    if not url.startswith("file:"):
        yield Finding("export_parquet", "pass", f"files go to {url}; whether they may is seen at the first one")
    elif os.access(next(one for one in (folder, *folder.parents) if one.exists()), os.W_OK):
        yield Finding("export_parquet", "pass", f"files go to {folder}")
    else:
        yield Finding(
            "export_parquet", "fail", f"{folder} cannot be written to", f"let the node's user write to {folder}"
        )


DESTINATION = GroupDestination(
    ParquetExporter,
    "Parquet files by the hour, in a folder or an object store (`payflux[parquet]`)",
    batch=Batch(20_000, 33_554_432, 60),
    settings=(URL,),
    refuse=_refuse,
    look=_look,
    shows_certificate=False,
)
