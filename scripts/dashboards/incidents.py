"""What the Grafana dashboard shows of incidents."""

from scripts.dashboards.panels import JOB, ONE, Panel, Query

INCIDENTS = (
    Panel(
        "Open incidents",
        "What is wrong at which processor, in which segment; `payflux incidents show` tells all of it.",
        (
            Query(
                f"sum by (incident, processor, driver, dimension, value, severity) (payflux_incident_info{{{ONE}}})",
                "{{incident}}",
            ),
        ),
        kind="table",
    ),
    Panel(
        "Observed against expected",
        "Of each open incident, the share that is observed and that was to be expected.",
        (
            Query(f"max by (incident) (payflux_incident_observed_ratio{{{JOB}}})", "{{incident}} observed"),
            Query(f"max by (incident) (payflux_incident_expected_ratio{{{JOB}}})", "{{incident}} expected"),
        ),
        unit="percentunit",
    ),
    Panel(
        "Worst segments",
        "The share that fails in segments of open incidents.",
        (
            Query(
                f"max by (processor, dimension, value) (payflux_segment_failure_ratio{{{ONE}}})",
                "{{processor}} {{dimension}}={{value}}",
            ),
        ),
        unit="percentunit",
    ),
    Panel(
        "Payments affected and value at risk",
        "Payments that failed beyond expectation, and what they were worth in minor units of their currency.",
        (
            Query(f"max by (incident) (payflux_incident_payments_affected{{{JOB}}})", "{{incident}} payments"),
            Query(
                f"max by (incident, currency) (payflux_incident_value_at_risk{{{JOB}}})", "{{incident}} {{currency}}"
            ),
        ),
    ),
    Panel(
        "Incidents",
        "How many are open, and how many opened in the time shown.",
        (
            Query(f"sum by (processor, severity) (payflux_incidents_open{{{ONE}}})", "{{processor}} {{severity}}"),
            Query(
                f"sum by (processor, driver) (increase(payflux_incidents_total{{{ONE}}}[$__range])) > 0",
                "{{processor}} {{driver}} opened",
            ),
        ),
    ),
    Panel(
        "How late warnings are",
        "From the first event that is evidence of an incident to the moment it was opened and kept.",
        (
            Query(
                f"histogram_quantile(0.5, sum by (le) (increase(payflux_warning_latency_seconds_bucket{{{JOB}}}[1h])))",
                "p50",
            ),
        ),
        unit="s",
    ),
)
