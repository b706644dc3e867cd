"""Requests that PayFlux makes of others' servers: bounded in time and size, and never where they must not go."""
