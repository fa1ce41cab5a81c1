"""
Directives that write reference pages from the code, so that there is nothing to keep in step with it.

Each returns Markdown, which Sphinx reads as if it stood in the page.
"""

from __future__ import annotations

import inspect
import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import EnumType
from typing import Any

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand
from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from airflow_incident_provider import models, operators
from airflow_incident_provider.cli.commands import get_cli_commands
from airflow_incident_provider.events.datadog import metrics
from airflow_incident_provider.events.event import EventKind, IncidentEvent
from airflow_incident_provider.evidence import model as evidence_model
from airflow_incident_provider.get_provider_info import get_provider_info
from airflow_incident_provider.intake import RoutingTable, trigger_form
from airflow_incident_provider.intake.policies import (
    CorrelationRule,
    Lifecycle,
    SeverityRule,
    Storm,
    Triage,
    TriageRule,
)
from airflow_incident_provider.intake.routing_fields import Match
from airflow_incident_provider.intake.routing_table import Rule
from airflow_incident_provider.intake.routing_table import Settings as RoutingSettings
from airflow_incident_provider.probes import catalogue
from airflow_incident_provider.slack.access import OPTIONAL, REQUIRED, SCOPES
from airflow_incident_provider.slack.errors import CONFIGURATION_FIXES, PER_USER, REQUEST_FIXES


class FromCode(SphinxDirective):
    """A directive whose content is Markdown that is made when the page is read."""

    optional_arguments = 1

    @abstractmethod
    def markdown(self) -> Iterator[str]:
        """Yield the lines."""

    def run(self) -> list[nodes.Node]:
        """Return what the Markdown comes to."""
        text = "\n".join(self.markdown())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class Settings(FromCode):
    """``{settings}``: every option of the section ``[incident]``."""

    def markdown(self) -> Iterator[str]:
        """Yield a definition for each option."""
        for name, option in get_provider_info()["config"]["incident"]["options"].items():
            default = option["default"]
            yield f"`{name}`"
            yield f": {option['description']}"
            yield ""
            yield f"  Default: {f'`{default}`' if default is not None else 'none'}. Example: `{option['example']}`."
            yield f"  In the environment: `AIRFLOW__INCIDENT__{name.upper()}`."
            yield ""


class Commands(FromCode):
    """``{commands}``: each command of ``airflow incident``, as ``--help`` describes it."""

    def markdown(self) -> Iterator[str]:
        """Yield a section for each command."""
        [incident] = get_cli_commands()
        yield from self._group(incident, "airflow incident")

    def _group(self, group: GroupCommand, called: str) -> Iterator[str]:
        for command in group.subcommands:
            name = f"{called} {command.name}"
            yield f"## {name}"
            yield ""
            yield from (f"{line}\n" for line in (command.description or command.help).splitlines())
            if isinstance(command, GroupCommand):
                yield from self._group(command, name)
            else:
                yield from _arguments(command)


def _arguments(command: ActionCommand) -> Iterator[str]:
    yield "| argument | |"
    yield "|---|---|"
    for arg in command.args:
        yield f"| {_flags(arg)} | {_cell((arg.kwargs.get('help') or '').replace(chr(92) + '[', '['))} |"
    yield ""
    if command.epilog:
        yield from ("```text", command.epilog, "```", "")


def _flags(arg: Arg) -> str:
    metavar = arg.kwargs.get("metavar")
    value = f" {metavar}" if metavar and arg.flags[0].startswith("-") else ""
    return ", ".join(f"`{flag}{value}`" for flag in arg.flags)


class Operators(FromCode):
    """``{operators}``: every public operator, by its docstring."""

    def markdown(self) -> Iterator[str]:
        """Yield a section for each operator, in the order in which a run uses them."""
        for name in operators.MODULES:
            operator = getattr(operators, name)
            yield f"## {name}"
            yield ""
            yield "```{eval-rst}"
            yield f".. autoclass:: {operator.__module__}.{name}"
            yield "```"
            yield ""
            templated = ", ".join(f"`{field}`" for field in operator.template_fields)
            yield f"Templated: {templated or 'nothing'}."
            yield ""


