"""A key that is revoked on the command line ends within a second in every API process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.processes import PATIENCE_SECONDS, ForkedDeployment, eventually
from tests.servers.ports import free_port


def is_serving(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.kafka
def test_a_revoked_key_ends_in_every_process(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, sqlite_url: str, make_topic: Callable[..., str]
) -> None:
    with ForkedDeployment(tmp_path, kafka_bootstrap, redis_url, sqlite_url, make_topic(1)) as made:
        ports = [free_port(), free_port()]
        processes = [
            made.start(f"API {port}", "api", log=tmp_path / f"api-{port}.log", SCOREKEEPER_PORT=str(port))
            for port in ports
        ]
        try:
            made.create_project("shop")
            urls = [f"http://127.0.0.1:{port}" for port in ports]
            for url in urls:
                eventually(lambda url=url: is_serving(url), what="the API")  # type: ignore[misc]  # mypy knows no bound default
            # Of each process, when the last request began that the key opened; and how it ended.
            opened: dict[str, float] = {}
            refused: dict[str, int] = {}

            def keep_asking(url: str) -> None:
                with httpx.Client(base_url=url, headers={"x-api-key": made.key}, timeout=PATIENCE_SECONDS) as client:
                    while url not in refused:
                        begun = time.monotonic()
                        status = client.get("/api/audit").status_code
                        if status == 200:
                            opened[url] = begun
                        elif status != 503:  # a machine that is busy with other tests
                            refused[url] = status

            askers = [threading.Thread(target=keep_asking, args=(url,), daemon=True) for url in urls]
            for asker in askers:
                asker.start()
            eventually(lambda: len(opened) == 2, what="answers of both")
            made.run("keys", "revoke", made.key.split("_")[1])
            revoked = time.monotonic()
            for asker in askers:
                asker.join(PATIENCE_SECONDS)
            assert list(refused.values()) == [401, 401]
            late = {url: at - revoked for url, at in opened.items()}
            assert max(late.values()) < 1.0, late
        finally:
            for process in processes:
                process.stop()
