"""What a consumer is doing, and what makes it do something else; ARCHITECTURE.md draws it."""

from enum import Enum


class State(Enum):
    """What the consumer does in its next turn."""

    STANDBY = "standby"
    """Another consumer holds the lease, or nobody yet: nothing is read."""
    RECOVER = "recover"
    """Something may have happened that we were not told: settle what is in doubt, take up what is pending."""
    CAREFUL = "read with care"
    """As any member of the group reads, so that an entry that kills us is found by its deliveries."""
    FOLLOW = "follow"
    """Without a word to Redis about single entries: the group is moved over whole ranges."""
    HALTED = "halted"
    """Nothing but invalid entries for a while: the fault may be ours, so they wait, and only valid ones pass."""


class News(Enum):
    """What the consumer learns, by asking or from an error."""

    LEASE_TAKEN = "lease taken"
    """It is new to us: somebody else may have held it, and what is pending may have killed its reader."""
    LEASE_KEPT = "lease kept"
    LEASE_LOST = "lease lost"
    NO_REPLY = "no reply"
    """A command had none, or the group has vanished."""
    GROUP_MADE = "group made anew"
    """Nothing is pending in it; what we had not acked comes once more."""
    ROLLED_BACK = "rolled back"
    """Redis came back with an older state than we have seen."""
    RECOVERED = "recovered"
    CAUGHT_UP = "caught up"
    """Nothing is left that has to be read with care."""
    ALL_INVALID = "nearly all invalid"
    TIME_IS_UP = "halted for a minute"


TRANSITIONS = {
    (State.STANDBY, News.LEASE_TAKEN): State.RECOVER,
    (State.STANDBY, News.LEASE_KEPT): State.RECOVER,
    (State.RECOVER, News.RECOVERED): State.CAREFUL,
    (State.RECOVER, News.GROUP_MADE): State.CAREFUL,
    (State.RECOVER, News.LEASE_LOST): State.STANDBY,
    (State.RECOVER, News.ALL_INVALID): State.HALTED,
    (State.CAREFUL, News.CAUGHT_UP): State.FOLLOW,
    (State.CAREFUL, News.NO_REPLY): State.RECOVER,
    (State.CAREFUL, News.ROLLED_BACK): State.RECOVER,
    (State.CAREFUL, News.LEASE_TAKEN): State.RECOVER,
    (State.CAREFUL, News.LEASE_LOST): State.STANDBY,
    (State.CAREFUL, News.ALL_INVALID): State.HALTED,
    (State.FOLLOW, News.GROUP_MADE): State.CAREFUL,
    (State.FOLLOW, News.NO_REPLY): State.RECOVER,
    (State.FOLLOW, News.ROLLED_BACK): State.RECOVER,
    (State.FOLLOW, News.LEASE_TAKEN): State.RECOVER,
    (State.FOLLOW, News.LEASE_LOST): State.STANDBY,
    (State.FOLLOW, News.ALL_INVALID): State.HALTED,
    (State.HALTED, News.TIME_IS_UP): State.CAREFUL,
    (State.HALTED, News.NO_REPLY): State.RECOVER,
    (State.HALTED, News.ROLLED_BACK): State.RECOVER,
    (State.HALTED, News.LEASE_TAKEN): State.RECOVER,
    (State.HALTED, News.LEASE_LOST): State.STANDBY,
}
"""The next state; news that is not listed for a state changes nothing in it."""
