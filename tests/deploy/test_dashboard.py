"""The Grafana dashboard: fresh, well-formed, and asking only for what a node exposes."""

import json
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from needs import program
from nodes import event
from payflux.operations.exposition import HEALTH, INFO, REDIS_GAUGES
from payflux.operations.incident_gauges import GAUGES
from payflux.telemetry.metrics import METRICS, OF_EXPORTERS
from payflux.terminal.drawing import svg
from pictures import texts
from queries import ROOT, objections
from real_parts import MakeNode
from scripts.dashboards import pictures
from scripts.dashboards.grafana import WIDTH, dashboard, text
from scripts.dashboards.incidents import INCIDENTS
from scripts.dashboards.panels import CUTS, Panel
from scripts.dashboards.plots import NAMED, graph, stat
from scripts.dashboards.prometheus import Prometheus
from scripts.dashboards.rows import ROWS
from servers import until

GRAFANA = ROOT / "deploy" / "grafana"
FILE = GRAFANA / "dashboards" / "payflux.json"
UNSHOWN = {"export_reopened_total", "build_info", "runbook_info"}
UNSHOWN |= {"ingest_key_events_total", "ingest_key_duplicates_total"}  # `payflux check` judges them
"""Metrics without a panel: nothing an operator follows over time."""
PANELS = [panel for row in ROWS.values() for panel in row]


def words(path: Path) -> set[str]:
    """Every text of a picture."""
    return set(texts(path.read_text()))


