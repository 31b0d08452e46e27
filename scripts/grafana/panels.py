"""What a dashboard shows, and how that is written for Grafana 10 and later (schema 39)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import TypeAlias

Json: TypeAlias = dict[str, object]

PROMETHEUS, INFLUXDB = "prometheus", "influxdb"  # as Grafana calls the types of its data sources
GRID_WIDTH = 24
SCHEMA_VERSION = 39  # of Grafana 10.3; later ones read it

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"


@dataclass(frozen=True, slots=True)
class Query:
    """A question to a database.

    Attributes:
        text: PromQL or InfluxQL.
        name: of its series; empty for the database's own. `{{label}}` of PromQL and `$tag_NAME` of
            InfluxQL are put in.
        table: the answer is rows, and not series.
        now: the answer is values of now, and not of a range of time; means nothing to InfluxQL.
    """

    text: str
    name: str = ""
    table: bool = False
    now: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of a dashboard.

    Attributes:
        title: a few words.
        about: what is shown, from where, in which unit.
        kind: `timeseries`, `stat`, `table` or `state-timeline`.
        width: of 24.
        height: 30 pixels each.
        queries: by the type of the data source.
        unit: as Grafana calls it.
        limits: colours, each from a value on; the first is that of everything below.
        words: what is shown instead of a value, with its colour.
        nothing: what is shown where there is no value; empty for Grafana's own text.
        interval: the least time from one point to the next.
        of_last: a range of its own, instead of the dashboard's.
        custom: further keys of how a field is drawn.
        options: further options of the panel.
        overrides: of single fields, by a pattern of their names.
        transformations: of the answers, by the type of the data source.
    """

    title: str
    about: str
    kind: str
    width: int
    height: int
    queries: Mapping[str, Sequence[Query]]
    unit: str = "none"
    limits: Sequence[tuple[float, str]] = ()
    words: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    nothing: str = ""
    interval: str = ""
    of_last: str = ""
    custom: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[str, Json] = field(default_factory=dict)
    transformations: Mapping[str, Sequence[Json]] = field(default_factory=dict)


BARS: Json = {"drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0}
# A gap of an hour stays a gap: what is not known is not drawn.
LINES: Json = {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": 3_600_000}
_DRAWN: Mapping[str, Json] = {
    "timeseries": LINES,
    "state-timeline": {"fillOpacity": 80, "lineWidth": 0},
}
LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Mapping[str, Json] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "none"},
    },
    "stat": {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": LAST,
        "textMode": "auto",
    },
    "state-timeline": {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "never",
        "tooltip": {"mode": "single", "sort": "none"},
    },
    "table": {"cellHeight": "sm", "showHeader": True},
}


_TO_THE_OTHERS: Json = {
    "type": "dashboards",
    "title": "kei",
    "tags": ["kei"],
    "icon": "external link",
    "tooltip": "",
    "url": "",
    "asDropdown": False,
    "includeVars": False,
    "keepTime": True,
    "targetBlank": False,
}


def limits_of(limits: Sequence[tuple[float, str]]) -> Json:
    """Return what colours values; see `Panel.limits`."""
    first = limits[0][1] if limits else GREEN
    steps: list[Json] = [{"color": first, "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in limits[1:]]
    return {"mode": "absolute", "steps": steps}


def words_of(words: Mapping[int, tuple[str, str]]) -> list[Json]:
    """Return what shows words instead of values; see `Panel.words`."""
    shown = {
        str(value): {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(words.items())
    }
    return [{"type": "value", "options": shown}] if shown else []


def renamed(names: Mapping[str, str], *hidden: str) -> Json:
    """Return the transformation that gives fields other names, in this order, and hides some."""
    options = {
        "renameByName": dict(names),
        "indexByName": {name: index for index, name in enumerate(names)},
        "excludeByName": dict.fromkeys(hidden, True),
    }
    return {"id": "organize", "options": options}


def of_datasource(kind: str) -> Json:
    """Return the reference to the data source that is chosen in the dashboard."""
    return {"type": kind, "uid": "${datasource}"}


def variable(kind: str, name: str, **more: object) -> Json:
    """Return a variable of a dashboard."""
    return {"type": kind, "name": name, "hide": 0, "skipUrlSync": False, **more}


def dashboard(
    of: str,
    uid: str,
    title: str,
    about: str,
    panels: Sequence[Panel],
    *,
    variables: Sequence[Json] = (),
    **more: object,
) -> Json:
    """Write a dashboard.

    Args:
        of: the type of its data source.
        uid: stays the same for ever, as links have it.
        title: a few words.
        about: one sentence.
        panels: from left to right, from top to bottom.
        variables: besides the data source.
        more: further keys of the dashboard.
    """
    source = variable(
        "datasource", "datasource", label="Database", query=of, options=[], refresh=1,
        regex="", multi=False, includeAll=False,
    )  # fmt: skip
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["kei"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [_TO_THE_OTHERS],
        "templating": {"list": [source, *variables]},
        "panels": _laid_out(of, panels),
        **more,
    }


def _laid_out(of: str, panels: Sequence[Panel]) -> list[Json]:
    """Write panels side by side, and below each other where a line is full."""
    written: list[Json] = []
    left = top = line_height = 0
    for number, panel in enumerate(panels, 1):
        if left + panel.width > GRID_WIDTH:
            left, top, line_height = 0, top + line_height, 0
        place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
        written.append(_written(of, number, panel) | {"gridPos": place})
        left, line_height = left + panel.width, max(line_height, panel.height)
    return written


def _written(of: str, number: int, panel: Panel) -> Json:
    targets = [
        {"refId": letter, "datasource": of_datasource(of), **_target(of, query)}
        for letter, query in zip(ascii_uppercase, panel.queries[of], strict=False)
    ]
    overrides = [
        {
            "matcher": {"id": "byRegexp", "options": pattern},
            "properties": [{"id": name, "value": value} for name, value in properties.items()],
        }
        for pattern, properties in panel.overrides.items()
    ]
    defaults: Json = {
        "unit": panel.unit,
        "color": {"mode": "thresholds" if panel.limits or panel.words else "palette-classic"},
        "thresholds": limits_of(panel.limits),
        "mappings": words_of(panel.words),
        "custom": {**_DRAWN.get(panel.kind, {}), **panel.custom},
    }
    if panel.nothing:
        defaults["noValue"] = panel.nothing
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": of_datasource(of),
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": overrides},
        "options": {**_OPTIONS[panel.kind], **panel.options},
        "transformations": list(panel.transformations.get(of, ())),
        **({"interval": panel.interval} if panel.interval else {}),
        **({"timeFrom": panel.of_last} if panel.of_last else {}),
    }


def _target(of: str, query: Query) -> Json:
    shape = "table" if query.table else "time_series"
    if of == INFLUXDB:
        return {
            "query": query.text,
            "rawQuery": True,
            "resultFormat": shape,
            "alias": query.name,
        }
    return {
        "expr": query.text,
        "format": shape,
        "instant": query.now,
        "range": not query.now,
        "legendFormat": query.name or "__auto",
        "editorMode": "code",
    }
