"""The Grafana dashboard, written from code: run with a file it writes it, without one it prints it."""

import json
import sys
from pathlib import Path
from typing import Any

from scripts.dashboards.panels import JOB, Panel
from scripts.dashboards.rows import ROWS

WIDTH = 24  # columns of Grafana's grid
HEIGHTS = {"stat": 4, "graph": 8, "table": 8}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports and provisions it."""
    return {
        "uid": "payflux",
        "title": "PayFlux",
        "description": "Payment traffic through PayFlux: what came in, what it says of each processor, what went out.",
        "tags": ["payflux", "payments"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables()},
        "annotations": {"list": [_alerts()]},
        "panels": _panels(),
    }


def _variables() -> list[dict[str, Any]]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    chosen = {"type": "query", "datasource": source, "refresh": 2, "includeAll": True, "multi": True, "allValue": ".*"}
    every = {"current": {"text": "All", "value": "$__all"}, "sort": 1}
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        chosen | every | {"name": "job", "label": "Job", "query": "label_values(payflux_build_info, job)"},
        chosen
        | every
        | {
            "name": "processor",
            "label": "Processor",
            "query": f"label_values(payflux_events_by_processor_total{{{JOB}}}, processor)",
        },
    ]


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "enable": True,
        "iconColor": "red",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "expr": 'ALERTS{alertname=~"PayFlux.*|ProcessorRisk.*",alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{processor}}",
    }


def _panels() -> list[dict[str, Any]]:
    """Rows and panels, each at its place in the grid."""
    made: list[dict[str, Any]] = []
    top = 0
    for title, panels in ROWS.items():
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        made.append({"id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place})
        top += 1
        left = height = 0
        for panel in panels:
            if left + panel.width > WIDTH:
                top, left, height = top + height, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": HEIGHTS[panel.kind]}
            made.append({"id": len(made) + 1, "gridPos": place} | _panel(panel))
            left, height = left + panel.width, max(height, HEIGHTS[panel.kind])
        top += height
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    targets = [
        {"refId": chr(ord("A") + number), "datasource": source, "expr": query.expr, "legendFormat": query.legend}
        | ({"instant": True, "range": False} if panel.kind != "graph" else {"range": True})
        | ({"format": "table"} if panel.kind == "table" else {})
        for number, query in enumerate(panel.queries)
    ]
    return {
        "type": {"stat": "stat", "graph": "timeseries", "table": "table"}[panel.kind],
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "targets": targets,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _field(panel: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.highest is not None:
        field["max"] = panel.highest
    if panel.steps:
        steps = [{"value": value, "color": colour} for value, colour in panel.steps]
        field["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.kind == "graph":
        field["custom"] = {
            "drawStyle": "line",
            "lineWidth": 2,
            "showPoints": "never",
            "spanNulls": False,
            "fillOpacity": 30 if panel.stacked else 5,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "area" if panel.steps else "off"},
        }
    return field


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "graphMode": "none"}
    if panel.kind == "table":
        return {"showHeader": True}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def text() -> str:
    """The dashboard's file."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text())
    else:
        sys.stdout.write(text())
