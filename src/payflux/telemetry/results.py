"""What becomes of events, of webhooks and of what receivers are told: values of a label, and what each means."""

REJECT_REASONS = {
    "unauthorized": "no key or a wrong one",
    "body_too_large": "a body over 1 MiB",
    "request_timeout": "a body that did not arrive in time",
    "unsupported_media_type": "a Content-Type that is not JSON or NDJSON",
    "unsupported_encoding": "a Content-Encoding",
    "rate_limited": "over the key's rate",
    "invalid_json": "not one JSON object",
    "duplicate_member": "a member that stands twice",
    "invalid_event": "a field that breaks its rule",
    "pan_detected": "a card number or track data",
    "invalid_batch": "not readable as a batch",
    "batch_too_large": "more than 1,000 events in a batch",
    "unavailable": "Redis did not confirm",
}

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
