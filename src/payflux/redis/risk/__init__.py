"""What is kept in Redis of the risk of processors: assessments, snapshots, incidents."""
