"""Print the scoreboard: ``python -m benchmarks.rca --data DIR [--stories] [--write docs/accuracy.md]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.rca.cost import engine_cost
from benchmarks.rca.petshop import read_levels
from benchmarks.rca.scoreboard import scoreboard
from benchmarks.rca.stories import played_stories, story_table

BEGIN, END = "<!-- generated: petshop -->", "<!-- end -->"


def main() -> None:
    """Print the tables, or write them into a page between its marks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rca", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the PetShop data set, or one traffic level of it")
    parser.add_argument("--write", type=Path, help="a page that holds the tables between two marks")
    parser.add_argument("--stories", action="store_true", help="also play the sandbox's stories")
    parser.add_argument("--cost", action="store_true", help="also measure the engine's time; not deterministic")
    args = parser.parse_args()
    tables = scoreboard(list(read_levels(args.data)))
    if args.stories:
        tables += f"\n\n{story_table(played_stories())}"
    if args.cost:
        tables += f"\n\n{engine_cost()}"
    if args.write is None:
        print(tables)
        return
    page = args.write.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    args.write.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
