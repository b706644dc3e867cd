"""Servers and nodes for every test; the fixtures are in `support`."""

pytest_plugins = ("real_parts",)
