"""One file a processor; they know no other."""
