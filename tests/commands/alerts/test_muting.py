import json

import pytest

from operator_commands import environ, payflux
from servers import Server
from stream_keys import KEYS


@pytest.mark.process
def test_a_mute_from_its_making_to_its_end(server: Server) -> None:
    """It is listed with its reason while it holds, and gone when it is taken back."""
    known = ("--driver", "segment_degradation", "--value", "geo=BR", "--by", "me")
    made = payflux(environ(server.url), "alerts", "mute", "stripe", *known, "--for", "2h", "--why", "planned migration")
    assert made.returncode == 0, made.stderr
    name = made.stdout.decode().partition(":")[0]
    server.client.hset(KEYS.mutes, "old", json.dumps({"id": "old", "processor": "*", "until": 1, "why": "over"}))
    listed = json.loads(payflux(environ(server.url), "alerts", "mutes", "--json").stdout)["mutes"]
    [mute] = listed
    wanted = {"id": name, "processor": "stripe", "driver": "segment_degradation", "dimension": "geo", "value": "BR"}
    assert wanted.items() <= mute.items()
    assert mute["why"] == "planned migration"
    line = payflux(environ(server.url), "alerts", "mutes").stdout.decode().rstrip("\n").split("\t")
    assert line == [name, "stripe", "segment_degradation", "geo=BR", mute["until"], "me", "planned migration"]
    assert payflux(environ(server.url), "alerts", "unmute", name).returncode == 0
    again = payflux(environ(server.url), "alerts", "unmute", name)
    assert (again.returncode, b"there is no such mute" in again.stderr) == (1, True)


@pytest.mark.process
def test_what_cannot_be_muted_is_refused_all_at_once() -> None:
    """Each with what was expected."""
    wrong = ("Stripe!", "--driver", "sloth", "--value", "geo", "--for", "31d", "--why", " ")
    done = payflux(environ("redis://127.0.0.1:1"), "alerts", "mute", *wrong)
    assert done.returncode == 2
    said = done.stderr.decode()
    for part in ("Stripe!: expected a processor's name", "--driver sloth: expected one of", "--value geo: expected"):
        assert part in said
    assert "--for 31d: expected a duration of at most 30 days" in said
    assert "--why: expected a reason" in said
