"""Those who can be told of incidents: one file each, which ends with its `Kind`; none knows another."""
