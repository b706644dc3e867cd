"""Names of the keys of one stream in Redis; the header of `append.lua` says what each of them holds."""

from dataclasses import dataclass

from payflux.stream.protocol import GROUP


@dataclass(frozen=True)
class Keys:
    """Every key of a stream. They share its hash tag, so that a Redis Cluster keeps them in one slot with it.

    Attributes:
        stream: name of the stream.
    """

    stream: str = "events_stream"

    @property
    def _tag(self) -> str:
        return "{" + self.stream + "}"

    @property
    def state(self) -> str:
        """The last number given, and the layers of marks."""
        return f"{self._tag}:state"

    def webhook_marks(self, processor: str) -> str:
        """The layers of marks of a processor's webhooks; the names of the marks begin with it."""
        return f"{self._tag}:webhook-marks:{processor}"

    @property
    def marks(self) -> str:
        """How the names of the sets of marks begin."""
        return f"{self._tag}:marks:"

    @property
    def probed(self) -> str:
        """A set of marks that is made and deleted at once, to see whether marks can be made."""
        return f"{self.marks}probe"

    @property
    def incidents(self) -> str:
        """What became of incidents, as it happened."""
        return f"{self._tag}:incidents"

    @property
    def incidents_open(self) -> str:
        """The open incidents."""
        return f"{self._tag}:incidents:open"

    @property
    def incidents_told(self) -> str:
        """Up to which second the changes of incidents are kept, and what was known then."""
        return f"{self._tag}:incidents:told"

    @property
    def incidents_verdicts(self) -> str:
        """What people said of incidents."""
        return f"{self._tag}:incidents:verdicts"

    @property
    def alerts_told(self) -> str:
        """What receivers of alerts were told."""
        return f"{self._tag}:alerts:told"

    @property
    def alerts_tested(self) -> str:
        """When receivers of alerts were tried."""
        return f"{self._tag}:alerts:tested"

    @property
    def mutes(self) -> str:
        """The mutes of alerts."""
        return f"{self._tag}:mutes"

    def dead_letters(self, group: str = GROUP, *, clustered: bool) -> str:
        """The dead-letter stream of a group; on a Redis Cluster, where a script may use one slot, under the tag."""
        if group != GROUP:
            return f"{self._tag}:dlq:{group}"
        return f"{self._tag}:dlq" if clustered else f"{self.stream}_dlq"

    def lease(self, group: str) -> str:
        """Who consumes the stream for a group."""
        return self._of("lease", group)

    def ledger(self, group: str) -> str:
        """How far the consumer of a group got."""
        return self._of("ledger", group)

    def consumer(self, group: str, name: str) -> str:
        """Which node uses a consumer's name in a group."""
        return f"{self._tag}:consumer:{name}" if group == GROUP else f"{self._tag}:consumer-of:{group}:{name}"

    @property
    def assessments(self) -> str:
        """The log of what was said of processors."""
        return f"{self._tag}:assessments"

    @property
    def risk(self) -> str:
        """What was said last of each processor."""
        return f"{self._tag}:risk"

    @property
    def scored(self) -> str:
        """The place up to which everything is in some snapshot."""
        return f"{self._tag}:scored"

    def snapshot(self, processor: str) -> str:
        """All that is known of a processor."""
        return f"{self._tag}:snapshot:{processor}"

    def kinds(self, group: str, *, clustered: bool) -> dict[str, str]:
        """Of each key whose name is always the same, with the lease and ledger of a group, the type it has to be of."""
        return {
            self.stream: "stream",
            self.dead_letters(group, clustered=clustered): "stream",
            self.state: "hash",
            self.ledger(group): "hash",
            self.lease(group): "string",
            self.assessments: "stream",
            self.risk: "hash",
            self.scored: "string",
        }

    def _of(self, what: str, group: str) -> str:
        return f"{self._tag}:{what}" if group == GROUP else f"{self._tag}:{what}:{group}"

    def owns(self, name: str) -> bool:
        """Whether a key is one of these."""
        return name in (self.stream, self.dead_letters(clustered=False)) or name.startswith(self._tag)
