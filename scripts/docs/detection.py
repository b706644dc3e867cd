"""Tables of what the bench of detectors measured."""

from pathlib import Path

from benchmarks.detection.tables import About, BoundRow, CostRow, DetectorRow, IncidentRow, TargetRow, read
from benchmarks.detection.tables import Row as Measurement
from scripts.docs.markdown import Row, code, table

SHORT = ("PayFlux", "static ratio, 5 min for 5 min", "success rate of 125")
"""The detectors that stand in the summary."""

DETECTION = Path(__file__).parent.parent.parent / "benchmarks" / "results" / "detection.jsonl"


def _measured() -> list[Measurement]:
    """The last result of `make bench-detection`; nothing before the first."""
    return read(DETECTION.read_bytes()) if DETECTION.exists() else []


def _found(figures: tuple[int, int, float | None, float | None]) -> Row:
    """How many of how many, half of them within, nine of ten within."""
    found, of, middle, late = figures
    return f"{found} of {of}", *(f"{one:.0f} s" if one is not None else "-" for one in (middle, late))


def detection_summary() -> str:
    """The product beside the best of the others, in short, and of what that is."""
    found = _measured()
    rows = [
        (row.detector, *_found(row.busy)[:2], *_found(row.quiet)[:2], f"{row.false_per_month:.1f}")
        for row in found
        if isinstance(row, DetectorRow) and row.detector in SHORT
    ]
    about = "".join(
        f"\nMeasured {one.date} on {one.machine}: {one.months} months of one processor's simulated traffic in all.\n"
        for one in found
        if isinstance(one, About)
    )
    head = ("", *(f"{size}: {what}" for size in ("≥ 5/s", "< 5/s") for what in ("found", "half within")))
    return table((*head, "false alarms a month"), rows) + about


def detection_targets() -> str:
    """What is demanded of the product's detector, and whether it is held."""
    rows = [
        (
            row.target,
            f"at least {row.least:g}" if row.least is not None else f"at most {row.most:g}",
            "-" if row.measured is None else f"{row.measured:.4g}",
            "yes" if row.held else "**no**",
        )
        for row in _measured()
        if isinstance(row, TargetRow)
    ]
    return table(("what", "target", "measured", "held"), rows)


def detectors() -> str:
    """Every detector beside the product's."""
    rows = [
        (
            row.detector,
            "-" if row.level is None else f"{row.level:g}",
            f"{row.false_per_month:.1f}{'' if row.tuned else ' (no level keeps to 1)'}",
            *_found(row.busy),
            *_found(row.quiet),
            "-" if row.named is None else f"{row.named:.0%}",
            "-" if row.episodes is None else f"{row.episodes:.2f}",
            "-" if row.cleared is None else f"{row.cleared:.0f} s",
        )
        for row in _measured()
        if isinstance(row, DetectorRow)
    ]
    volume = ("found", "half within", "90 % within")
    head = ("detector", "level", "false alarms a month", *(f"≥ 5/s: {one}" for one in volume))
    last = ("named", "warnings an incident", "clear after")
    return table((*head, *(f"< 5/s: {one}" for one in volume), *last), rows)


def detected_incidents() -> str:
    """Every kind of incident as the product finds it."""
    rows = [
        (code(row.incident), *_found(row.busy), *_found(row.quiet), "-" if row.named is None else f"{row.named:.0%}")
        for row in _measured()
        if isinstance(row, IncidentRow)
    ]
    volume = ("found", "half within", "90 % within")
    named = tuple(f"{size}: {one}" for size in ("≥ 5/s", "< 5/s") for one in volume)
    return table(("incident", *named, "named"), rows)


def detection_bounds() -> str:
    """The product beside the shortest delay there can be."""
    rows = [
        (
            *(f"{row.rate:g}", f"8 % → {row.failing:.0%}", f"{row.part:.0%}", f"{row.delay:.1f} s"),
            *(f"{row.shortest:.1f} s", f"{(row.delay - 0.5) / row.shortest:.2f}"),
        )
        for row in _measured()
        if isinstance(row, BoundRow)
    ]
    return table(("events/s", "failing", "of the traffic", "delay", "shortest", "ratio less half a tick"), rows)


def detection_costs() -> str:
    """What the product's detector spends, and of what all these figures are."""
    found = _measured()
    rows = [
        (code(row.processor), f"{row.per_event:.1f} µs", f"{row.per_second:.0f} µs", f"{row.counting:.2f} µs")
        for row in found
        if isinstance(row, CostRow)
    ]
    about = "".join(
        f"\nMeasured {one.date} on {one.machine}: {one.months} processor-months, {one.clean_months} of them without "
        f"incidents; tuned on {one.tuning_months} others. A processor takes {one.memory_kb:.0f} KB.\n"
        for one in found
        if isinstance(one, About)
    )
    return table(("processor", "charts, an event", "charts, a second", "counting, an event"), rows) + about
