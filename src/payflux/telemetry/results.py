"""What becomes of what receivers of incidents are told: the values of a label, and what each means."""

ALERT_RESULTS = {
    "sent": "taken by the receiver; what Alertmanager is told again every minute counts too",
    "failed": "not taken, or no answer; tried again",
    "overdue": "an incident that could not be told for an hour; tried again while it is open",
    "lost": "an incident that could not be told for an hour and is over, or whose end could not be told for a day",
    "refused": "an incident that the receiver will never take; not tried again",
}
