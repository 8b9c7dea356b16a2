"""The command line's front door: joins the groups of commands and turns every error into one sentence."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from app.cli.printing import tell
from app.errors import (
    GenerationMissing,
    InvalidDefinition,
    InvalidSettings,
    NotFound,
    OtherScheme,
    ScorekeeperError,
    StoreUnavailable,
)
from config.loading import SettingsError
from config.logging import mask
from config.settings import CONFIG_VARIABLE, Settings, variable_of

PLACES = {"--config": CONFIG_VARIABLE, "--data-dir": variable_of("data_dir")}
VARIABLES = {"kafka": "SCOREKEEPER_KAFKA", "redis": "SCOREKEEPER_REDIS", "sql": "SCOREKEEPER_DATABASE"}
LISTS = {
    "project": "projects list",
    "goal": "goals",
    "API key": "keys list",
    "live API key": "keys list",
    "experiment": "experiments",
    "topic": "topics list",
}
"""What lists those that there are, by what was not found."""

COMMANDS = {
    "up": "up:up",
    "worker": "parts:worker",
    "api": "parts:api",
    "migrate": "parts:migrate",
    "publish": "publishing:publish",
    "wait": "waiting:wait",
    "goals": "goals:goals",
    "watch": "goals:watch",
    "experiments": "experiments:experiments",
    "status": "status:status",
    "verify": "proof:verify",
    "rebuild": "proof:rebuild",
    "export": "definitions:export",
    "apply": "definitions:apply",
    "match": "matching:match",
    "check-cases": "cases:check_cases",
    "settings": "settings:show_settings",
    "plan": "sizing:plan",
    "doctor": "doctor:doctor",
    "projects": "projects:projects",
    "keys": "projects:keys",
    "topics": "topics:topics",
    "generations": "proof:generations",
    "snapshot": "snapshots:snapshot",
    "dead-letters": "dead_letters:dead_letters",
}
"""Each command, in the order of the help, and where it is: a module beside this one, and what it is called there."""


def command_line(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands. To load all takes longer than most of them."""
    made = typer.Typer(
        name="scorekeeper",
        help="An exact conversion tracker: Kafka events in, goals out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    made.callback()(_options)
    for name in names:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(f"app.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            made.add_typer(command, name=name)
        else:
            made.command(name)(command)
    return made


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(installed_version("scorekeeper"))
        raise typer.Exit


def _options(
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file with settings; it may stand anywhere in the line.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Where everything embedded lives; it may stand anywhere, too.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="The version, and nothing else.")
    ] = False,
) -> None:
    # Read by `run` before the commands are parsed, since they decide what all settings are.
    del config, data_dir, version


def run() -> int:
    """The console script: parse the arguments, run the command, return the exit code. Never shows a traceback."""
    # Drivers' own remarks are not for the person at the terminal: what matters comes as an error.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        arguments = _take_places(sys.argv[1:])
        command_line(_needed(arguments))(arguments, prog_name="scorekeeper")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except (SettingsError, InvalidSettings, InvalidDefinition) as error:
        return _say(error, 2)
    except OtherScheme as error:
        return _say(error, 1)
    except GenerationMissing as error:
        remedy = "`scorekeeper generations` lists what is there; a worker counts again what Redis lost"
        return _say(f"{error.cause}: {remedy}", 1)
    except StoreUnavailable as error:
        variable = VARIABLES.get(error.store)
        return _say(f"{error}; is it running, and is {variable} right?" if variable else error, 1)
    except NotFound as error:
        return _say(_with_list(error), 1)
    except ScorekeeperError as error:
        return _say(error, 1)
    except Exception as error:  # noqa: BLE001  # the last resort: a person gets a sentence, the file gets the rest
        return _say_defect(error)
    return 0


def _needed(arguments: Sequence[str]) -> Iterable[str]:
    """The commands that these arguments need loaded: all for the help, and to say which one is meant."""
    if arguments[:1] == ["--version"]:
        return ()
    word = next((argument for argument in arguments if not argument.startswith("-")), "")
    return (word,) if word in COMMANDS else COMMANDS


def _take_places(arguments: list[str]) -> list[str]:
    """The arguments without `--config FILE` and `--data-dir DIRECTORY`, which every part of the product finds in the
    environment."""
    left: list[str] = []
    given = iter(arguments)
    for argument in given:
        if argument == "--":
            return [*left, argument, *given]
        option, is_joined, value = argument.partition("=")
        if option not in PLACES:
            left.append(argument)
            continue
        place = value if is_joined else next(given, "")
        if not place:
            raise SettingsError(f"{option} needs a value")
        os.environ[PLACES[option]] = place
    return left


def _with_list(error: NotFound) -> str:
    command, told = LISTS.get(error.kind), str(error)
    if command is None:
        return told
    return f"{told}{'' if told.endswith('?') else ';'} `scorekeeper {command}` shows those there are"


def _say(error: Exception | str, code: int) -> int:
    tell(f"scorekeeper: {error}")
    return code


def _say_defect(error: Exception) -> int:
    """One line for the person, the traceback into a file of the data directory."""
    default: Path = Settings.model_fields["data_dir"].default
    file = Path(os.environ.get("SCOREKEEPER_DATA_DIR") or default) / "log" / "errors.log"
    summary = f"an unexpected error: {type(error).__name__}: {error}".splitlines()[0]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as log:
            log.write(f"--- {datetime.now(UTC).isoformat()} {' '.join(sys.argv)}\n{traceback.format_exc()}")
    except OSError as unwritable:
        tell(f"scorekeeper: {summary} (the details could not be written: {unwritable})")
    else:
        tell(f"scorekeeper: {summary}; the details are in {file}")
    if os.environ.get(variable_of("log_format")) == "json":
        # Nobody reads a file of a container that has ended.
        tell(json.dumps({"level": "error", "message": mask(summary), "error": mask(traceback.format_exc())}))
    return 1