def overlaps(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether two places of the grid have something in common."""
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]


def test_the_file_is_fresh() -> None:
    """It is what the code says today; `make dashboard` writes it."""
    assert FILE.read_text() == text(), "stale: run `make dashboard`"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_each_query_asks_for_what_exists(panel: Panel) -> None:
    """Metrics, labels and their values are those of a node, and names of series use labels the query keeps."""
    assert panel.queries
    assert panel.about
    for query in panel.queries:
        assert list(objections(query.expr)) == []


def test_every_metric_is_shown() -> None:
    """A new metric gets a panel, or a reason why not."""
    asked = " ".join(query.expr for panel in PANELS for query in panel.queries)
    missing = {
        name
        for name in (*(metric.name for metric in (*METRICS, *OF_EXPORTERS)), *REDIS_GAUGES, *HEALTH, *INFO, *GAUGES)
        if name not in asked
    }
    assert missing == UNSHOWN


def test_the_bands_are_those_of_the_score() -> None:
    """Thresholds of the panel of risk come from the setting's default."""
    made: dict[str, Any] = next(one for one in dashboard()["panels"] if one["title"] == "Risk score, by processor")
    steps = made["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, *CUTS] == [None, 0.3, 0.6, 0.8]


def test_the_layout_holds() -> None:
    """Identifiers and places are each panel's own, inside the grid, and every data source is the chosen one."""
    made = dashboard()["panels"]
    places = [one["gridPos"] for one in made]
    assert len({one["id"] for one in made}) == len(made) > 25
    assert all(place["x"] + place["w"] <= WIDTH for place in places)
    assert not any(overlaps(one, other) for number, one in enumerate(places) for other in places[:number])
    sources = [one["datasource"]["uid"] for one in made if one["type"] != "row"]
    assert set(sources) == {"${datasource}"}


def test_provisioning_finds_the_dashboard_and_prometheus() -> None:
    """Grafana's files name where Compose mounts the dashboards, and a source of data."""
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "payflux.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")


@pytest.mark.process
def test_a_real_prometheus_answers_every_query(make_node: MakeNode, directory: Path) -> None:
    """None of them is refused, those of a busy node give series, and both pictures come out of them."""
    node = make_node()
    configuration = directory / "prometheus.yml"
    target = {"job_name": "payflux", "static_configs": [{"targets": [f"127.0.0.1:{node.port}"]}]}
    configuration.write_text(json.dumps({"global": {"scrape_interval": "300ms"}, "scrape_configs": [target]}))
    program("prometheus")
    with ExitStack() as running:
        prometheus = Prometheus(directory / "prometheus", configuration)
        running.callback(prometheus.stop)
        until(lambda: prometheus.instant("payflux_ingest_accepted_total"), "a scrape")
        for sent in (50, 100):  # a counter must be seen twice to have a rate
            unread = event(event_type="payment_attempt", retry_result="")
            node.post_batch([unread, *(event(retry_count=number % 3) for number in range(49))])
            until(partial(prometheus.instant, f"payflux_consumer_processed_total == {sent}"), "a scrape")
        end = prometheus.instant("timestamp(payflux_ingest_accepted_total)")[0]["value"][0]
        silent = {
            panel.title
            for panel in PANELS
            if not any(prometheus.instant(pictures.asked(query.expr), time=str(end)) for query in panel.queries)
        }
        expected = {"Lines not exported"} | {
            panel.title for panel in PANELS if "of their own" in panel.title or "receiver" in panel.title
        }
        expected |= {panel.title for panel in ROWS["Webhooks of processors"]}  # nobody sends one
        assert silent - {panel.title for panel in INCIDENTS} == expected  # an incident takes longer than this run
        pictures.write(directory / "img", prometheus, end)
        assert {panel.title for panel in PANELS} <= words(directory / "img" / "dashboard.svg")
        assert "Risk score, by processor" in words(directory / "img" / "risk.svg")


def test_the_pictures_show_every_panel() -> None:
    """Those in the documentation have today's panels; `make pictures` draws them anew."""
    assert {panel.title for panel in PANELS} <= words(ROOT / "docs" / "img" / "dashboard.svg")
    assert "Risk score, by processor" in words(ROOT / "docs" / "img" / "risk.svg")


def panel_named(title: str) -> Panel:
    """One of the dashboard's."""
    return next(panel for panel in PANELS if panel.title == title)


def test_a_picture_of_a_panel_has_its_bands_and_series() -> None:
    """Thresholds by name, and a legend; where nothing was answered it says so."""
    panel = panel_named("Risk score, by processor")
    drawn = svg(graph(panel, {"stripe": [(0.0, 0.1), (8.0, 0.9)]}, 8))
    assert {"stripe", "elevated from 0.3", "high from 0.6", "critical from 0.8", "8 min"} <= set(texts(drawn))
    assert "none" not in texts(drawn)
    assert "none" in texts(svg(graph(panel, {}, 8)))


def test_a_picture_stacks_what_is_part_of_a_whole() -> None:
    """The scale has room for the sum."""
    panel = panel_named("Events accepted, by processor")
    series = {"a": [(0.0, 100.0), (8.0, 200.0)], "b": [(0.0, 300.0), (8.0, 400.0)]}
    assert "600" in texts(svg(graph(panel, series, 8)))
    assert "600" not in texts(svg(graph(replace(panel, stacked=False), series, 8)))


def test_a_picture_of_nothing_but_zeros_has_them_at_the_bottom() -> None:
    """Its scale ends at 1."""
    drawn = texts(svg(graph(panel_named("Losses and dead letters"), {"a": [(0.0, 0.0), (8.0, 0.0)]}, 8)))
    assert {"0", "1"} <= set(drawn)


@pytest.mark.parametrize(
    ("title", "value", "shown"), [("Time to answer", 0.0021, "2 ms"), ("Failure rate, by processor", 0.5, "40%")]
)
def test_numbers_carry_their_units(title: str, value: float, shown: str) -> None:
    """As a person would write them."""
    assert shown in texts(svg(graph(panel_named(title), {"a": [(0.0, 0.0), (8.0, value)]}, 8)))


@pytest.mark.parametrize(("value", "colour"), [(0.1, "green"), (0.3, "yellow"), (0.7, "orange"), (1, "red")])
def test_a_number_has_the_colour_of_its_threshold(value: float, colour: str) -> None:
    """The highest that it reaches."""
    drawn = svg(stat(panel_named("Highest risk"), value))
    assert f"{value:g}" in texts(drawn)
    assert [name for name, code in NAMED.items() if f'fill="{code}"' in drawn] == [colour]
