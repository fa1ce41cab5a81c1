"""Run ``airflow incident ...`` in a terminal, in a fork of a process that has imported Airflow.

``runpy`` defines ``terminal`` (the descriptor of the terminal), ``argv`` and ``environment``.
"""

# ruff: noqa: E402, F821, SIM115 - names defined by runpy, and descriptors instead of paths
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
# The parent process ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["airflow", "incident", *argv]

# Imported here, because Airflow reads the environment on import.
from airflow.__main__ import main

main()
