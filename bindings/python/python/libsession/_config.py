"""What a manager is opened with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from types import EllipsisType
from typing import Any, Literal, TypeAlias

from ._words import ApplicationTimeout, AtSessionLimit, Evict, LazyUntil, LicenseClass, LockMode, UnitRule

Duration: TypeAlias = timedelta | float
"""A timedelta or seconds. Negative, or over 100 years, is `Invalid`."""

Timeout: TypeAlias = timedelta | float | None
"""A timedelta or seconds; None and 0 are never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A named part of a product with its own defaults. Where `...` stands, the manager or the profile decides."""

    enabled: bool = True
    """Whether sessions may be created in it and enter it."""
    namespace: str = ""
    """The namespace of its sessions and event classes: at most 128 bytes."""
    idle_timeout: Timeout = timedelta(minutes=15)
    """Longest silence."""
    absolute_timeout: Timeout | EllipsisType = ...
    """Longest life. Default: the profile's (24 h, in `iris` none)."""
    event_classes: Sequence[str] = ()
    """The event classes its sessions start with, first called first."""
    required_event_classes: Sequence[str] = ()
    """Those of `event_classes` that a decision needs."""
    pool: str | None = None
    """The license pool its sessions are charged to. Default: the manager's only pool."""
    license_class: LicenseClass | Literal["named", "anonymous", "lazy", "none"] | None = None
    """How its sessions are charged. Default `named` where a pool is configured, else `none`."""
    lazy_until: LazyUntil | Literal["login", "second_request", "first_write"] = LazyUntil.LOGIN
    """When a session of class `lazy` takes its unit, decided when it is created; a login before that takes it, too."""
    detect_crawlers: bool = True
    """Whether a `lazy` session of a crawler or a health check takes a unit by a login only, never by a request or a write: told
    by its user agent when it is created. Sessions of other classes don't ask."""
    crawlers: Sequence[str] = ()
    """What else is in the user agents of crawlers and health checks: at most 1,000 texts of 1 to 256 bytes, compared without
    regard to the case of ASCII letters."""
    anonymous_idle_timeout: Duration | None = None
    """Longest silence of sessions of class `anonymous`, as long as they are: a login that makes one named gives it
    `idle_timeout`; a session whose own was set keeps that. None: `idle_timeout`."""
    max_sessions: int | None = None
    """Most live sessions of this application. Default: the manager's."""
    max_extensions: int | None = None
    """Extensions in a row without user activity. Default: the profile's (0, in `iris` 3)."""
    extension_cap: Duration = timedelta(seconds=900)
    """The longest single extension."""
    ask_lead: Duration = timedelta(seconds=5)
    """How long before the deadline `on_expiring` is asked, at most half the timeout."""
    lock: LockMode | Literal["exclusive", "shared", "none"] = LockMode.EXCLUSIVE
    """The lock of a request that names none."""
    timeout_on_application_change: ApplicationTimeout | Literal["keep", "adopt", "min", "max"] = (
        ApplicationTimeout.KEEP
    )
    """What happens to the timeout when a session enters this application from another."""
    protected_from_bulk_end: bool = False
    """Spared by `end_where`."""
    event_classes_on_entry: Literal["keep", "union"] = "keep"
    """`union`: a session that enters also gets this application's event classes, each once."""
    debug: bool | None = None
    """Whether sessions keep a trace that `explain` prints. Default: the manager's."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Units of a pool that are set apart for some."""

    units: int
    """How many: 1 up to the capacity."""
    members: Sequence[str]
    """For whom: users by name, or `user:NAME`, and groups as `group:NAME`. Who is in several reservations has the first."""
    hard: bool = True
    """Whether nobody else may use them meanwhile. Otherwise they only count as used by their members, who get them back: when they
    find no other unit, a session that has none of the reserved ones is evicted for them, whatever `evict` says."""


