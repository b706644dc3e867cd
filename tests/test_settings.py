"""Settings: what is read from the environment, and every problem with it at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.errors import SettingsError
from payflux.node.settings import SETTINGS
from payflux.settings import Setting, Values, choice, flag, integer, load, mask, optional, words

COUNT = Setting("PAYFLUX_COUNT", integer(1, 100), "10", "How many.")
MODE = Setting("PAYFLUX_MODE", choice("fast", "safe"), "safe", "Which way.")
ADDRESS = optional("HOST_ADDRESS", str, "Where.")
SECRET = optional("PAYFLUX_SECRET", words, "A secret.", secret=True)
DECLARED = (COUNT, MODE, ADDRESS, SECRET)
DEFAULTS = {
    "PAYFLUX_API_KEYS": None,
    "PAYFLUX_API_KEY": None,
    "STRIPE_API_KEY": None,
    "PAYFLUX_CHECKOUT_ENABLED": "true",
    "REDIS_ADDR": "localhost:6379",
    "HTTP_ADDR": ":8080",
    "PAYFLUX_ADMIN_ADDR": None,
    "PAYFLUX_METRICS_TOKEN": None,
    "PAYFLUX_HTTP_KEEPALIVE_SEC": "75",
    "PAYFLUX_WORKERS": None,
    "PAYFLUX_CONSUMER_NAME": None,
    "PAYFLUX_RATELIMIT_RPS": "100",
    "PAYFLUX_RATELIMIT_BURST": "500",
    "PAYFLUX_STREAM_MAXLEN": "200000",
    "PAYFLUX_DEDUP_TTL_SEC": "86400",
    "PAYFLUX_PANIC_MODE": "crash",
    "PAYFLUX_EXPORT_MODE": "stdout",
    "PAYFLUX_EXPORT_FILE": None,
    "PAYFLUX_EXPORT_ACK": "ack_then_export",
    "PAYFLUX_CLAIM_IDLE_SEC": "30",
    "PAYFLUX_MAX_DELIVERIES": "5",
    "PAYFLUX_RISK_SCORE_ENABLED": "true",
    "PAYFLUX_RISK_SCORE_WINDOW_SEC": "300",
    "PAYFLUX_RISK_SCORE_THRESHOLDS": "0.3,0.6,0.8",
    "PAYFLUX_RISK_EVIDENCE": "false",
}
SERVICE = (  # what Kubernetes injects for a Service named payflux
    *("PAYFLUX_SERVICE_HOST", "PAYFLUX_SERVICE_PORT", "PAYFLUX_SERVICE_PORT_HTTP", "PAYFLUX_PORT"),
    *("PAYFLUX_PORT_8080_TCP", "PAYFLUX_PORT_8080_TCP_ADDR", "PAYFLUX_PORT_8080_TCP_PORT"),
    "PAYFLUX_PORT_8080_TCP_PROTO",
)


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    """What is wrong with an environment."""
    with pytest.raises(SettingsError) as caught:
        load(DECLARED, environ)
    assert str(caught.value).split("\n") == list(caught.value.problems)
    return caught.value.problems


def test_defaults_stand_where_nothing_is_set() -> None:
    """A variable that is unset, empty or blank has its default, or None where there is none."""
    for environ in ({}, {"PAYFLUX_COUNT": "", "PAYFLUX_MODE": " ", "HOST_ADDRESS": "\t"}):
        values = load(DECLARED, environ)
        assert (values[COUNT], values[MODE], values[ADDRESS], values[SECRET]) == (10, "safe", None, None)
        assert not any(values.is_set(setting) for setting in DECLARED)
        assert [values.text(setting) for setting in DECLARED] == ["10", "safe", None, None]


def test_what_is_set_is_read_without_blanks_around_it() -> None:
    """Values are trimmed and parsed; a secret is shown masked."""
    environ = {
        "PAYFLUX_COUNT": " 7 ",
        "PAYFLUX_MODE": "fast",
        "HOST_ADDRESS": "a b",
        "PAYFLUX_SECRET": "long-secret-xy",
    }
    values = load(DECLARED, environ)
    assert (values[COUNT], values[MODE], values[ADDRESS]) == (7, "fast", "a b")
    assert values[SECRET] == ("long-secret-xy",)
    assert all(values.is_set(setting) for setting in DECLARED)
    assert values.text(SECRET) == "****xy"
    assert values.text(COUNT) == "7"
    assert values.warnings == ()


def test_all_problems_are_named_at_once() -> None:
    """One line for each, with name, value and what was expected; unknown variables among them."""
    environ = {"PAYFLUX_COUNT": "many", "PAYFLUX_MODE": "quick", "PAYFLUX_MODES": "fast", "PATH": "/bin"}
    assert problems(environ) == (
        "PAYFLUX_COUNT='many': expected a whole number from 1 to 100",
        "PAYFLUX_MODE='quick': expected one of fast, safe",
        "PAYFLUX_MODES: unknown variable, did you mean PAYFLUX_MODE?",
    )


def test_a_problem_stays_on_one_line() -> None:
    """Line ends and control characters in a value are escaped."""
    (problem,) = problems({"PAYFLUX_COUNT": "1\n2\x1b[2J"})
    assert problem == r"PAYFLUX_COUNT='1\n2\x1b[2J': expected a whole number from 1 to 100"


def test_a_secret_in_a_problem_is_masked() -> None:
    """What is wrong with a secret is said without the secret."""
    (problem,) = problems({"PAYFLUX_SECRET": " , ,, ,,,,,,,,, ,, "})
    assert problem == "PAYFLUX_SECRET='****,,': expected at least one value, separated by commas"


@pytest.mark.parametrize("login", ["redis://:hunter22@host", "redis://bob:hunt/er22@host:1", "bob:hunter22@host"])
def test_a_login_in_any_value_is_masked(login: str) -> None:
    """Whoever writes a password where none belongs does not find it in the log."""
    (problem,) = problems({"PAYFLUX_COUNT": login})
    assert "er22" not in problem
    assert "****@host" in problem


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("", "****"),
        ("short", "****"),
        ("elevenchars", "****"),
        ("twelve-chars", "****rs"),
        ("x" * 500 + "yz", "****yz"),
    ],
)
def test_masks_show_next_to_nothing(secret: str, shown: str) -> None:
    """Two characters of a long secret, none of a short one."""
    assert mask(secret) == shown


def test_rules_over_several_settings_are_asked() -> None:
    """Each rule adds its lines; one about a setting that is reported already is left out, and stops no other."""

    def about_both(values: Values) -> Iterator[str]:
        yield f"{values[COUNT]} does not go with {values[MODE]}"

    def about_mode(values: Values) -> list[str]:
        return [f"never {values[MODE]}"]

    with pytest.raises(SettingsError) as caught:
        load(DECLARED, {}, [about_both, about_mode])
    assert caught.value.problems == ("10 does not go with safe", "never safe")
    with pytest.raises(SettingsError) as caught:
        load(DECLARED, {"PAYFLUX_COUNT": "0"}, [about_both, about_mode])
    assert caught.value.problems == ("PAYFLUX_COUNT='0': expected a whole number from 1 to 100", "never safe")


# unknown variables


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("PAYFLUX_API_KEYZ", "PAYFLUX_API_KEY"),
        ("PAYFLUX_APIKEY", "PAYFLUX_API_KEY"),
        ("PAYFLUX_APIKEYS", "PAYFLUX_API_KEYS"),
        ("PAYFLUX_WORKER", "PAYFLUX_WORKERS"),
        ("PAYFLUX_RATE_LIMIT_RPS", "PAYFLUX_RATELIMIT_RPS"),
        ("PAYFLUX_STREAM_MAX_LEN", "PAYFLUX_STREAM_MAXLEN"),
        ("PAYFLUX_DEDUP_TTL", "PAYFLUX_DEDUP_TTL_SEC"),
        ("PAYFLUX_EXPORT_FILES", "PAYFLUX_EXPORT_FILE"),
        ("PAYFLUX_RISK_SCORE_WINDOW", "PAYFLUX_RISK_SCORE_WINDOW_SEC"),
        ("PAYFLUX_RISK_SCORE_TRESHOLDS", "PAYFLUX_RISK_SCORE_THRESHOLDS"),
        ("PAYFLUX_MAX_DELIVERY", "PAYFLUX_MAX_DELIVERIES"),
    ],
)
def test_a_misspelt_variable_is_refused(misspelt: str, meant: str) -> None:
    """Somebody who mistypes a name learns which one was meant, not that it had no effect."""
    with pytest.raises(SettingsError) as caught:
        load(SETTINGS, {misspelt: "1"})
    assert caught.value.problems == (f"{misspelt}: unknown variable, did you mean {meant}?",)


def test_unknown_variables_that_resemble_none_are_warnings() -> None:
    """What Kubernetes injects for a Service of our name stops nothing, and is mentioned; others' variables are not."""
    values = load(SETTINGS, dict.fromkeys((*SERVICE, "PAY_FLUX", "REDIS_PORT", "payflux_api_key"), "tcp://10.0.0.1:80"))
    assert values.warnings == tuple(f"{name}: unknown variable, ignored" for name in sorted(SERVICE))