class Models(FromCode):
    """``{models}``: every value that steps hand to each other, with its fields and its JSON Schema."""

    def markdown(self) -> Iterator[str]:
        """Yield a section for each model, the XCom values before their parts, and for each enumeration."""
        found = [
            one
            for module in (models, evidence_model)
            for one in vars(module).values()
            if str(getattr(one, "__module__", "")).startswith(module.__name__)
        ]
        values = [one for one in found if inspect.isclass(one) and issubclass(one, models.Model)]
        whole = [one for one in values if issubclass(one, models.XComValue) and one is not models.XComValue]
        parts = [one for one in values if not issubclass(one, models.XComValue) and one is not models.Model]
        yield "## Values in XCom"
        yield ""
        for model in whole:
            yield from _model(model, with_schema=True)
        yield "## Their parts"
        yield ""
        for model in parts:
            yield from _model(model, with_schema=False)
        yield "## Words"
        yield ""
        enumerations = [one for one in found if isinstance(one, EnumType)]
        # So that references in docstrings lead here: docutils makes a heading's id of its text in lower case.
        for one in (*whole, *parts, *enumerations):
            module = models.__name__ if one.__module__.startswith(models.__name__) else one.__module__
            self.env.domains.python_domain.note_object(
                f"{module}.{one.__name__}", "class", one.__name__.lower(), location=self.get_location()
            )
        for words in enumerations:
            yield f"### {words.__name__}"
            yield ""
            yield f"{_prose(words)} `{'`, `'.join(str(word.value) for word in words)}`"
            yield ""


def _model(model: type[models.Model], *, with_schema: bool) -> Iterator[str]:
    schema = model.model_json_schema(mode="serialization")
    yield f"### {model.__name__}"
    yield ""
    yield _prose(model)
    yield ""
    yield "| field | type | default |"
    yield "|---|---|---|"
    for name, field in schema["properties"].items():
        yield f"| `{name}` | {_cell(_type(field))} | {_default(field, name in schema.get('required', ()))} |"
    yield ""
    if with_schema:
        yield f":::{{dropdown}} JSON Schema of {model.__name__}"
        yield from ("```json", json.dumps(schema, indent=2), "```", ":::", "")


def _type(field: Mapping[str, Any]) -> str:
    """Return a JSON Schema type in a few words."""
    if "$ref" in field:
        return f"{field['$ref'].rpartition('/')[2]}"
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"])
    kind = str(field.get("format") or field.get("type", "anything"))
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}"
    if kind == "object":
        return f"object of {_type(field['additionalProperties'])}" if "additionalProperties" in field else kind
    return kind


def _default(field: Mapping[str, Any], required: bool) -> str:
    if required and "default" not in field:
        return "required"
    return f"`{json.dumps(field['default'])}`" if "default" in field else "empty"


class Scopes(FromCode):
    """``{scopes}``: every Slack scope, with what its absence costs."""

    def markdown(self) -> Iterator[str]:
        """Yield a table."""
        yield from _table(
            ("scope", "without it", ""),
            (
                (f"`{name}`", costs, "no room" if name in REQUIRED else "optional" if name in OPTIONAL else "")
                for name, costs in {**SCOPES, **OPTIONAL}.items()
            ),
        )


class SlackErrors(FromCode):
    """``{slackerrors}``: the Slack error codes that a retry does not fix, with their fix."""

    def markdown(self) -> Iterator[str]:
        """Yield a table."""
        yield from _table(("Slack says", "fix"), ((f"`{code}`", fix) for code, fix in CONFIGURATION_FIXES.items()))
        yield ""
        yield "About one call, which is reported in the room; the run goes on where it can:"
        yield ""
        yield from _table(("Slack says", "fix"), ((f"`{code}`", fix) for code, fix in REQUEST_FIXES.items()))
        yield ""
        yield "About one person, who is then named in the brief; the run goes on:"
        yield ""
        yield from _table(("Slack says", "the brief says"), ((f"`{code}`", why) for code, why in PER_USER.items()))


class Probes(FromCode):
    """``{probes}``: the catalogue."""

    def markdown(self) -> Iterator[str]:
        """Yield a table."""
        yield from _table(
            ("probe", "looks at", "image", "seconds"),
            ((f"`{one.name}`", one.title, f"`{one.image}`", str(one.timeout_s)) for one in catalogue()),
        )


class Events(FromCode):
    """``{events}``: the events of a run and their fields."""

    def markdown(self) -> Iterator[str]:
        """Yield the events, and a table of their fields."""
        kinds = ", ".join(f"`{kind.value}`" for kind in EventKind)
        yield f"The events are {kinds}. Their fields, of which those without a value are left out:"
        yield ""
        properties = IncidentEvent.model_json_schema(mode="serialization")["properties"]
        yield from _table(("field", "type"), ((f"`{name}`", _type(field)) for name, field in properties.items()))