_DURATIONS = (
    "linger",
    "lazy_linger",
    "min_hold",
    "anonymous_min_hold",
    "lazy_min_hold",
    "overdraft_time",
    "evict_idle",
)
_WORDS = {"unit_rule": UnitRule, "evict": Evict, "at_session_limit": AtSessionLimit}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A limited set of license units."""

    capacity: int
    """Units there are: 0 to 2³²."""
    unit_rule: UnitRule | Literal["session", "user", "staircase", "iris", "hard"] = UnitRule.STAIRCASE
    """How a holder with several sessions is charged."""
    max_connections: int = 25
    """The step of the staircase, the cliff of `iris`, the limit of `hard`: 1 to 1,000,000."""
    max_sessions_per_holder: int | None = None
    """Most sessions of one holder; None is any number."""
    anonymous_cap: int | None = None
    """Most units that `anonymous` sessions may hold together; None: as many as there are."""
    anonymous_per_client: int | None = None
    """Most `anonymous` sessions of one client, by its address: one IPv4 address, or one IPv6 network of 64 bits; a port counts
    for nothing, and what is no address counts as it is written. A login leaves them. Sessions without an address are not
    bounded. None is any number."""
    holder_per_client: bool = False
    """Whether a user at several clients is several holders, `user@client`: a client is what it is for `anonymous_per_client`."""
    low: int = 0
    """`on_pool_low` when fewer units than this are available; 0 is never."""
    recovered: int | None = None
    """`on_pool_recovered` when so many units are available again after it was low or exhausted; until then neither is told
    again. None: `low`, at least 1."""
    linger: Duration = 0
    """How long a user keeps a unit that no session of theirs needs any more, to come back to it free. A session that is its
    own holder can't come back, and a unit that is traded goes along: neither lingers. So there is none for `anonymous` sessions:
    a login makes them `named` ones."""
    lazy_linger: Duration | None = None
    """The same where the last session to need the unit took its license as a `lazy` one. None: `linger`."""
    min_hold: Duration = 0
    """How long a unit is held at least, from when it was taken. A user who takes another one meanwhile holds all until the last
    of these times is over."""
    anonymous_min_hold: Duration | None = None
    """The same for units that `anonymous` sessions take. None: `min_hold`."""
    lazy_min_hold: Duration | None = None
    """The same for units that `lazy` sessions take, but for features. None: `min_hold`."""
    reclaim: bool = True
    """Whether a unit that lingers (but not one within `min_hold`) is given to somebody else when no other is free."""
    overdraft: int | str = 0
    """Units that may be in use beyond the capacity: a number, or of a hundred of the capacity as `"10%"`, rounded down."""
    overdraft_time: Duration | None = None
    """For how long units may be given beyond the capacity, from when it was passed until use is back within it; who has one
    then keeps it. None is any time."""
    evict: Evict | Literal["none", "anonymous", "any"] = Evict.NONE
    """Which sessions are ended, with reason `evicted`, for a unit that somebody needs and nothing else gives: the longest idle
    first. Never one with a request in flight or within `min_hold`, one of the same user, or one whose unit counts as reserved;
    for an anonymous session only other anonymous ones; for a feature none. Of a user all sessions go that it takes to free a
    unit, or none."""
    evict_idle: Duration = 0
    """How long a session must have been idle to be evicted for somebody else."""
    reservations: Sequence[Reservation] = ()
    """Units set apart for some: at most 64 reservations; with `break_glass` no more units than the capacity."""
    break_glass: int = 0
    """Units of the capacity that only `administrators` get, when they find no other."""
    administrators: Sequence[str] = ()
    """For whom `break_glass` is: members as in a reservation. They are in no reservation."""
    include: Sequence[str] = ()
    """The only users that are let in, members as in a reservation. Empty: everybody."""
    exclude: Sequence[str] = ()
    """Users that are not let in, even if `include` names them."""
    at_session_limit: AtSessionLimit | Literal["deny", "evict_oldest", "evict_longest_idle"] = AtSessionLimit.DENY
    """What becomes of a login beyond `max_sessions_per_holder`, or beyond the limit of `hard`. Where one of the user's own
    sessions is ended for it, that is one step with the login, and that session may have a request in flight."""
    trade_failure: Literal["keep", "refuse"] = "keep"
    """What becomes of a login whose license can't be traded."""
    queue: int = 0
    """Most who may wait for units of the pool (`wait=`): up to 1,000,000; the next is refused at once. 0: nobody waits."""
    audit_records: int = 10_000
    """How many audit records are kept."""


def pool_of(options: str) -> Pool:
    """A definition as the engine tells it, in JSON."""
    told: dict[str, Any] = json.loads(options)
    given: dict[str, Any] = {}
    for field in fields(Pool):
        value = told.get(f"{field.name}_ms" if field.name in _DURATIONS else field.name, ...)
        if value is ...:
            continue
        if field.name in _DURATIONS:
            value = None if value is None else timedelta(milliseconds=value)
        elif field.name == "reservations":
            value = tuple(Reservation(one["units"], tuple(one["members"]), hard=one["hard"]) for one in value)
        elif field.name in _WORDS:
            value = _WORDS[field.name](value)
        elif isinstance(value, list):
            value = tuple(value)
        given[field.name] = value
    return Pool(**given)
