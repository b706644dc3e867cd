"""The disk that lines go to."""

import os
from collections import namedtuple

import pytest

from payflux.checks.export import judge_disk


@pytest.mark.parametrize(("free", "verdict"), [(50, "pass"), (9, "warn"), (2, "fail")])
@pytest.mark.parametrize("what", ["f_bavail", "f_favail"])
def test_a_disk_that_fills_is_found(what: str, free: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Space and inodes count alike."""
    sizes = {"f_blocks": 100, "f_bavail": 50, "f_files": 100, "f_favail": 50} | {what: free}
    monkeypatch.setattr(os, "statvfs", lambda _: namedtuple("Sizes", sizes)(**sizes))  # noqa: PYI024
    assert judge_disk("/var/log/payflux/events.jsonl").verdict == verdict


def test_a_directory_that_is_not_there_fails() -> None:
    """The export file needs its directory."""
    assert judge_disk("/nowhere/events.jsonl").verdict == "fail"
