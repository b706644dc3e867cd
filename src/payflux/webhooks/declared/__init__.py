"""Adapters that are written down in a file of TOML instead of Python: `NAME.toml` is that of the processor NAME.

`table` reads a file and names every mistake in it by line; `schemes` holds the ways in which processors prove
themselves, `members` finds in a body what an event is made of, and `adapter` joins them to a `Source` like any other.
docs/connect/any.md says what such a file holds.
"""
