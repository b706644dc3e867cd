"""Producers' side: admission, single events, batches, answers."""
