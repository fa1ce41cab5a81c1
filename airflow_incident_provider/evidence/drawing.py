"""Draw a metric with its normal range, threshold, onset and changes. Needs the extra ``plots`` (matplotlib)."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

from airflow_incident_provider.evidence.model import MetricGraph

_WIDTH, _HEIGHT, _DPI = 9.0, 3.2, 110
_MARGINS = (0.09, 0.16, 0.89, 0.74)
"""Left, bottom, width and height of the plot, as fractions of the picture."""

_LABEL = 48


def draw(graph: MetricGraph) -> bytes | None:
    """Return a PNG; ``None`` where matplotlib is not installed or there is nothing to draw."""
    if not any(value is not None for value in graph.values):
        return None
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.dates import DateFormatter
        from matplotlib.figure import Figure
    except ImportError:
        return None
    # A figure of its own, without pyplot: that keeps global state and opens windows.
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI)
    # Fixed margins: a layout engine draws everything twice, and the summary waits for the picture.
    axes: Any = figure.add_axes(_MARGINS)  # its stubs know no dates
    times = [datetime.fromtimestamp(at, tz=UTC) for at in graph.times]
    axes.plot(times, [float("nan") if value is None else value for value in graph.values], color="#1f4e9c", lw=1.6)
    if graph.normal_low is not None and graph.normal_high is not None:
        axes.axhspan(graph.normal_low, graph.normal_high, color="#3a9d5d", alpha=0.15, label="normal range")
    if graph.threshold is not None:
        axes.axhline(graph.threshold, color="#c0392b", ls="--", lw=1, label="threshold")
    if graph.onset is not None:
        axes.axvline(graph.onset, color="#c0392b", lw=1.4, label="onset")
    for marker in graph.markers:
        axes.axvline(marker.at, color="#7d3c98", ls=":", lw=1.4, label=_plain(marker.label))
    axes.set_title(_plain(graph.title, 110), fontsize=8, parse_math=False)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M", tz=UTC))  # type: ignore[no-untyped-call]
    axes.set_xlabel("UTC", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        for text in axes.legend(fontsize=7, loc="upper left").get_texts():
            text.set_parse_math(False)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)  # type: ignore[no-untyped-call]
    return picture.getvalue()


def _plain(text: str, limit: int = _LABEL) -> str:
    """Return a label on one line; one that begins with an underscore would be left out of the legend."""
    line = " ".join(text.split()).lstrip("_")
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
