"""Settings: where they come from, and how a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loading import SettingsError, describe, load, mask_url
from config.settings import PREFIX, Settings, variable_of


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)
    monkeypatch.delenv("SCOREKEEPER_CONFIG", raising=False)


def test_without_anything_set_every_setting_has_its_default() -> None:
    assert {line.origin for line in describe(load())} == {"default"}


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "scorekeeper.toml"
    file.write_text('port = 1\nhost = "0.0.0.0"\ntopic = "clicks"\n')
    monkeypatch.setenv("SCOREKEEPER_CONFIG", str(file))
    monkeypatch.setenv("SCOREKEEPER_PORT", "2")
    monkeypatch.setenv("SCOREKEEPER_HOST", "localhost")
    settings = load({"port": 3, "host": None})
    assert (settings.port, settings.host, settings.topic) == (3, "localhost", "clicks")
    origins = {line.name: line.origin for line in describe(settings, {"port": 3})}
    assert origins["port"] == "command line"
    assert origins["host"] == "environment"
    assert origins["topic"] == str(file)
    assert origins["stripes"] == "default"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SCOREKEEPER_PROT", "1", "SCOREKEEPER_PROT is not a setting; did you mean SCOREKEEPER_PORT?"),
        ("SCOREKEEPER_KAFKA_BROKER", "x:1", "did you mean SCOREKEEPER_KAFKA"),
        ("SCOREKEEPER_ZZZZZZZZZZZZ", "x", "`scorekeeper settings` lists them all"),
        ("SCOREKEEPER_PORT", "http", "SCOREKEEPER_PORT is 'http'"),
        ("SCOREKEEPER_PORT", "70000", "SCOREKEEPER_PORT is '70000'"),
        ("SCOREKEEPER_TOPIC", " , ", "SCOREKEEPER_TOPIC names no topic"),
        ("SCOREKEEPER_DEAD_LETTER_TOPIC", "events", "SCOREKEEPER_DEAD_LETTER_TOPIC"),
        ("SCOREKEEPER_LOG_FORMAT", "xml", "'auto', 'json' or 'text'"),
        ("SCOREKEEPER_KAFKA_SECURITY_PROTOCOL", "SASL_SSL", "SCOREKEEPER_KAFKA_SASL_USERNAME"),
        ("SCOREKEEPER_STATUS_AT_RISK_RATIO", "0.95", "SCOREKEEPER_STATUS_ON_TRACK_RATIO"),
        ("SCOREKEEPER_CONFIG", "absent.toml", "absent.toml cannot be read"),
        ("SCOREKEEPER_TOPIC", "events,größe", "SCOREKEEPER_TOPIC: 'größe' can be no topic's name"),
        ("SCOREKEEPER_TOPIC", "..", "SCOREKEEPER_TOPIC: '..' can be no topic's name"),
        ("SCOREKEEPER_TOPIC", "a" * 249, "SCOREKEEPER_DEAD_LETTER_TOPIC: 'aaa"),
        ("SCOREKEEPER_RECEIPT_TOPIC", "two words", "SCOREKEEPER_RECEIPT_TOPIC: 'two words'"),
        ("SCOREKEEPER_REPLICATION", "0", "SCOREKEEPER_REPLICATION is 0"),
        ("SCOREKEEPER_REPLICATION", "99999", "SCOREKEEPER_REPLICATION is '99999'"),
        ("SCOREKEEPER_TRACES", "collector:4318", "like http://collector:4318"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "prot is not a setting; did you mean port?"),
        ("[kafka]\nx = 1", "kafka is not a single value"),
        ("port = ", "is not TOML"),
        ("port = 'x'", "SCOREKEEPER_PORT is 'x'"),
    ],
)
def test_a_wrong_file_stops_the_start_and_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    monkeypatch.setenv("SCOREKEEPER_CONFIG", str(file))
    with pytest.raises(SettingsError) as caught:
        load()
    assert said in str(caught.value)


@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if field.annotation is float])
@pytest.mark.parametrize("value", ["inf", "nan", "1e20"])
def test_no_length_of_time_and_no_share_is_without_end(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(variable_of(name), value)
    with pytest.raises(SettingsError, match=f"{variable_of(name)} is '{value}'"):
        load()


@pytest.mark.parametrize("brokers", ["h:x", "kafka-1:9092, kafka-2:0", "h:", "h:65536", "h:-1", "[::1]:x", "h:٩٠٩٢"])
def test_a_broker_whose_port_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, brokers: str) -> None:
    monkeypatch.setenv("SCOREKEEPER_KAFKA", brokers)
    wrong = brokers.split(", ")[-1]
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value).startswith(f"SCOREKEEPER_KAFKA: {wrong!r} ends in no port; give host:port[,host:port]")


@pytest.mark.parametrize("brokers", ["kafka", "kafka-1:9092, kafka-2:9093", "[::1]:9092", "[::1]", "127.0.0.1:65535"])
def test_brokers_are_taken_with_a_port_and_without(monkeypatch: pytest.MonkeyPatch, brokers: str) -> None:
    monkeypatch.setenv("SCOREKEEPER_KAFKA", brokers)
    assert load().kafka == brokers


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREKEEPER_REDIS", "rediss://me:hush1@redis.example:6380/0")
    monkeypatch.setenv("SCOREKEEPER_DATABASE", "postgresql+psycopg://me:hush2@db.example/scores?password=hush3")
    monkeypatch.setenv("SCOREKEEPER_KAFKA_SASL_PASSWORD", "hush4")
    settings = load()
    shown = " ".join(str(line.value) for line in describe(settings))
    assert "redis.example" in shown
    assert "hush" not in shown + repr(settings)


def test_settings_do_not_change_after_the_start() -> None:
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_every_setting_says_what_it_means() -> None:
    for line in describe(load()):
        assert line.meaning.endswith("."), line.name
        assert line.variable == PREFIX + line.name.upper()


def test_a_url_without_a_password_stays_as_it_is() -> None:
    assert mask_url("redis://127.0.0.1:6379/0") == "redis://127.0.0.1:6379/0"
