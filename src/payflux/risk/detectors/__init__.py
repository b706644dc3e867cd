"""Detectors: what is looked for in failed and retried attempts, one file each; their `registry`."""
