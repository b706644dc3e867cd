"""Traffic, incidents, senders, latencies: what simulates and measures."""
