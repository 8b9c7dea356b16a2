"""The command line's front door: joins the groups of commands and turns every error into one sentence."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from app.cli.cases import check_cases
from app.cli.dead_letters import dead_letters
from app.cli.definitions import apply, export
from app.cli.doctor import doctor
from app.cli.experiments import experiments
from app.cli.goals import goals, watch
from app.cli.matching import match
from app.cli.parts import api, migrate, worker
from app.cli.printing import tell
from app.cli.projects import keys, projects
from app.cli.proof import generations, rebuild, verify
from app.cli.publishing import publish
from app.cli.settings import show_settings
from app.cli.sizing import plan
from app.cli.snapshots import snapshot
from app.cli.status import status
from app.cli.topics import topics
from app.cli.up import up
from app.cli.waiting import wait
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

app = typer.Typer(
    name="scorekeeper",
    help="An exact conversion tracker: Kafka events in, goals out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command("up")(up)
app.command("worker")(worker)
app.command("api")(api)
app.command("migrate")(migrate)
app.command("publish")(publish)
app.command("wait")(wait)
app.command("goals")(goals)
app.command("watch")(watch)
app.command("experiments")(experiments)
app.command("status")(status)
app.add_typer(projects, name="projects")
app.add_typer(keys, name="keys")
app.add_typer(topics, name="topics")
app.command("verify")(verify)
app.command("rebuild")(rebuild)
app.add_typer(generations, name="generations")
app.add_typer(snapshot, name="snapshot")
app.add_typer(dead_letters, name="dead-letters")
app.command("export")(export)
app.command("apply")(apply)
app.command("match")(match)
app.command("check-cases")(check_cases)
app.command("settings")(show_settings)
app.command("plan")(plan)
app.command("doctor")(doctor)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(installed_version("scorekeeper"))
        raise typer.Exit


@app.callback()
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
        app(arguments, prog_name="scorekeeper")
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
