"""Risk: what each payment processor's traffic says of its health, observed against expected."""
