"""What the kernel says: CPU time of processes and of the machine, memory, and what machine this is."""

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
"""Of the repository."""

TICK = os.sysconf("SC_CLK_TCK")
MODULES = ("httptools", "uvloop", "msgspec", "hiredis")


def supported() -> bool:
    """Whether this system can be measured: Linux can."""
    return Path("/proc/self/stat").exists()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, all its living threads included, to the nanosecond.

    `/proc/PID/task/*/schedstat` where the kernel keeps it (its first number is nanoseconds on a CPU); else the clock
    ticks of `/proc/PID/stat` (proc_pid_stat(5), fields 14 and 15), of 10 ms each.
    """
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except FileNotFoundError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


def busy_seconds() -> float:
    """CPU time the whole machine has spent on anything but waiting; time stolen by its host counts too."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICK


def rss_mib(pid: int) -> float:
    """Resident memory in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def open_files(wanted: int) -> None:
    """Raise the limit of open files for this process and those it starts, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))


def children(pid: int) -> list[int]:
    """The processes a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def host_kind() -> str:
    """A short name for a machine of this kind: system, architecture, CPUs."""
    return f"{sys.platform}-{platform.machine()}-{os.cpu_count()}cpu"


def describe(tools: Iterable[str]) -> dict[str, object]:
    """Machine, versions and commit.

    Args:
        tools: further commands, each of which tells its version when run.
    """
    status = _output("git status --porcelain")
    return {
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "modules": {name: _module_version(name) for name in MODULES},
        "tools": {tool.split()[0].rpartition("/")[2]: _output(tool) for tool in tools},
        "commit": _output("git rev-parse HEAD") + (" (with changes)" if status else ""),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _module_version(name: str) -> str:
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return _output([sys.executable, "-c", code])


def _output(command: str | list[str]) -> str:
    words = command.split() if isinstance(command, str) else command
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False, cwd=ROOT)
    except OSError:
        return ""
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else ""