def test_no_setting_resembles_another() -> None:
    """Each setting of a node can be set alone without being taken for a misspelling."""
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
    for setting in SETTINGS:
        if setting.default:  # an empty one counts as unset
            values = load(SETTINGS, {setting.name: setting.default})
            assert values.is_set(setting)
            assert values.warnings == ()


def test_the_defaults_are_those_of_the_contract() -> None:
    """Every documented variable has its documented default, which its own parser accepts, and a help text."""
    declared = {setting.name: setting for setting in SETTINGS}
    assert {name: declared[name].default for name in DEFAULTS} == DEFAULTS
    load(SETTINGS, {})
    assert all(setting.help.endswith(".") for setting in SETTINGS)
    assert {s.name for s in SETTINGS if s.secret} == {
        "PAYFLUX_API_KEY",
        "PAYFLUX_API_KEYS",
        "PAYFLUX_METRICS_TOKEN",
        "PAYFLUX_HASH_KEY",
        "PAYFLUX_WEBHOOK_ADYEN_BASIC",
        *(f"PAYFLUX_WEBHOOK_{name}_SECRETS" for name in ("ADYEN", "BRAINTREE", "CHECKOUT", "PAYPAL", "STRIPE")),
        *(
            f"PAYFLUX_ALERT_{name}"
            for name in ("PAGERDUTY_ROUTING_KEY", "SLACK_TOKEN", "SLACK_WEBHOOK_URL", "WEBHOOK_SECRETS")
        ),
        "PAYFLUX_EXPORT_WEBHOOK_HEADERS",
        "PAYFLUX_EXPORT_WEBHOOK_SECRETS",
        "PAYFLUX_READ_KEYS",
        "STRIPE_API_KEY",
        "REDIS_URL",
    }


