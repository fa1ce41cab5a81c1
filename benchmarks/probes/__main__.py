"""Run the probes in every environment and print what they found: ``python -m benchmarks.probes``."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.probes.matrix import ENVIRONMENTS, print_table, run_all


def main() -> int:
    """Run what was asked for and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a regular expression for the names of environments")
    parser.add_argument("--at-once", type=int, default=3, help="environments at a time")
    parser.add_argument("--markdown", action="store_true", help="print the table for the documentation")
    arguments = parser.parse_args()
    chosen = [each for each in ENVIRONMENTS if re.search(arguments.only, f"{each.group}: {each.name}")]
    with TemporaryDirectory(prefix="probes-") as folder:
        results = run_all(chosen, Path(folder), at_once=arguments.at_once)
    return print_table(results, markdown=arguments.markdown)


if __name__ == "__main__":
    sys.exit(main())
