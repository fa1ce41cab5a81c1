"""How a command runs: quietly, with an exit code that scripts can use, and errors in words."""

from __future__ import annotations

import functools
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
    """How a command ended."""

    OK = 0
    NOT_WELL = 1
    USAGE = 2
    UNAVAILABLE = 3
    INTERRUPTED = 130


class UsageError(IncidentError):
    """The arguments, or what they name, cannot be used."""


_USAGE = (UsageError, InvalidPayloadError, NotAnIncidentError, RoutingTableError)

_PROCESS_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"

Body = Callable[[Namespace], ExitCode]


def command(body: Body) -> Callable[[Namespace], None]:
    """Make of a function that returns an :class:`ExitCode` a command of Airflow's command line.

    Logging is silenced unless ``--verbose`` is given. Every expected error is one message on standard error.
    """

    @functools.wraps(body)
    def run(args: Namespace) -> None:
        ended: list[ExitCode] = []
        if not hasattr(args, "verbose"):
            args.verbose = False

        @suppress_logs_and_warning
        def quietly(args: Namespace) -> None:
            with _trusted_with_connections():
                ended.append(_run(body, args))

        quietly(args)
        sys.exit(ended[0])

    return run


@contextmanager
def _trusted_with_connections() -> Iterator[None]:
    """Have Airflow look for connections in its database too, as ``airflow connections get`` does.

    A process that does not say what it is counts as one that runs a task, and sees those of the environment only.
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
        complain(str(error))
        return ExitCode.USAGE if isinstance(error, _USAGE) else ExitCode.UNAVAILABLE
    except SQLAlchemyError as error:
        complain(
            f"Airflow's database cannot be used: {type(error).__name__}. Run this where Airflow is configured and"
            " its database migrated, or name a remote Airflow with --api-url."
        )
        return ExitCode.UNAVAILABLE
    except (KeyboardInterrupt, EOFError):
        complain("\nInterrupted.")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough (`... | head`); the interpreter must not complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    return code


def complain(text: str) -> None:
    """Say something on standard error; what an alert brought cannot steer the terminal."""
    print(paragraphs(text), file=sys.stderr, flush=True)
