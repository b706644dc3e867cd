"""PagerDuty and Slack as they document themselves, on this machine: every field and limit is checked.

Sources: developer.pagerduty.com, "PD-CEF" and "Send an alert event" (Events API v2); docs.slack.dev, "Sending messages
using incoming webhooks", `chat.postMessage`, `chat.update`, "Block Kit" reference, "Rate limits".
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from their_server import Answer

ROUTING_KEY = "R015ROUTINGKEY0123456789ABCDEF00"
TOKEN, CHANNEL = "xoxb-000000000000-token", "C0123456789"


class Invalid(Exception):
    """A request breaks a documented rule."""


def _rule(kept: object, rule: str) -> None:
    if not kept:
        raise Invalid(rule)


class Pager:
    """The Events API: alerts by their key, and what whoever is on duty saw of them.

    Attributes:
        seen: `triggered` and `resolved` with the key, each time a phone rang; the severities it was given since.
        down: it fails.
        left: how many events it takes before it says that there are too many.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.severities: dict[str, list[str]] = {}
        self.open: set[str] = set()
        self.problems: list[str] = []
        self.down = False
        self.left = 1_000_000

    def handle(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One event."""
        if self.down:
            return 500, {}, b""
        self.left -= 1
        if self.left < 0:
            self.left = 100
            return 429, {"Retry-After": "1"}, b'{"status":"throttle exceeded"}'
        try:
            _rule(path == "/v2/enqueue", "path")
            _rule(headers.get("content-type") == "application/json", "content type")
            _rule(len(body) <= 512 * 1024, "512 KB")
            event = json.loads(body)
            self._check(event)
        except (Invalid, ValueError, KeyError, TypeError) as error:
            self.problems.append(f"{type(error).__name__}: {error}")
            return 400, {}, json.dumps({"status": "invalid event", "errors": [str(error)]}).encode()
        return self._take(event)

    def _check(self, event: Any) -> None:
        _rule(event["routing_key"] == ROUTING_KEY, "routing_key")
        _rule(event["event_action"] in {"trigger", "acknowledge", "resolve"}, "event_action")
        _rule(0 < len(event["dedup_key"]) <= 255, "dedup_key")
        allowed = {"routing_key", "event_action", "dedup_key", "payload", "images", "links", "client", "client_url"}
        _rule(set(event) <= allowed, "unknown member")
        _rule(all(set(link) <= {"href", "text"} and link["href"] for link in event.get("links", [])), "links")
        if event["event_action"] == "trigger":
            self._check_payload(event["payload"])

    @staticmethod
    def _check_payload(payload: Any) -> None:
        texts = {"summary", "source", "severity", "timestamp", "component", "group", "class"}
        _rule(set(payload) <= texts | {"custom_details"}, "unknown member of payload")
        _rule(all(isinstance(payload[name], str) for name in texts & set(payload)), "texts")
        _rule(0 < len(payload["summary"]) <= 1024 and payload["source"], "summary and source")
        _rule(payload["severity"] in {"critical", "error", "warning", "info"}, "severity")
        datetime.fromisoformat(payload.get("timestamp", "2026-01-01"))
        _rule(isinstance(payload.get("custom_details", {}), dict), "custom_details")

    def _take(self, event: Any) -> Answer:
        key = event["dedup_key"]
        if event["event_action"] == "trigger":
            if key not in self.open:
                self.seen.append(("triggered", key))
            self.open.add(key)
            self.severities.setdefault(key, []).append(event["payload"]["severity"])
        elif key in self.open:
            self.open.discard(key)
            self.seen.append(("resolved", key))
        answer = {"status": "success", "message": "Event processed", "dedup_key": key}
        return 202, {}, json.dumps(answer).encode()


class Chat:
    """A workspace of Slack with one channel, an incoming webhook to it and an app in it.

    Attributes:
        messages: text and blocks of each message of the channel by its time stamp, as they stand; in order.
        replies: the texts in the thread of a message.
        problems: what broke a rule.
        down: it fails.
        left: how many messages it takes before it asks for a second's rest.
    """

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.replies: dict[str, list[str]] = {}
        self.problems: list[str] = []
        self.down = False
        self.left = 1_000_000

    @property
    def texts(self) -> list[str]:
        """The first line of each message of the channel."""
        return [message["text"].partition("\n")[0] for message in self.messages.values()]

    def handle(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request."""
        if self.down:
            return 503, {}, b"down"
        self.left -= 1
        if self.left < 0:
            self.left = 100
            return 429, {"Retry-After": "1"}, b"rate_limited"
        hook = path.startswith("/services/")
        try:
            message = json.loads(body)
            _rule(headers["content-type"].startswith("application/json"), "content type")
            check_message(message)
            ts = self._take(path, headers, message)
        except (Invalid, ValueError, KeyError, TypeError) as error:
            self.problems.append(f"{type(error).__name__}: {error}")
            told = json.dumps({"ok": False, "error": "invalid_blocks", "detail": str(error)}).encode()
            return (400, {}, b"invalid_payload") if hook else (200, {}, told)
        done = json.dumps({"ok": True, "channel": CHANNEL, "ts": ts}).encode()
        return 200, {}, b"ok" if hook else done

    def _take(self, path: str, headers: Mapping[str, str], message: Any) -> str:
        if path == "/services/T000/B000/secret":
            return self._post(message)
        _rule(headers.get("authorization") == f"Bearer {TOKEN}", "token")
        _rule(message["channel"] == CHANNEL, "channel")
        if path == "/api/chat.update":
            _rule(message["ts"] in self.messages, "message_not_found")
            self.messages[message["ts"]] = message
            return str(message["ts"])
        _rule(path == "/api/chat.postMessage", "path")
        if thread := message.get("thread_ts"):
            _rule(thread in self.messages, "thread_not_found")
            self.replies.setdefault(thread, []).append(message["text"])
            return "1700000000.999999"
        return self._post(message)

    def _post(self, message: Any) -> str:
        ts = f"1700000000.{len(self.messages):06}"
        self.messages[ts] = message
        return ts


def check_message(message: Any) -> None:
    """The limits of a message and its blocks."""
    _rule(0 < len(message["text"]) <= 4000, "text: 4,000 characters are shown well")
    blocks = message.get("blocks", [])
    _rule(len(blocks) <= 50, "50 blocks")
    for block in blocks:
        _rule(block["type"] in {"section", "header", "divider", "context"}, "type of block")
        _rule(block.keys() <= {"type", "text", "fields", "block_id"}, "unknown member of a block")
        _rule("text" in block or block.get("fields"), "text or fields")
        for text, most in [(block.get("text"), 3000), *((field, 2000) for field in block.get("fields", []))]:
            _rule(text is None or (text["type"] in {"mrkdwn", "plain_text"} and 0 < len(text["text"]) <= most), "text")
        _rule(len(block.get("fields", [])) <= 10, "10 fields")
