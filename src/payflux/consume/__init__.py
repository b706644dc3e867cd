"""Consumers' side: membership, follow, decide, settle, ledger, line."""
