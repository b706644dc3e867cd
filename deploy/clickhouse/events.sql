-- The table for what the webhook exporter sends: every member of the line, each event once.
-- A batch that comes twice leaves rows that are equal in the sorting key; ClickHouse merges them some time later, and
-- SELECT … FINAL, or a view with argMax, sees each event once before that.
CREATE TABLE payflux_events
(
    event_id String,
    event_type String,
    event_timestamp DateTime('UTC'),
    merchant_id_hash String,
    payment_intent_id_hash String,
    processor String,
    failure_category String,
    retry_count UInt8,
    geo_bucket String,
    amount_bucket String,
    system_source String,
    payment_method_bucket String,
    channel String,
    retry_result String,
    failure_origin String,
    payment_method_fingerprint_hash String,
    card_network String,
    network_response_code String,
    network_advice_code String,
    currency String,
    amount_minor Int64,
    initiator String,
    latency_ms Int64,
    issuer_country String,
    processor_event_id String,
    stream_message_id String,
    consumer_name String,
    processed_at DateTime('UTC'),
    processor_risk_score Float64,
    processor_risk_band String,
    processor_risk_drivers Array(String),
    seq UInt64,
    schema_version UInt8
)
ENGINE = ReplacingMergeTree(processed_at)
PARTITION BY toYYYYMM(event_timestamp)
ORDER BY (processor, event_timestamp, event_id);
