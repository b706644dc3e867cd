"""Attacks on the framing of HTTP/1.1, and a handler that shows what got through."""

from dataclasses import dataclass, field

from payflux.http.messages import Request, Respond, Response


@dataclass
class App:
    """A handler that notes what it sees and answers with it."""

    seen: list[Request] = field(default_factory=list)
    refused: str = "/refused"

    def admit(self, request: Request) -> Response | None:
        """Refuse one path."""
        return Response(401) if request.path == self.refused else None

    def handle(self, request: Request, respond: Respond) -> None:
        """Echo."""
        self.seen.append(request)
        respond(Response(200, f"{request.method} {request.path} {request.query} ".encode() + request.body))


POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"

ATTACKS = {
    # two lengths, or one that cannot be read
    "length and coding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "coding and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + END,
    "two equal lengths": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nabcde",
    "signed length": POST + b"Content-Length: +5\r\n\r\nabcde",
    "negative length": POST + b"Content-Length: -5\r\n\r\nabcde",
    "hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nabcde",
    "length with underscore": POST + b"Content-Length: 1_0\r\n\r\nabcdeabcde",
    "empty length": POST + b"Content-Length:\r\n\r\n",
    "length in two words": POST + b"Content-Length: 5 5\r\n\r\nabcde",
    "vertical tab before length": POST + b"Content-Length: \x0b5\r\n\r\nabcde",
    "length over 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "padded length": POST + b"Content-Length: " + b"0" * 5000 + b"5\r\n\r\nabcde",
    "blank before the colon": POST + b"Content-Length : 5\r\n\r\nabcde",
    # codings
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + END,
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "coding before chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + END,
    "coding after chunked": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + END,
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + END,
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + END,
    "two codings, the other way": POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "quoted coding": POST + b'Transfer-Encoding: "chunked"\r\n\r\n' + END,
    "coding with parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + END,
    "coding with comma": POST + b"Transfer-Encoding: chunked,\r\n\r\n" + END,
    "coding after comma": POST + b"Transfer-Encoding: ,chunked\r\n\r\n" + END,
    "empty coding": POST + b"Transfer-Encoding:\r\n\r\n" + END,
    "vertical tab before coding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + END,
    "folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + END,
    "coding in HTTP/1.0": b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    # chunks
    "hexadecimal prefix": CHUNKED + b"0x5\r\nabcde\r\n" + END,
    "signed chunk": CHUNKED + b"+5\r\nabcde\r\n" + END,
    "negative chunk": CHUNKED + b"-5\r\nabcde\r\n" + END,
    "blank after chunk size": CHUNKED + b"5 \r\nabcde\r\n" + END,
    "blank before chunk size": CHUNKED + b" 5\r\nabcde\r\n" + END,
    "chunk size with underscore": CHUNKED + b"1_0\r\nabcde\r\n" + END,
    "no chunk size": CHUNKED + b"\r\nabcde\r\n" + END,
    "extension without size": CHUNKED + b";a\r\nabcde\r\n" + END,
    "chunk size over 64 bits": CHUNKED + b"10000000000000005\r\nabcde\r\n" + END,
    "not hexadecimal": CHUNKED + b"g\r\nabcde\r\n" + END,
    "LF after chunk size": CHUNKED + b"5\nabcde\r\n" + END,
    "CR after chunk size": CHUNKED + b"5\rabcde\r\n" + END,
    "LF after chunk": CHUNKED + b"5\r\nabcde\n" + END,
    "anything after chunk": CHUNKED + b"5\r\nabcdeXX" + END,
    "CR in extension": CHUNKED + b"5;a\rb\r\nabcde\r\n" + END,
    "LF in extension": CHUNKED + b"5;a\nabcde\r\n" + END,
    "NUL in extension": CHUNKED + b"5;a\x00\r\nabcde\r\n" + END,
    "LF at the end": CHUNKED + b"0\n\n",
    "length in trailer": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "coding in trailer": CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "malformed trailer": CHUNKED + b"0\r\nX y\r\n\r\n",
    # lines and characters
    "bare LF": b"GET /x HTTP/1.1\nHost: a\n\n",
    "bare LF in headers": POST + b"X: a\nY: b\r\n\r\n",
    "bare LF at the end of the head": POST + b"\n",
    "LF CR": POST + b"X: a\n\r\n",
    "bare CR": POST + b"X: a\rb\r\n\r\n",
    "two CR": POST + b"X: a\r\r\n\r\n",
    "folded header": POST + b"X: a\r\n b\r\n\r\n",
    "folded by tab": POST + b"X: a\r\n\tb\r\n\r\n",
    "blank first header": b"GET /x HTTP/1.1\r\n Host: a\r\n\r\n",
    "NUL in value": POST + b"X: a\x00b\r\n\r\n",
    "control in value": POST + b"X: a\x01b\r\n\r\n",
    "DEL in value": POST + b"X: a\x7fb\r\n\r\n",
    "NUL in name": POST + b"X\x00: a\r\n\r\n",
    "blank in name": POST + b"X Y: a\r\n\r\n",
    "no colon": POST + b"XY\r\n\r\n",
    "no name": POST + b": x\r\n\r\n",
    "non-ASCII name": POST + b"\xc3\xa9: x\r\n\r\n",
    # start line
    "HTTP/0.9": b"GET /x HTTP/0.9\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET /x HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/1.10": b"GET /x HTTP/1.10\r\nHost: a\r\n\r\n",
    "lower-case http": b"GET /x http/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"FOO /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "lower-case method": b"get /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "long method": b"A" * 8192 + b" /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "tab after method": b"GET\t/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "blank before method": b" GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "blank in target": b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n",
    "control in target": b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL in target": b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "non-ASCII target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "target without slash": b"GET x HTTP/1.1\r\nHost: a\r\n\r\n",
    "star and more": b"OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n",
    "foreign scheme": b"GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT to a path": b"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT to a URL": b"CONNECT http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    # host
    "no host": b"GET /x HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "one host twice": b"GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "two hosts in HTTP/1.0": b"GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    "list of hosts": b"GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "path in host": b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "user in host": b"GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n",
}