class Metrics(FromCode):
    """``{metrics}``: what is sent to Datadog, by the event that it comes of."""

    def markdown(self) -> Iterator[str]:
        """Yield a table, made of the metrics of one full event of each kind."""
        numbers = {name: 1 for name in IncidentEvent.model_fields if name.endswith("_ms")}
        values = {"at": datetime.now(UTC), "key": "k", "dag_id": "d", "run_id": "r", "state": "s", **numbers}
        yield from _table(
            ("metric", "kind", "from"),
            (
                (f"`{metric.name}`", metric.kind, f"`{kind.value}`")
                for kind in EventKind
                for metric in metrics(IncidentEvent.model_validate({**values, "event": kind}))
                if kind is not EventKind.STEP_RUNNING
            ),
        )


class RoutingTableKeys(FromCode):
    """``{routingtablekeys}``: every key of the routing table, section by section."""

    def markdown(self) -> Iterator[str]:
        """Yield a section for each model of the table, beginning with the table itself."""
        for title, model in _SECTIONS.items():
            yield f"## {title}"
            yield ""
            yield from (f"{line}\n" for line in _prose(model).splitlines() if line)
            rows = [
                (f"`{name}`", _cell(_readable(field.annotation)), f"`{_cell(_shown_default(field))}`")
                for name, field in model.model_fields.items()
            ]
            yield from _table(("key", "type", "default"), rows)
            yield ""


class ConfFields(FromCode):
    """``{conffields}``: the fields of a run's conf and of the generic webhook's body, and their JSON Schema."""

    def markdown(self) -> Iterator[str]:
        """Yield a table of the fields, then the schema."""
        form = trigger_form()
        rows = [
            (
                f"`{name}`",
                _cell(_json_type(field)),
                f"`{json.dumps(field['default'])}`",
                _cell(field["description"]),
            )
            for name, field in form.items()
        ]
        yield from _table(("field", "type", "default", "meaning"), rows)
        yield ""
        yield "```json"
        properties = {
            name: {key: value for key, value in field.items() if key not in ("section", "source")}
            for name, field in form.items()
        }
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
        }
        yield json.dumps(schema, indent=2, ensure_ascii=False)
        yield "```"


_SECTIONS: dict[str, type[BaseModel]] = {
    "The table": RoutingTable,
    "`defaults`, and a rule's settings": RoutingSettings,
    "`rules`": Rule,
    "`match`": Match,
    "`severity.rules`": SeverityRule,
    "`correlation.rules`": CorrelationRule,
    "`storm`": Storm,
    "`triage`": Triage,
    "`triage.rules`": TriageRule,
    "`lifecycle`": Lifecycle,
}


def _readable(annotation: object) -> str:
    """Return a type without the validators of its annotation."""
    text = re.sub(r"Annotated\[([^,\]]+(?:\[[^\]]*\])?),.*", r"\1", str(annotation))
    text = re.sub(r"<class '([^']+)'>", r"\1", text)
    return re.sub(r"\b(?:[a-z_]+\.)+", "", text).replace("NoneType", "none")


def _shown_default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, timedelta):
        return f"{value // timedelta(seconds=1)}s"
    if isinstance(value, BaseModel):
        return "see below"
    if value in ((), {}, None):
        return "none"
    return ", ".join(str(getattr(item, "name", item)) for item in value) if isinstance(value, tuple) else str(value)


def _json_type(field: Mapping[str, Any]) -> str:
    given = field.get("type", "boolean" if isinstance(field["default"], bool) else None)
    if given is None:
        given = "array of strings" if isinstance(field["default"], list) else "string"
    return " or ".join(given) if isinstance(given, list) else str(given)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    columns = list(head)
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _prose(documented: type) -> str:
    """Return a docstring as Markdown: ours use of reStructuredText only literals, roles and parameters."""
    return (inspect.getdoc(documented) or "").replace("``", "`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("%%", "%")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    generated = (Settings, Commands, Operators, Models, Scopes, SlackErrors, Probes, Events, Metrics)
    for directive in (*generated, RoutingTableKeys, ConfFields):
        app.add_directive(directive.__name__.lower(), directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
