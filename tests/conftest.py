"""Servers and nodes for every test; the fixtures are in `support`."""

import signal
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import HealthCheck, settings

from needs import NEEDS, untested

pytest_plugins = ("real_parts",)
# How long an example takes says more of the machine than of the code: a first run builds tables, and CI is shared.
# The same examples each time: what is found is found by who changed something; the profile `other` draws others.
settings.register_profile(
    "payflux", deadline=None, max_examples=30, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("other", settings.get_profile("payflux"), derandomize=False)
settings.register_profile("faults", settings.get_profile("other"), max_examples=60, database=None)
settings.load_profile("payflux")
SKIPPED = Path("build", "skipped.txt")


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes of tests although a shell that starts us in the background ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A choice of tests that are all of the other kind (`-m`) is no failure."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.getoption("markexpr"):
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """End with what was not tested here, and add those tests to the list for a machine that has everything."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if isinstance(report.longrepr, tuple)]
    line = untested(report.longrepr[2] for report in skipped)
    if line:
        SKIPPED.parent.mkdir(exist_ok=True)
        known = SKIPPED.read_text().splitlines() if SKIPPED.exists() else []
        new = (report.nodeid for report in skipped if NEEDS in report.longrepr[2])
        SKIPPED.write_text("".join(f"{test}\n" for test in dict.fromkeys((*known, *new))))
        terminalreporter.write_line(line, yellow=True)
