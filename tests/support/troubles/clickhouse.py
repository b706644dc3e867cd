"""ClickHouse, as a process of its own."""

import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from destinations import free_port
from needs import program
from servers import until

CONFIG = """<yandex>
  <logger><level>warning</level><log>{folder}/log</log><errorlog>{folder}/errors</errorlog></logger>
  <http_port>{port}</http_port><listen_host>127.0.0.1</listen_host>
  <mark_cache_size>10000000</mark_cache_size><path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path>
  <users_config>users.xml</users_config><default_profile>default</default_profile>
  <default_database>default</default_database>
</yandex>"""
USERS = """<yandex><profiles><default/></profiles><quotas><default/></quotas><users><payflux>
  <password>secret</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
</payflux></users></yandex>"""


class ClickHouse:
    """One server, with a user `payflux`.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        folder.mkdir()
        (folder / "config.xml").write_text(CONFIG.format(folder=folder, port=self._port))
        (folder / "users.xml").write_text(USERS)
        command = [program("clickhouse-server"), f"--config-file={folder / 'config.xml'}"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet)
        until(self._answers, "ClickHouse")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    def ask(self, sql: str) -> list[list[str]]:
        """Run a statement; its rows."""
        login = urllib.parse.urlencode({"user": "payflux", "password": "secret"})
        request = urllib.request.Request(f"{self.url}/?{login}", sql.encode())  # noqa: S310 - ours
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            return [line.split("\t") for line in answer.read().decode().splitlines()]

    def _answers(self) -> bool:
        try:
            return self.ask("SELECT 1") == [["1"]]
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def clickhouse(folder: Path) -> Iterator[ClickHouse]:
    """A server, ended afterwards."""
    made = ClickHouse(folder)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait(10)
