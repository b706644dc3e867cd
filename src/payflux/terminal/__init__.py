"""What commands share: refusing, keys, tables, progress."""
