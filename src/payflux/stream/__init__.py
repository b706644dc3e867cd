"""All the rest knows of Redis: protocol, deliveries; a stream in memory for tests."""
