"""What calls return: frozen, comparable, picklable. Instants named `…_ms` are engine time in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from ._errors import SessionError
from ._words import DenyReason, EndLevel, EndReason, EventKind, LockMode, State, TouchKind


@dataclass(frozen=True, slots=True)
class Client:
    """The immutable facts of a session's beginning."""

    address: str | None = None
    """The client's address as the host knows it: at most 256 bytes."""
    user_agent: str | None = None
    """The `User-Agent` header: at most 1,024 bytes."""
    referrer: str | None = None
    """The `Referer` header: at most 2,048 bytes."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature that a session has taken: units of a pool beside its license."""

    pool: str
    count: int
    """How often it is taken."""
    holder: str
    """Who is charged for it: the user who was logged in when it was taken, or the session."""
    since_ms: int
    """When it was taken first: engine time."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """How a live session looks in a listing."""

    id: str
    """The public handle, 22 characters: what `end`, `explain` and `list` take, never `begin`."""
    state: State
    application: str
    namespace: str
    user: str | None
    created_ms: int
    created_at: datetime
    """When it was made, UTC."""
    last_used_ms: int
    """When it was last used: coarse."""
    idle_timeout: timedelta | None
    """Longest silence; None is never."""
    absolute_timeout: timedelta | None
    """Longest life; None is never."""
    deadline_ms: int | None
    """The first deadline; None is never, or a request is in flight."""
    immortal: bool
    """Whether no idle timeout applies."""
    overdue: bool
    """Past its deadline and not ended yet."""
    in_flight: int
    """Requests in flight."""
    license_pool: str | None
    license_holder: str | None
    """Who is charged; None without a license."""
    features: tuple[Feature, ...]
    """The features that it has taken, in the order taken."""
    data_bytes: int | None
    """Bytes of its data; None if they can't be read."""
    client: Client


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing."""

    sessions: tuple[SessionInfo, ...]
    next: int | None
    """The cursor of the next page; None at the end."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a bulk change got."""

    scanned: int
    changed: int
    protected: int
    """Sessions spared because their application is protected from bulk ends."""
    next: int | None
    """Where to resume; None when it is complete."""


