"""Programs of the distribution that some tests talk to, and the package each comes in (Debian's names).

Run as a program it prints the packages whose program is missing, one a line; it needs nothing but Python.
"""

import shutil
from collections.abc import Iterable

PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "clickhouse-server": "clickhouse-server",
    "curl": "curl",
    "fish": "fish",
    "git": "git",
    "ldd": "libc-bin",
    "logrotate": "logrotate",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "redis-cli": "redis-tools",
    "redis-server": "redis-server",
    "strace": "strace",
    "systemd-analyze": "systemd",
    "zsh": "zsh",
}


def packages(programs: Iterable[str]) -> list[str]:
    """The packages that bring these programs, each once, in order of the alphabet."""
    return sorted({PACKAGES[program] for program in programs})


def absent() -> list[str]:
    """The programs that are not on the PATH."""
    return [program for program in PACKAGES if shutil.which(program) is None]


if __name__ == "__main__":
    print("\n".join(packages(absent())))  # noqa: T201 - what it is for