# parsers


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(-100, 3000))
def test_integers_are_read_within_their_bounds(low: int, span: int, value: int) -> None:
    """A number within the bounds is read, any other one is refused with the bounds in words."""
    high = low + span
    if low <= value <= high:
        assert integer(low, high)(str(value)) == value
        assert integer(low)(str(value)) == value
    else:
        with pytest.raises(ValueError, match=f"a whole number from {low} to {high}"):
            integer(low, high)(str(value))


@pytest.mark.parametrize(
    "text", ["", "x", "1.0", "1e3", "+1", "-1", "0x1", "1_000", "\uff11", "²", "1 0", "9" * 16, "9" * 5000, "1\n"]
)
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    """Python reads more as a number than an operator means."""
    with pytest.raises(ValueError, match="a whole number, 1 or more"):
        integer(1)(text)


def test_flags_are_read_in_any_spelling() -> None:
    """The usual words for yes and no, in any letter case, and nothing else."""
    assert all(flag(text) for text in ("true", "True", "TRUE", "1", "yes", "on"))
    assert not any(flag(text) for text in ("false", "False", "0", "no", "OFF"))
    for text in ("", "2", "y", "enabled", "truee"):
        with pytest.raises(ValueError, match="true or false"):
            flag(text)


def test_choices_are_exact() -> None:
    """One of the words as written, not one like it."""
    assert choice("stdout", "file")("file") == "file"
    for text in ("File", "", "stdout,file"):
        with pytest.raises(ValueError, match="one of stdout, file"):
            choice("stdout", "file")(text)


