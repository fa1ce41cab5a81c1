"""Command definitions: complete help, and lazy imports."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from airflow.cli.cli_config import ActionCommand, GroupCommand

from airflow_incident_provider.cli.commands import get_cli_commands


def commands() -> Iterator[tuple[tuple[str, ...], ActionCommand]]:
    def walk(group: GroupCommand, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ActionCommand]]:
        for each in group.subcommands:
            if isinstance(each, GroupCommand):
                yield from walk(each, (*path, each.name))
            else:
                yield (*path, each.name), each

    [group] = get_cli_commands()
    yield from walk(group, ())


COMMANDS = dict(commands())


def test_expected_commands_exist() -> None:
    assert {" ".join(path) for path in COMMANDS} >= {
        "trigger", "watch", "list", "show", "resolve", "archive",
        "check", "export", "drill", "demo", "sandbox", "explain",
        "setup files", "setup slack", "setup datadog", "setup airflow", "setup remove",
    }  # fmt: skip


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_command_and_its_arguments_have_help(
    path: tuple[str, ...], airflow_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from airflow.cli.cli_parser import get_parser

    command = COMMANDS[path]
    assert command.description
    for argument in command.args:
        help_text, default = argument.kwargs["help"], argument.kwargs.get("default")
        assert help_text
        assert default in (None, False) or help_text == argparse.SUPPRESS or "default" in help_text, argument.flags
    with pytest.raises(SystemExit) as exit_info:
        get_parser().parse_args(["incident", *path, "--help"])
    assert exit_info.value.code == 0
    assert command.description[:40] in " ".join(capfd.readouterr().out.split("\n"))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_command_function_exists(path: tuple[str, ...]) -> None:
    # The argument of `lazy_load_command` is in its closure.
    [dotted] = [
        cell.cell_contents
        for cell in COMMANDS[path].func.__closure__ or ()
        if isinstance(cell.cell_contents, str) and "." in cell.cell_contents
    ]
    module, _, name = dotted.rpartition(".")
    assert callable(getattr(import_module(module), name))


def test_command_definitions_import_no_heavy_modules() -> None:
    code = (
        "import sys; import airflow.cli.cli_config; before = set(sys.modules)\n"
        "from airflow_incident_provider.cli.commands import get_cli_commands; get_cli_commands()\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if name.startswith(("airflow_incident_provider.", "incident_sandbox"))} == {
        "airflow_incident_provider.cli",
        "airflow_incident_provider.cli.arguments",
        "airflow_incident_provider.cli.commands",
        "airflow_incident_provider.cli.setup",
        "airflow_incident_provider.cli.setup.commands",
        "incident_sandbox",
        "incident_sandbox.commands",
    }
    assert not {"pydantic", "httpx", "yaml", "fastapi", "slack_sdk", "docker"} & set(loaded)


@pytest.mark.parametrize("name", ["demo", "sandbox"])
def test_missing_distribution_is_named_whatever_its_options(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [arg.flags[0] for arg in COMMANDS[(name,)].args]
    monkeypatch.setattr("airflow_incident_provider.cli.commands.entry_points", lambda **_: ())
    command = dict(commands())[(name,)]
    for given in ([], *([option] for option in options), *([option, "1"] for option in options)):
        parser = argparse.ArgumentParser()
        for arg in command.args:
            arg.add_to_parser(parser)
        with pytest.raises(SystemExit, match=rf"pip install 'airflow-incident-provider\[{name}\]'"):
            command.func(parser.parse_args(given))
