"""The processes of a node: the supervisor, and the composition root of its children."""
