"""Names of the keys of the stream on a server that is no cluster, for tests that look at them or spoil them."""

from payflux.redis.keys import Keys
from payflux.stream.protocol import GROUP

KEYS = Keys()
STREAM = KEYS.stream
STATE = KEYS.state
DEAD_LETTERS = KEYS.dead_letters(clustered=False)
LEASE = KEYS.lease(GROUP)
LEDGER = KEYS.ledger(GROUP)
CONSUMER = KEYS.consumer(GROUP, "")
