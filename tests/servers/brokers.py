"""Kafka for the tests. Apache Kafka from Maven Central's jars where Java and Maven are, else what can be had."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Protocol

from app.embedded.broker import start_broker
from app.embedded.ports import is_listening
from app.embedded.process import ChildProcess
from app.streams.topics import Topics
from tests.servers import is_ci
from tests.servers.ports import free_port

HERE = Path(__file__).parent / "kafka"
CACHE = Path(__file__).parents[2] / ".cache" / "kafka-4.1.0"
READY_SECONDS = 300.0


class Broker(Protocol):
    """A Kafka-compatible broker that a test run uses."""

    bootstrap: str
    kind: str

    def stop(self) -> None: ...


class GivenBroker:
    """The one that SCOREKEEPER_TEST_KAFKA names."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.kind = f"Kafka at {bootstrap} (SCOREKEEPER_TEST_KAFKA)"

    def stop(self) -> None:
        """Not ours to stop."""


class TansuBroker:
    """The embedded broker, where no Kafka can be had."""

    kind = "the embedded broker (no Java and Maven, and no Docker engine, for Apache Kafka)"

    def __init__(self, home: Path) -> None:
        self._broker = start_broker(home, free_port())
        self.bootstrap = self._broker.bootstrap

    def stop(self) -> None:
        self._broker.stop()


class ContainerBroker:
    """Apache Kafka in a container."""

    kind = "Apache Kafka in a container"

    def __init__(self) -> None:
        from testcontainers.kafka import KafkaContainer

        self._container = KafkaContainer("apache/kafka:4.1.0")
        self._container.start()
        self.bootstrap = self._container.get_bootstrap_server()

    def stop(self) -> None:
        self._container.stop()


class ApacheKafka:
    """One Apache Kafka 4.1 broker and controller, from jars. May be stopped, killed, paused and started again."""

    kind = "Apache Kafka 4.1.0 from jars"

    def __init__(self, home: Path, port: int | None = None, **properties: str) -> None:
        self._home, self.log = home, home / "log"
        self._libs = _jars()
        port = port or free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        home.mkdir(parents=True, exist_ok=True)
        self._config = home / "server.properties"
        self._config.write_text(_properties(self.log, port, free_port(), properties))
        self._run_tool("format", "-t", self._run_tool("random-uuid").strip(), "-c", str(self._config))
        self._process: ChildProcess | None = None
        self.start()

    def start(self) -> None:
        """Start it (again) on the same port with the same log; returns when it answers."""
        command = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *self._java()]
        self._process = ChildProcess(
            "Apache Kafka", ["java", *command, "kafka.Kafka", str(self._config)], self._home / "kafka.log"
        )
        self._process.wait_until(lambda: answers(self.bootstrap), READY_SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(grace_seconds=15)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        if self._process is not None:
            self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._process.signal(signal.SIGCONT)

    def _java(self) -> list[str]:
        return [f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}", "-cp", f"{self._libs}/*"]

    def _run_tool(self, *arguments: str) -> str:
        tool = ["java", *self._java(), "kafka.tools.StorageTool", *arguments]
        return subprocess.run(tool, check=True, capture_output=True, text=True).stdout


def answers(bootstrap: str) -> bool:
    """Whether the broker answers a question now."""
    if not is_listening(int(bootstrap.rpartition(":")[2])):
        return False
    try:
        Topics(bootstrap, timeout_seconds=1.0).names()
    except Exception:  # noqa: BLE001  # any failure means: not yet
        return False
    return True


def start_any(home: Path) -> Broker:
    """The first that holds: the given one, a container, Apache Kafka from jars, the embedded broker (never in CI)."""
    given = os.environ.get("SCOREKEEPER_TEST_KAFKA")
    if given:
        return GivenBroker(given)
    if has_docker_engine():
        return ContainerBroker()
    if has_java():
        return ApacheKafka(home)
    if is_ci():
        raise RuntimeError("CI=true needs Apache Kafka: install a JDK (17 or later) and Maven")
    return TansuBroker(home)


def has_java() -> bool:
    return shutil.which("java") is not None and shutil.which("mvn") is not None


def has_docker_engine() -> bool:
    """Whether a Docker engine answers, quickly."""
    if shutil.which("docker") is None:
        return False
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=5, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _jars() -> Path:
    """The folder of Kafka's jars, fetched once."""
    libs = CACHE / "libs"
    if not (CACHE / "complete").exists():
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"]
        subprocess.run(["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *copy], check=True, cwd=CACHE)
        (CACHE / "complete").touch()
    return libs


def _properties(log: Path, port: int, controller: int, more: dict[str, str]) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(log),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "500",
        "auto.create.topics.enable": "false",
        "log.message.timestamp.type": "LogAppendTime",
        **{name.replace("_", "."): value for name, value in more.items()},
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
