"""Getting the settings: read, checked, and told where each came from. A wrong one is named, with the nearest one."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from config.settings import CONFIG_VARIABLE, PREFIX, Settings, variable_of

DEFAULT: Final = "default"
_PASSWORD: Final = re.compile(r"(?<=://)(?P<user>[^:/?#]*):[^@]*(?=@)")
_SECRET_PARAMETER: Final = re.compile(r"(?i)(?P<name>[?&][^=&]*(?:password|secret|token)[^=&]*)=[^&]*")


class SettingsError(ValueError):
    """A setting is wrong or unknown; the message names it and the remedy. Nothing may start."""


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One setting as it is shown; a secret's value is masked."""

    name: str
    variable: str
    value: str | int | float | None
    unit: str
    meaning: str
    origin: str


def load(overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process. `overrides` come from the command line; None among them counts as not given.

    Raises SettingsError.
    """
    _refuse_unknown_variables(os.environ)
    _refuse_wrong_file(os.environ.get(CONFIG_VARIABLE))
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_explained(error)) from None


def describe(settings: Settings, overrides: Mapping[str, Any] | None = None) -> Iterator[SettingLine]:
    """Each setting with value, unit, meaning and where it came from, in the order of their definition."""
    file = os.environ.get(CONFIG_VARIABLE)
    in_file = _read(Path(file)) if file else {}
    for name, field in Settings.model_fields.items():
        if (overrides or {}).get(name) is not None:
            origin = "command line"
        elif os.environ.get(variable_of(name)):
            origin = "environment"
        elif name in in_file:
            origin = str(file)
        else:
            origin = DEFAULT
        extra = field.json_schema_extra
        unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
        value = _shown(getattr(settings, name))
        yield SettingLine(name, variable_of(name), value, unit, field.description or "", origin)


def mask_url(url: str) -> str:
    """The URL without its password."""
    return _SECRET_PARAMETER.sub(r"\g<name>=***", _PASSWORD.sub(r"\g<user>:***", url))


def _shown(value: object) -> str | int | float | None:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return mask_url(text) if "://" in text else "***"
    return value if value is None or isinstance(value, int | float) else str(value)


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = [variable_of(name) for name in Settings.model_fields] + [CONFIG_VARIABLE]
    for name in sorted(environ):
        # The tests' own variables are none of the product's.
        if name.startswith(PREFIX) and name not in known and not name.startswith(f"{PREFIX}TEST_"):
            raise SettingsError(f"{name} is not a setting{_nearest(name, known)}")


def _refuse_wrong_file(file: str | None) -> None:
    if not file:
        return
    known = list(Settings.model_fields)
    for name, value in _read(Path(file)).items():
        if name not in known:
            raise SettingsError(f"{file}: {name} is not a setting{_nearest(name, known)}")
        if isinstance(value, dict | list):
            raise SettingsError(f"{file}: {name} is not a single value; for several topics write them with commas")


def _read(file: Path) -> Mapping[str, Any]:
    try:
        with file.open("rb") as text:
            return tomllib.load(text)
    except OSError as error:
        raise SettingsError(f"{file} cannot be read ({error.strerror}); name an existing TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}") from None


def _nearest(name: str, known: list[str]) -> str:
    bare = {one.removeprefix(PREFIX): one for one in known}
    near = get_close_matches(name.removeprefix(PREFIX), bare, n=1, cutoff=0.5)
    return f"; did you mean {bare[near[0]]}?" if near else "; `scorekeeper settings` lists them all"


def _explained(error: ValidationError) -> str:
    """The first problem, in one sentence. Values of secrets are not repeated."""
    problem = error.errors(include_url=False)[0]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    field = Settings.model_fields.get(name)
    is_secret = field is not None and "SecretStr" in str(field.annotation)
    given = "" if is_secret else f" is {str(problem['input'])!r}"
    return f"{variable_of(name)}{given}: {message[:1].lower()}{message[1:]}"