@dataclass(frozen=True, slots=True)
class CallbackOutcome:
    """How one callback went, in the receipt of an end that waited."""

    event_class: str
    kind: EventKind
    outcome: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an end says: kept with the tombstone."""

    id: str
    by_this_call: bool
    """Whether this call ended it; False: another had, and this is the receipt of that."""
    application: str
    user: str | None
    reason: EndReason
    level: EndLevel
    actor: str | None
    note: str | None
    at_ms: int
    at: datetime
    """When, UTC."""
    late: timedelta | None
    """How late after the deadline, for a timeout."""
    license_free_at_ms: int | None
    license_free_at: datetime | None
    """When its license was free; None if it held none."""
    event_id: int
    callbacks: tuple[CallbackOutcome, ...]
    """How each callback went, if waited for."""


@dataclass(frozen=True, slots=True)
class Extension:
    """The outcome of an end of level `request` that an event class put off."""

    event_class: str
    by: timedelta


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """One request in flight."""

    started_ms: int
    touch: TouchKind
    lock: LockMode | None
    """The lock it holds now."""
    process: int


@dataclass(frozen=True, slots=True)
class ExtensionGrant:
    """One extension that was granted."""

    at_ms: int
    event_class: str
    by: timedelta


@dataclass(frozen=True, slots=True)
class EventClassState:
    """One event class of a session."""

    namespace: str
    name: str
    registered: bool
    """Whether it is registered in this process."""


@dataclass(frozen=True, slots=True)
class CallbackFailure:
    """One callback that failed."""

    event_class: str
    kind: EventKind
    text: str


@dataclass(frozen=True, slots=True)
class NextStep:
    """What happens to a session next, and when."""

    what: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Explain:
    """Everything there is to know of one session, live or ended. `print` it."""

    id: str
    live: SessionInfo | None
    ended: Receipt | None
    requests: tuple[RequestInfo, ...]
    lock_waiters: int
    extensions: tuple[ExtensionGrant, ...]
    event_classes: tuple[EventClassState, ...]
    failures: tuple[CallbackFailure, ...]
    damaged: bool
    """Whether its data can't be read."""
    next: NextStep | None
    trace: tuple[str, ...]
    """Its trace, if `debug` is on."""
    text: str
    """The same in words, one line each."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class CloseReport:
    """What a close did."""

    ended: int
    """Sessions ended with `shutdown`."""
    in_flight: int
    """Requests that were in flight."""
    delivered: int
    """Callbacks delivered within the grace."""
    undelivered: int
    """Callbacks not delivered."""
    stuck: int
    """Callbacks that never returned."""
    deferred: bool
    """Whether the close waits for a running callback to return."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the lifecycle log: the order of commits."""

    seq: int
    at_ms: int
    session_id: str
    what: str
    """`created`, `ended`, `extended`, `rotated`, `login`, `logout`, `application`, `refused`."""
    detail: str


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters and health."""

    live: int
    peak: int
    created: int
    refused: int
    ended: dict[EndReason, int]
    in_flight: int
    lock_waiters: int
    license_waiters: int
    """Calls of this manager that wait for license units."""
    tombstones: int
    damaged: int
    reaper: str
    """`running`, `degraded`, `none` (the host ticks), `closed`."""
    degraded: str | None
    """Why it is degraded."""
    reaper_restarts: int
    lateness_max: timedelta
    """The worst lateness of the last 1,024 ends after their deadlines."""
    lateness_p99: timedelta
    callbacks_queued: int
    callbacks_running: int
    callbacks_delivered: int
    callbacks_failed: int
    callbacks_overrun: int
    dead_letters: int
    stuck_workers: int
    breakers_open: tuple[str, ...]
    """Event classes whose breaker is open."""
    replaced_token_uses: int
    """Late uses of a rotated token after its grace: somebody may have stolen it."""


@dataclass(frozen=True, slots=True)
class HolderUsage:
    """What one holder is charged."""

    holder: str
    kind: str
    """`user`; `session`, one that is its own holder; `lingering`, one whose units all linger; `mixed`, one some of whose
    units linger."""
    connections: int
    """Its sessions, and how often they took the pool as a feature."""
    units: int
    active: timedelta
    """How long it has held them without a break."""
    lingering: int
    """Those of its units that linger."""
    release_in: timedelta | None
    """After what time those are free, if it does not come back."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of one license pool at one instant."""

    pool: str
    capacity: int
    in_use: int
    available: int
    """`capacity - in_use`."""
    free: int
    """Units among those available that anybody may have: `available = free + reserved + break_glass`."""
    reserved: int
    """Units among those available that hard reservations set apart, and their members don't hold: nobody else may have them."""
    reserved_soft: int
    """Units of soft reservations that their members don't hold: others may use them, until a member needs one."""
    break_glass: int
    """Units among those available that only administrators may have. Where a lowered capacity or an overdraft left less than
    is set apart, what there is counts as `reserved` first."""
    lingering: int
    """Units among those in use that no session needs any more: they linger, or are held for their minimal time."""
    overdrawn: int
    """Units in use beyond the capacity that were given as overdraft."""
    excess: int
    """Units in use beyond the capacity because it was lowered meanwhile: they stay with who has them and drain."""
    waiting: int
    """How many wait for units."""
    offered: int
    """Units among those in use that are set aside for who waits, to be fetched within half a second."""
    high_water: int
    high_water_at: datetime
    denials: int
    """Sessions refused so far."""
    denials_by_reason: dict[str, int]
    """The same by why (`DenyReason`), since there is the pool: on a shared store in all processes together. A store that was
    made by an earlier version has counted them in `denials` alone until this one opened it."""
    evicted: int
    """Sessions evicted so far, for others or for one more of their user."""
    holders: tuple[HolderUsage, ...]


@dataclass(frozen=True, slots=True)
class HighWater:
    """The most units of a pool in use since a reader reset its mark."""

    units: int
    at: datetime
    """When that was."""