@given(st.lists(st.text(st.characters(exclude_characters=",\n"), max_size=5)))
def test_words_are_those_between_the_commas(parts: list[str]) -> None:
    """Or line ends; blanks around words and empty words are dropped; no word at all is refused."""
    wanted = tuple(part.strip() for part in parts if part.strip())
    if wanted:
        assert words(",".join(parts)) == words("\n".join(parts)) == wanted
    else:
        with pytest.raises(ValueError, match="at least one value"):
            words(",".join(parts))


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """Blanks around it do not count, several stand on lines of their own, and it is masked like any other."""
    file = tmp_path / "secret"
    file.write_text("\n one-long-secret\ntwo,three\n\n")
    values = load(DECLARED, {"PAYFLUX_SECRET_FILE": str(file), "PAYFLUX_COUNT": "7"})
    assert values[SECRET] == ("one-long-secret", "two", "three")
    assert values.is_set(SECRET)
    assert [values.source(setting) for setting in (SECRET, COUNT, MODE)] == ["file", "environment", "default"]
    assert "one-long" not in (values.text(SECRET) or "")
    assert load(DECLARED, values.given())[SECRET] == values[SECRET]


def test_a_file_without_a_secret_is_refused(tmp_path: Path) -> None:
    """One line for each, naming variable and path, and nothing of what stands in it."""
    contents = {"empty": b" \n", "binary": b"\xff\xfe", "nul": b"secret\0", "huge": b"secret" * 20_000}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    expected = {
        "empty": "a file with the secret in it, this one is empty",
        "binary": "a text file of at most",
        "nul": "a text file of at most",
        "huge": "a text file of at most",
        "link": "a file that can be read (No such file or directory)",
        ".": "a file that can be read (Is a directory)",
    }
    for name, reason in expected.items():
        path = str(tmp_path / name)
        [problem] = problems({"PAYFLUX_SECRET_FILE": path})
        assert problem.startswith(f"PAYFLUX_SECRET_FILE={path!r}: expected {reason}")
    (tmp_path / "good").write_text("secret")
    [both] = problems({"PAYFLUX_SECRET": "other", "PAYFLUX_SECRET_FILE": str(tmp_path / "good")})
    assert "expected nothing, as PAYFLUX_SECRET is set too" in both
    assert load(DECLARED, {"PAYFLUX_SECRET": " ", "PAYFLUX_SECRET_FILE": str(tmp_path / "good")})[SECRET] == ("secret",)


def test_only_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """A file for any other variable is one nobody knows."""
    (tmp_path / "count").write_text("7")
    [problem] = problems({"PAYFLUX_COUNT_FILE": str(tmp_path / "count")} | {"PAYFLUX_MODE": "slow"})[:1]
    assert "PAYFLUX_MODE" in problem
    values = load(DECLARED, {"PAYFLUX_COUNT_FILE": str(tmp_path / "count")})
    assert values[COUNT] == 10
    assert values.warnings == ("PAYFLUX_COUNT_FILE: unknown variable, ignored",)
