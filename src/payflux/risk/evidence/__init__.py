"""Observed against expected: the charts over one processor's streams, and what they expect."""
