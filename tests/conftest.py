"""Servers and nodes for every test; the fixtures are in `support`."""

from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import HealthCheck, settings

from needs import NEEDS, untested

pytest_plugins = ("real_parts",)
# How long an example takes says more of the machine than of the code: a first run builds tables, and CI is shared.
settings.register_profile("payflux", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("faults", settings.get_profile("payflux"), max_examples=60, database=None)
settings.load_profile("payflux")
SKIPPED = Path("build", "skipped.txt")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """End with what was not tested here, and keep the list of those tests for a machine that has everything."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if isinstance(report.longrepr, tuple)]
    line = untested(report.longrepr[2] for report in skipped)
    if line:
        SKIPPED.parent.mkdir(exist_ok=True)
        SKIPPED.write_text("".join(f"{report.nodeid}\n" for report in skipped if NEEDS in report.longrepr[2]))
        terminalreporter.write_line(line, yellow=True)
