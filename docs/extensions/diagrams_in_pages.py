"""
The directive ``diagram``: a Mermaid source of ``docs/diagrams`` as SVG within the page.

It is drawn while the documentation is built, by Mermaid itself in an embedded JavaScript engine. The page needs no
script and no network to show it, and its colours are the page's own, light or dark.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SOURCES = Path(__file__).resolve().parents[1] / "diagrams"

CONFIGURATION: dict[str, Any] = {
    "theme": "base",
    # Text as SVG text, in the font that the boxes were measured with: other fonts are narrower.
    "fontFamily": "DejaVu Sans, Verdana, sans-serif",
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False, "wrappingWidth": 400},
    "sequence": {"mirrorActors": False, "width": 170, "wrap": False},
    "themeVariables": {"fontSize": "14px"},
}
_ID_OF_THE_RENDERER = "my-svg"
_ROLE = re.compile(r' role="[^"]*" aria-roledescription="[^"]*"')


class Diagram(SphinxDirective):
    """``{diagram} NAME``: ``docs/diagrams/NAME.mmd`` with the directive's content as its caption.

    The option ``alt`` says in words what the picture shows; ``direction`` turns a flowchart (TB, LR).
    """

    required_arguments = 1
    has_content = True
    option_spec = {  # noqa: RUF012 - Sphinx's own way of declaring them
        "alt": directives.unchanged_required,
        "direction": lambda value: directives.choice(value, ("tb", "lr")).upper(),
    }

    def run(self) -> list[nodes.Node]:
        """Return the figure."""
        name = self.arguments[0]
        if "alt" not in self.options:
            raise self.error("A diagram needs :alt:, for those who do not see it.")
        source = SOURCES / f"{name}.mmd"
        self.env.note_dependency(str(source))
        drawn = svg(_turned(source.read_text(encoding="utf-8"), self.options.get("direction")), name)
        figure = nodes.figure(classes=["diagram"])
        figure += nodes.raw("", _described(drawn, self.options["alt"]), format="html")
        if self.content:
            caption = nodes.caption()
            caption += self.parse_inline(" ".join(self.content))[0]
            figure += caption
        return [figure]


def svg(source: str, name: str) -> str:
    """Return a Mermaid source as SVG, with ids that are unique in a page."""
    import mermaidx

    return str(mermaidx.render(source, config=CONFIGURATION).svg()).replace(_ID_OF_THE_RENDERER, f"diagram-{name}")


def _turned(source: str, direction: str | None) -> str:
    return re.sub(r"^flowchart \w+", f"flowchart {direction}", source, count=1) if direction else source


def _described(drawn: str, alt: str) -> str:
    """Return the drawing as one image to those who do not see it, in place of the many parts that Mermaid names."""
    return _ROLE.sub(f' role="img" aria-label="{html.escape(alt)}"', drawn, count=1)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("diagram", Diagram)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
