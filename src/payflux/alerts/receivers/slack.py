"""Slack: an incoming webhook, or with a bot's token one message for each incident that is kept up to date.

Sources: api.slack.com, "Sending messages using incoming webhooks", `chat.postMessage`, `chat.update`, "Rate limits"
(one message a second and channel), "Block Kit": at most 50 blocks, 3,000 characters in a section, 150 in a header.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from payflux.alerts import Kind, Later, Notice, Refused, Request, Taken
from payflux.alerts.message import advice, facts, text, title
from payflux.alerts.sending import send
from payflux.outgoing.post import Answer, web_address
from payflux.settings import Setting, Values, optional

MOST_SECTION, MOST_TEXT, MOST_FIELD = 3000, 4000, 2000
BURST = 20
PASSING = {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
STOPPED = {"invalid_auth", "account_inactive", "token_revoked", "token_expired", "not_authed", "channel_not_found"}


WEBHOOK_URL = optional(
    "PAYFLUX_ALERT_SLACK_WEBHOOK_URL", web_address, "Address of an incoming webhook of Slack.", secret=True
)
TOKEN = optional(
    "PAYFLUX_ALERT_SLACK_TOKEN",
    str,
    "Token of a Slack app with `chat:write`: its messages are kept up to date, with replies in their thread.",
    secret=True,
)
CHANNEL = optional("PAYFLUX_ALERT_SLACK_CHANNEL", str, "Id of the channel the app with the token writes to.")
API_URL = Setting("PAYFLUX_ALERT_SLACK_API_URL", web_address, "https://slack.com/api", "Where Slack's API is.")


class Slack:
    """One channel."""

    def __init__(self, webhook: str, token: str, channel: str, api: str) -> None:
        self._webhook, self._token, self._channel, self._api = webhook, token, channel, api.rstrip("/")

    def requests(self, notice: Notice) -> list[Request]:
        """A message; with a token an update of the first one and a reply in its thread, once there is one."""
        message: dict[str, Any] = {"text": escaped(text(notice))[:MOST_TEXT], "blocks": blocks(notice)}
        if not self._token:
            return [self._request(self._webhook, message)]
        addressed = {"channel": self._channel, **message}
        if not notice.memory:
            return [self._request(f"{self._api}/chat.postMessage", addressed)]
        reply = {"channel": self._channel, "thread_ts": notice.memory, "text": escaped(title(notice))[:MOST_TEXT]}
        return [
            self._request(f"{self._api}/chat.update", addressed | {"ts": notice.memory}),
            self._request(f"{self._api}/chat.postMessage", reply | {"reply_broadcast": notice.kind == "worsened"}),
        ]

    def _request(self, url: str, message: dict[str, Any]) -> Request:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return Request(url, headers, msgspec.json.encode(message))

    def send(self, notice: Notice) -> Taken:
        """Write it; what is remembered is the time stamp that names the message."""
        memory, answered = notice.memory, ""
        for request in self.requests(notice):
            answer = send(request)
            answered = answer.told()
            if self._token:
                name = _judged(answer)
                memory = memory or name
        return Taken(answered, memory)


def _judged(answer: Answer) -> str:
    """The message's name, from an answer that is 200 whatever happened."""
    try:
        told = msgspec.json.decode(answer.body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise Later(f"no answer of Slack's: {answer.told()}") from None
    if told.get("ok") is True:
        return str(told.get("ts", ""))
    error = str(told.get("error", "unknown error"))
    if error in PASSING:
        raise Later(f"Slack: {error}")
    raise Refused(f"Slack: {error}", stopped=error in STOPPED)


def blocks(notice: Notice) -> list[dict[str, Any]]:
    """The message in Block Kit: a sentence, the facts in two columns, what to do."""
    found = [_section(f"*{escaped(title(notice))}*")]
    if notice.kind == "summary":
        return [_section(escaped(text(notice)))]
    fields = [f"*{name}*\n{escaped(said)}"[:MOST_FIELD] for name, said in facts(notice.incident)]
    for first in range(0, len(fields), 10):  # a section takes ten
        found += [{"type": "section", "fields": [_markdown(field) for field in fields[first : first + 10]]}]
    found.append(_section(escaped("\n".join(advice(notice)))))
    return found


def _section(said: str) -> dict[str, Any]:
    return {"type": "section", "text": _markdown(said[:MOST_SECTION])}


def _markdown(said: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": said}


def escaped(said: str) -> str:
    """The three characters that mean something to Slack, as it wants them."""
    return said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _make(values: Values) -> Slack:
    return Slack(values[WEBHOOK_URL] or "", values[TOKEN] or "", values[CHANNEL] or "", values[API_URL])


def _refuse(values: Values) -> Iterable[str]:
    if bool(values[WEBHOOK_URL]) == bool(values[TOKEN]):
        yield f"{WEBHOOK_URL.name}: expected the address of an incoming webhook, or {TOKEN.name} instead of it"
    if values[TOKEN] and not values[CHANNEL]:
        yield f"{CHANNEL.name}: expected the id of a channel, as {TOKEN.name} is set"


KIND = Kind(
    _make, "Slack, by an incoming webhook or an app", (WEBHOOK_URL, TOKEN, CHANNEL, API_URL), _refuse, burst=BURST
)
