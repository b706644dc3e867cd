"""The words that labels of metrics can have, each with its meaning."""

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
HTTP_REASONS = {
    "not_found": "no such path, or a mistyped one",
    "method_not_allowed": "a path that takes other methods",
    "bad_request": "no valid HTTP/1.1: TLS sent to a plain port, a damaged or ambiguous head",
    "head_too_large": "request line and headers over 16 KiB",
    "body_too_large": "a body over 1 MiB",
    "request_timeout": "a request that did not arrive in time",
    "too_many_connections": "no room for another connection",
}
EXPORT_REASONS = {
    "write": "the destination refused the write",
    "closed": "the reader of stdout is gone",
    "disk_full": "no space left",
    "open": "the file could not be opened",
    "marshal": "the line could not be built",
    "flush": "what was written could not be flushed",
    "queue_full": "the destination stalled and its queue was full",
    "shutdown": "the destination stalled until the node had to end",
    "unreachable": "no connection, or no answer in time; tried again",
    "busy": "the destination asked to be left alone for a while, or failed; tried again",
    "denied": "the destination does not know us or what we ask for: credentials, address; tried again",
    "gone": "the destination wants nothing any more; not tried again until the node is started anew",
    "refused": "the destination refused a record for good; it is a dead letter",
    "all_refused": "the destination refuses everything; nothing more is dead-lettered, and it is tried again",
}
DLQ_REASONS = {
    "invalid_json": "`data` is not a JSON object",
    "invalid_event": "`data` lacks a member or has one of the wrong type",
    "missing_data": "the entry has no `data` and `seq`",
    "max_deliveries": "delivered `PAYFLUX_MAX_DELIVERIES` times without success",
    "duplicate_member": "`data` has a member twice",
    "pan_detected": "`data` holds what looks like a card number",
    "refused": "its destination refused it for good; in the dead letters of an exporter alone, with what it said",
}
LOST_REASONS = {
    "trimmed": "deleted from the stream before it was read or while it was pending",
    "reset": "gone with the data of Redis (flushed, or rolled back by a restart)",
    "crash": "acked, and not written when the consumer died",
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
