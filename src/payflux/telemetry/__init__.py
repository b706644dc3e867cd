"""Counters in shared memory, and every metric."""
