"""What `payflux check` looks at: the server, the settings, the disk, and what is around the node."""