@dataclass(frozen=True, slots=True)
class PoolDifference:
    """An option of a pool that is in force with another value than the one that this manager was opened with."""

    pool: str
    option: str
    """Its name, with `_ms` if it is a duration."""
    named: Any
    """What this manager was opened with; durations in milliseconds."""
    in_force: Any


@dataclass(frozen=True, slots=True)
class Waiter:
    """One who waits for units of a pool."""

    position: int
    """How many come first, plus one."""
    holder: str
    """Who is to be charged: a session id or a user."""
    session_id: str
    """The session that waits, or is to be made."""
    priority: int
    waited: timedelta
    left: timedelta
    """How long it will wait still."""
    offered: bool
    """Whether units are set aside for it, which it is about to take."""
    process: int


@dataclass(frozen=True, slots=True)
class UnitExplain:
    """Why a holder has units of a pool. `print` it."""

    pool: str
    holder: HolderUsage
    sessions: tuple[SessionInfo, ...]
    """Its sessions, at most 100."""
    text: str
    """The same in words, one line each, and when the units come back."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Audit:
    """A recount from first principles beside the counters; both are always equal."""

    pool: str
    counted: int
    recounted: int
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One entry of a pool's accounts."""

    seq: int
    at_ms: int
    """Engine time."""
    wall_ms: int
    """The same as wall time, milliseconds since 1970, as the clock goes now."""
    kind: str
    """`grant`, `denial`, `trade`, `release`, `linger`, `reclaim`, `change` (of the pool), `queue`, `offer`, `withdraw`,
    `leave`."""
    session_id: str
    holder: str
    """Who is charged afterwards; for a release, who was; for a change of the pool, who changed it, or empty."""
    before: int
    """Units in use of the pool before."""
    after: int
    """Units in use of the pool after."""
    reason: DenyReason | None
    """For a denial."""
    why: str | None
    """What made it possible, or brought it about: `lingering`, `reclaimed`, `reserved`, `break_glass`, `overdraft`, `lingered`,
    `evicted`, `waited`, `cancelled`, `died`."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery that did not succeed. Holds no token and no data."""

    id: int
    """Names it for `redeliver`."""
    event_id: int
    kind: EventKind
    session_id: str
    event_class: str
    namespace: str
    application: str
    reason: EndReason | None
    at_ms: int
    attempts: int
    error: str
    """`overrun`, `queue_full`, `breaker_open`, `not_registered`, `shutdown`, or the callback's own text."""
    completed_late: bool
    """Whether the callback returned after all, too late."""
    has_snapshot: bool
    """Whether the session's data as it was is still kept."""


@dataclass(frozen=True, slots=True)
class Login:
    """The outcome of a login."""

    token: str = field(repr=False)
    """The new token; the old one begins requests of the same session for the grace."""
    trade_denied: SessionError | None
    """The denial, if the session could not be charged to the user: it keeps its unit as its own holder."""


@dataclass(frozen=True, slots=True)
class Logout:
    """The outcome of a logout."""

    token: str | None = field(repr=False)
    """The new token of the session, which lives on without a user; None if it ended."""
    ended: Receipt | None
    """If there was no unit for the session as its own holder: it ended with `license_denied`."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """The state of a license pool, in pool events and `on_license_denied`."""

    pool: str
    in_use: int
    capacity: int


CLASSES: Final[dict[str, Any]] = {
    record.__name__: record
    for record in (
        Client,
        Feature,
        SessionInfo,
        Page,
        Progress,
        CallbackOutcome,
        Receipt,
        Extension,
        RequestInfo,
        ExtensionGrant,
        EventClassState,
        CallbackFailure,
        NextStep,
        Explain,
        CloseReport,
        LogEntry,
        Stats,
        HolderUsage,
        Usage,
        HighWater,
        Waiter,
        UnitExplain,
        Audit,
        AuditRecord,
        DeadLetter,
        Login,
        Logout,
        PoolState,
    )
}
"""Every record by name, for the native module."""
