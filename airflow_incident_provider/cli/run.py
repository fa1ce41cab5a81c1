"""Run a command: quiet logging, an exit code that scripts can use, and readable errors."""

from __future__ import annotations

import functools
import io
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum

from airflow.utils.cli import suppress_logs_and_warning

from airflow_incident_provider.exceptions import (
    IncidentError,
    InvalidPayloadError,
    NotAnIncidentError,
    RoutingTableError,
)
from airflow_incident_provider.text import paragraphs


class ExitCode(IntEnum):
    """The result of a command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    INTERRUPTED = 130


class UsageError(IncidentError):
    """An argument, or the file or object it names, cannot be used."""


_USAGE_ERRORS = (UsageError, InvalidPayloadError, NotAnIncidentError, RoutingTableError)

_PROCESS_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"

Body = Callable[[Namespace], ExitCode]


def command(body: Body) -> Callable[[Namespace], None]:
    """Turn a function that returns an :class:`ExitCode` into an Airflow command.

    Logging is off unless ``--verbose`` is given. Every expected error becomes one message on standard error.
    """

    @functools.wraps(body)
    def run(args: Namespace) -> None:
        results: list[ExitCode] = []
        _accept_every_character()
        if not hasattr(args, "verbose"):
            args.verbose = False

        @suppress_logs_and_warning
        def quietly(args: Namespace) -> None:
            with _server_context():
                results.append(_run(body, args))

        quietly(args)
        sys.exit(results[0])

    return run


def _accept_every_character() -> None:
    """Let a terminal or pipe whose encoding lacks a character get a question mark instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def _server_context() -> Iterator[None]:
    """Let Airflow read connections from its database, as ``airflow connections get`` does.

    A process without this context counts as a task process, which only sees the connections of its environment.
    """
    before = os.environ.get(_PROCESS_CONTEXT)
    os.environ[_PROCESS_CONTEXT] = "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PROCESS_CONTEXT]
        else:
            os.environ[_PROCESS_CONTEXT] = before


def _run(body: Body, args: Namespace) -> ExitCode:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        code = body(args)
        sys.stdout.flush()
    except IncidentError as error:
        print_error(str(error))
        return ExitCode.USAGE if isinstance(error, _USAGE_ERRORS) else ExitCode.UNAVAILABLE
    except SQLAlchemyError as error:
        remote = " Or name a remote Airflow with --api-url." if hasattr(args, "api_url") else ""
        print_error(
            f"Airflow's database cannot be used: {type(error).__name__}. Run: airflow db migrate. Then run this"
            f" command where Airflow is configured.{remote}"
        )
        return ExitCode.UNAVAILABLE
    except (KeyboardInterrupt, EOFError):
        print_error("\nInterrupted.")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough (`... | head`); the interpreter must not complain about it when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except OSError as error:
        if error.filename is None:
            raise
        print_error(f"{error.filename} cannot be used: {error.strerror}.")
        return ExitCode.USAGE
    return code


def print_error(text: str) -> None:
    """Print to standard error, without control characters: alert text must not steer the terminal."""
    print(paragraphs(text), file=sys.stderr, flush=True)
