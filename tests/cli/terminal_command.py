"""Becomes ``airflow incident ...`` in a terminal: run in a copy of a process in which Airflow is imported.

``runpy`` gives it ``terminal``, the descriptor of the terminal; ``argv``; and ``environment``.
"""

# ruff: noqa: E402, F821, SIM115 - the names that are given, and files that are no paths
# mypy: disable-error-code="name-defined"

import os
import signal
import sys

os.setsid()
descriptor = terminal.detach()
for stream in range(3):
    os.dup2(descriptor, stream)
os.close(descriptor)
sys.stdin, sys.stdout, sys.stderr = open(0, closefd=False), open(1, "w", closefd=False), open(2, "w", closefd=False)
os.environ.clear()
os.environ.update(environment)
# The process that this one is a copy of ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["airflow", "incident", *argv]

# Only here: where Airflow is not imported yet, it reads the environment while it is.
from airflow.__main__ import main

main()
