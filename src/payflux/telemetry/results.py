"""What becomes of webhooks, and of what receivers of incidents are told: values of a label, and what each means."""

WEBHOOK_RESULTS = {
    "accepted": "in the stream now",
    "duplicate": "in the stream already: sent again, or told twice",
    "ignored": "a kind of webhook that says nothing of payments; acknowledged",
    "signature_missing": "no signature; refused",
    "signature_wrong": "signed by none of the live secrets; refused",
    "timestamp_outside": "signed too long ago, or for later; refused",
    "invalid": "signed, and not readable; refused",
    "body_too_large": "a body over 1 MiB; refused",
    "rate_limited": "over PAYFLUX_WEBHOOK_RPS; refused, the processor sends it again",
    "unavailable": "Redis did not confirm; the processor sends it again",
}

ALERT_RESULTS = {
    "sent": "taken by the receiver; what Alertmanager is told again every minute counts too",
    "failed": "not taken, or no answer; tried again",
    "overdue": "an incident that could not be told for an hour; tried again while it is open",
    "lost": "an incident that could not be told for an hour and is over, or whose end could not be told for a day",
    "refused": "an incident that the receiver will never take; not tried again",
}
