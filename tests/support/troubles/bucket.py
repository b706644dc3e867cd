"""An object store that speaks S3, as a process of its own."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from needs import module
from servers import until

NAME = "events"
ACCESS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-central-1"}


def aws(port: int) -> dict[str, str]:
    """The environment of whoever uses the store at this port."""
    return {**ACCESS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


class Bucket:
    """One bucket.

    Args:
        port: of the store.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        environ = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def make(self) -> None:
        """Make the bucket, once the store is up."""

        def made() -> bool:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                location = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>"
                connection.request("PUT", f"/{NAME}", f"{location}</CreateBucketConfiguration>")
                return connection.getresponse().status == 200
            except OSError:
                return False
            finally:
                connection.close()

        until(made, "the object store")

    def store(self) -> Any:
        """The bucket, to read from."""
        from obstore.store import S3Store  # noqa: PLC0415 - not everywhere

        return S3Store(
            NAME,
            endpoint=f"http://127.0.0.1:{self.port}",
            access_key_id="a",
            secret_access_key="b",
            region="eu-central-1",
            client_options={"allow_http": True},
        )

    def copy(self, folder: Path) -> None:
        """Every object, as a file in this folder."""
        import obstore  # noqa: PLC0415 - not everywhere

        store = self.store()
        for page in obstore.list(store):
            for one in page:
                file = folder / one["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(obstore.get(store, one["path"]).bytes())


@contextmanager
def bucket(port: int) -> Iterator[Bucket]:
    """A bucket, ended afterwards."""
    for name in ("moto", "flask", "obstore", "arro3"):
        module(name)
    made = Bucket(port)
    try:
        made.make()
        yield made
    finally:
        made.process.kill()
        made.process.wait(10)
