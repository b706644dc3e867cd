"""The event types that webhooks become, the same for every processor.

`payflux.event.outcome` reads their words: what failed, what succeeded, what is open or taken back.
"""

PAYMENT_SUCCEEDED = "payment_succeeded"
PAYMENT_AUTHORIZED = "payment_authorized"
PAYMENT_FAILED = "payment_failed"
PAYMENT_PENDING = "payment_pending"
PAYMENT_REQUIRES_ACTION = "payment_requires_action"
PAYMENT_CANCELLED = "payment_cancelled"
PAYMENT_EXPIRED = "payment_expired"
CAPTURE_SUCCEEDED = "capture_succeeded"
CAPTURE_FAILED = "capture_failed"
CANCEL_FAILED = "cancel_failed"
REFUND_PENDING = "refund_pending"
PAYMENT_REFUNDED = "payment_refunded"
REFUND_FAILED = "refund_failed"
SETUP_SUCCEEDED = "setup_succeeded"
SETUP_FAILED = "setup_failed"
DISPUTE_CREATED = "dispute_created"
DISPUTE_UPDATED = "dispute_updated"
DISPUTE_CLOSED = "dispute_closed"
FRAUD_WARNING_CREATED = "fraud_warning_created"

OUTCOMES = {
    **dict.fromkeys((PAYMENT_SUCCEEDED, PAYMENT_AUTHORIZED, CAPTURE_SUCCEEDED, SETUP_SUCCEEDED), "success"),
    **dict.fromkeys((PAYMENT_FAILED, CAPTURE_FAILED, CANCEL_FAILED, REFUND_FAILED, SETUP_FAILED), "failure"),
    **dict.fromkeys((PAYMENT_PENDING, PAYMENT_REQUIRES_ACTION, PAYMENT_CANCELLED, PAYMENT_EXPIRED), "neutral"),
    **dict.fromkeys((REFUND_PENDING, PAYMENT_REFUNDED), "neutral"),
    **dict.fromkeys((DISPUTE_CREATED, DISPUTE_UPDATED, DISPUTE_CLOSED, FRAUD_WARNING_CREATED), "neutral"),
}
"""Every type, and the outcome that its words mean."""
