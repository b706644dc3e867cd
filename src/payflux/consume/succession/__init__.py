"""What a successor needs to go on as if nothing had happened: snapshots, and how far incidents were told."""
