"""What callers pass is checked, what comes back is typed, and nothing shows a secret."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from helpers import Watch

import libsession as ls
from libsession import _errors, _native, _records, _words


def test_every_error_kind_has_its_class() -> None:
    kinds = _native.vocabularies()["ErrorKind"]
    assert {error.kind: code for code, error in _errors.BY_CODE.items()} == kinds
    for code, error in _errors.BY_CODE.items():
        assert error.code == code
        assert issubclass(error, ls.SessionError)
        assert getattr(ls, error.__name__) is error
        assert error.__doc__


def test_every_vocabulary_has_its_enum_with_all_members() -> None:
    for name, words in _native.vocabularies().items():
        if name != "ErrorKind":
            assert list(_words.MEMBERS[name]) == list(words), name


def test_every_event_kind_has_its_decorator() -> None:
    for kind in ls.EventKind:
        event_class = ls.EventClass("x")
        assert getattr(event_class, kind.value)(print) is print
        assert event_class.callbacks == {kind.value: print}


def test_errors_belong_to_the_families_people_catch() -> None:
    assert issubclass(ls.Absent, KeyError)
    assert issubclass(ls.Invalid, ValueError)
    assert issubclass(ls.LockTimeout, TimeoutError)
    assert issubclass(ls.Corrupt, ls.StoreError)
    assert issubclass(ls.PanicError, ls.InternalError)


@pytest.mark.parametrize("error", _errors.BY_CODE.values(), ids=lambda error: error.kind)
def test_errors_survive_pickling(error: type[ls.SessionError]) -> None:
    details: dict[type[ls.SessionError], tuple[Any, ...]] = {
        ls.Gone: (ls.EndReason.REVOKED,),
        ls.LicenseDenied: (ls.DenyReason.POOL_EXHAUSTED, timedelta(seconds=3)),
        ls.Conflict: (("a", "b"),),
    }
    one = error("the text", *details.get(error, ()))
    other = pickle.loads(pickle.dumps(one))
    assert type(other) is error
    assert str(other) == "the text"
    assert other.args == one.args
    assert vars(other) == vars(one)


def test_a_panic_is_an_error_and_the_next_call_works(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ls.PanicError, match="caused by a test"):
        _native._panic()
    assert ls.Manager().count() == 0
    capfd.readouterr()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"store": "redis://x"}, "redis"),
        ({"store": "file:"}, "directory"),
        ({"store": "file:a\0b"}, "NUL"),
        ({"durability": "durable"}, "memory"),
        ({"durability": "eventual"}, "durability"),
        ({"profile": "nist"}, "nist"),
        ({"workers": 0}, "workers"),
        ({"workers": -1}, "workers"),
        ({"lock_timeout": -1}, "lock_timeout"),
        ({"lock_timeout": timedelta(seconds=-1)}, "lock_timeout"),
        ({"tombstone": math.nan}, "tombstone"),
        ({"tombstone": 1e30}, "tombstone"),
        ({"callback_deadline": 0}, "callback_deadline"),
        ({"dispatch": "soon"}, "soon"),
        ({"applications": {"": ls.Application()}}, "application"),
        ({"applications": {"x" * 200: ls.Application()}}, "128"),
        ({"applications": {"a": ls.Application(idle_timeout=-1)}}, "idle_timeout"),
        ({"applications": {"a": ls.Application(idle_timeout=timedelta(days=40_000))}}, "100 years"),
        ({"applications": {"a": ls.Application(idle_timeout=True)}}, "bool"),
        ({"applications": {"a": ls.Application(pool="no")}}, "no"),
        ({"applications": {"a": ls.Application(lock="hard")}}, "hard"),  # type: ignore[arg-type]
        ({"applications": {"a": ls.Application(event_classes_on_entry="all")}}, "all"),  # type: ignore[arg-type]
        ({"applications": {"a": ls.Application(lazy_until="never")}}, "never"),  # type: ignore[arg-type]
        ({"applications": {"a": ls.Application(crawlers=[""])}}, "0 bytes"),
        ({"applications": {"a": ls.Application(anonymous_idle_timeout=0)}}, "anonymous_idle_timeout"),
        ({"applications": [("a", ls.Application()), ("a", ls.Application())]}, "a"),
        ({"pools": {"p": ls.Pool(capacity=-1)}}, "capacity"),
        ({"pools": {"p": ls.Pool(capacity=1, max_connections=0)}}, "max_connections"),
        ({"pools": {"p": ls.Pool(capacity=1, anonymous_per_client=0)}}, "anonymous_per_client"),
        ({"pools": {"p": ls.Pool(capacity=1, overdraft="10 %")}}, "10 %"),
        ({"pools": {"p": ls.Pool(capacity=1, linger=-1)}}, "linger"),
        ({"pools": {"p": ls.Pool(capacity=1, reservations=[ls.Reservation(2, ["ann"])])}}, "set 2 apart"),
        ({"pools": {"p": ls.Pool(capacity=1, break_glass=1)}}, "administrators"),
        ({"pools": {"p": ls.Pool(capacity=1, trade_failure="shout")}}, "shout"),  # type: ignore[arg-type]
        ({"pools": {"p": {"capacity": 1}}}, "the pool 'p' is a Pool, not a dict"),
        ({"pools": {"p": ls.Pool(capacity="5")}}, r"capacity is a whole number from 0 to \d+, not '5'"),  # type: ignore[arg-type]
        ({"pools": {"p": ls.Pool(capacity=2**64)}}, r"capacity is a whole number from 0 to \d+, not 1844"),
        ({"pools": {"p": ls.Pool(capacity=2**40)}}, "bound"),
        ({"pools": {"p": ls.Pool(capacity=1, include="ann")}}, "include is a list, not 'ann'"),
        ({"pools": {"p": ls.Pool(capacity=1, exclude="ann")}}, "exclude is a list, not 'ann'"),
        ({"pools": {"p": ls.Pool(capacity=1, administrators="ann")}}, "administrators is a list, not 'ann'"),
        ({"pools": {"p": ls.Pool(capacity=1, reservations=[ls.Reservation(1, "vip")])}}, "members is a list, not 'vip'"),
        ({"pools": {"p": ls.Pool(capacity=1, reservations=[{"units": 1}])}}, "a Reservation, not a dict"),  # type: ignore[list-item]
        ({"pools": {"p": ls.Pool(capacity=1, reclaim=None)}}, "reclaim"),  # type: ignore[arg-type]
        ({"applications": {"a": {"idle_timeout": 5}}}, "the application 'a' is an Application, not a dict"),
        ({"applications": {"a": ls.Application(crawlers="bot")}}, "crawlers is a list, not 'bot'"),
        ({"applications": {"a": ls.Application(event_classes="bot")}}, "event_classes is a list, not 'bot'"),
        ({"applications": {"a": ls.Application(required_event_classes="bot")}}, "required_event_classes"),
        ({"debug": "no"}, "debug is True or False, not 'no'"),
    ],
)
def test_a_bad_option_is_invalid_and_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ls.Invalid, match=named):
        ls.Manager(**options)


def test_a_pool_has_policies() -> None:
    pool = ls.Pool(capacity=2, linger=timedelta(seconds=1), overdraft="50%", reservations=[ls.Reservation(1, ["group:leads"])])
    with ls.ManualClock() as clock, ls.Manager(pools={"users": pool}) as manager:
        with manager.begin_new() as session:
            assert session.login("ann", groups=("leads",)).trade_denied is None
            session.trade(groups=["leads"])
            with pytest.raises(ls.Invalid, match="group"):
                session.login("ann", groups=[""])
            session.end()
        usage = manager.usage("users")
        assert (usage.in_use, usage.lingering, usage.overdrawn) == (1, 1, 0)
        (ann,) = usage.holders
        assert (ann.kind, ann.connections, ann.lingering, ann.release_in) == ("lingering", 0, 1, timedelta(seconds=1))
        clock.advance(seconds=1)
        assert manager.usage("users").holders == ()
        whys = [(record.kind, record.why) for record in manager.audit_records("users")]
        assert whys == [
            ("grant", None), ("trade", "reserved"), ("linger", None), ("release", "lingered"),
        ]  # fmt: skip


def test_a_lazy_session_writes_with_a_unit_or_not_at_all() -> None:
    shop = ls.Application(license_class="lazy", lazy_until=ls.LazyUntil.FIRST_WRITE, crawlers=["Acme-Sync"])
    with ls.ManualClock(), ls.Manager(applications={"shop": shop}, pools={"users": ls.Pool(capacity=1)}) as manager:
        with manager.begin_new() as one:
            one["k"] = 1
        assert manager.usage("users").in_use == 1
        two = manager.begin_new()
        two["k"] = 1
        with pytest.raises(ls.LicenseDenied) as denied:
            two.finish()
        assert denied.value.reason == ls.DenyReason.POOL_EXHAUSTED
        found = manager.begin(two.token)
        assert isinstance(found, ls.Session)
        assert found.get("k") is None
        with manager.begin_new(client=ls.Client(user_agent="acme-sync/3")) as crawler:
            crawler["k"] = 1
        assert manager.usage("users").in_use == 1


def test_a_session_takes_features() -> None:
    pools = {"users": ls.Pool(capacity=2), "cad": ls.Pool(capacity=3, unit_rule="session")}
    with ls.ManualClock(), ls.Manager(applications={"shop": ls.Application(pool="users")}, pools=pools) as manager:
        with manager.begin_new() as session:
            session.take_feature("cad")
            session.login("ann")
            session.take_feature("cad", 2, groups=("leads",))
            own, ann = session.features()
            assert own == ls.Feature(pool="cad", count=1, holder=session.id, since_ms=0)
            assert (ann.count, ann.holder) == (2, "ann")
            assert session.info().features == (own, ann)
            with pytest.raises(ls.LicenseDenied, match="cad") as denied:
                session.take_feature("cad", count=1)
            assert denied.value.reason == "pool_exhausted"
            for count in (0, -1, 1001, 1.5, "1", 2**70):
                with pytest.raises(ls.Invalid, match="count"):
                    session.take_feature("cad", count)  # type: ignore[arg-type]
            with pytest.raises(ls.Invalid, match="plot"):
                session.return_feature("plot")
            assert session.return_feature("cad", 9) == 3
            assert session.features() == ()
            session.take_feature("cad")
            session.end()
            with pytest.raises(ls.Gone):
                session.features()
        assert manager.usage("cad").in_use == 0


def test_a_pool_is_changed_while_it_runs() -> None:
    with ls.ManualClock() as clock, ls.Manager(pools={"users": ls.Pool(capacity=2)}) as manager:
        assert (manager.pool("users").capacity, manager.pool("users").linger) == (2, timedelta(0))
        wanted = {
            "capacity": 4,
            "linger": timedelta(milliseconds=1500),
            "anonymous_min_hold": timedelta(seconds=2),
            "lazy_linger": timedelta(0),
            "lazy_min_hold": timedelta(seconds=3),
            "evict": ls.Evict.ANY,
            "evict_idle": timedelta(seconds=4),
            "at_session_limit": ls.AtSessionLimit.EVICT_OLDEST,
            "overdraft": "10%",
            "reservations": (ls.Reservation(1, ("ann", "group:é"), hard=False),),
            "exclude": ("eve",),
            "recovered": 2,
        }
        changed = manager.change_pool(
            "users",
            actor="root",
            capacity=4,
            linger=1.5,
            anonymous_min_hold=timedelta(seconds=2),
            lazy_linger=0,
            lazy_min_hold=3,
            evict="any",
            evict_idle=timedelta(seconds=4),
            at_session_limit=ls.AtSessionLimit.EVICT_OLDEST,
            overdraft="10%",
            reservations=[ls.Reservation(1, ["ann", "group:é"], hard=False)],
            exclude=["eve"],
            recovered=2,
        )
        assert changed == manager.pool("users")
        assert {name: getattr(changed, name) for name in wanted} == wanted
        assert manager.pool_differences()[0] == ls.PoolDifference("users", "capacity", 2, 4)
        assert manager.change_pool("users", recovered=None, anonymous_min_hold=None).recovered is None
        bad: list[tuple[dict[str, Any], str]] = [
            ({"capacity": "many"}, "capacity"),
            ({"linger": -1}, "^linger of -1 s"),
            ({"linger": math.nan}, "^linger of NaN s"),
            ({"linger": None}, "^linger"),
            ({"linger_ms": 5}, "no option 'linger_ms'"),
            ({"capacity": "5"}, r"^capacity is a whole number from 0 to \d+, not '5'"),
            ({"capacity": 3, "exclude": "bob"}, "^exclude is a list, not 'bob'"),
            ({"include": b"bob"}, "^include is a list, not a bytes"),
            ({"administrators": 5}, "^administrators is a list, not 5"),
            ({"reservations": [{"units": 1, "members": ["ann"]}]}, "is a Reservation, not a dict"),
            ({"reservations": [ls.Reservation(1, "vip")]}, "^members is a list, not 'vip'"),
            ({"reclaim": "yes"}, "^reclaim is True or False, not 'yes'"),
            ({"include": ["\ud800"]}, "UTF-8"),
            ({"color": 1}, "color"),
            ({"unit_rule": "none"}, "unit_rule"),
        ]
        for wrong, named in bad:
            with pytest.raises(ls.Invalid, match=named):
                manager.change_pool("users", **wrong)
        record = manager.audit_records("users")[0]
        assert (record.kind, record.holder, record.before, record.after) == ("change", "root", 0, 0)
        clock.advance(seconds=1)
        assert [entry.what for entry in manager.lifecycle()] == ["pool_changed", "pool_changed"]


def test_marks_and_accounts_are_for_readers() -> None:
    with ls.ManualClock(), ls.Manager(pools={"users": ls.Pool(capacity=5000)}) as manager:
        created = [manager.create() for _ in range(3)]
        manager.end(created[0].id)
        manager.reset_high_water("users", "monthly")
        assert (manager.high_water("users", "monthly").units, manager.high_water("users", "x").units) == (2, 3)
        assert manager.high_water("users", "monthly").at.tzinfo is timezone.utc
        assert (manager.forget_high_water("users", "monthly"), manager.forget_high_water("users", "x")) == (True, False)
        with manager.begin_new() as session:
            session.login("a\u2028b\n\U0001f600")
        for _ in range(1200):
            manager.create()
        lines = list(manager.export_accounts("users"))
        accounts = [json.loads(line) for line in lines]
        assert [one["seq"] for one in accounts] == list(range(1, 1207))
        assert accounts[5]["holder"] == "a\u2028b\n\U0001f600"
        assert list(manager.export_accounts("users", after=1, limit=2)) == lines[1:3]
        assert list(manager.export_accounts("users", after=1206)) == []


def test_arguments_of_looking_are_checked() -> None:
    with ls.ManualClock(), ls.Manager(pools={"users": ls.Pool(capacity=1)}) as manager:
        manager.create()
        calls: list[tuple[Callable[[], object], str]] = [
            (lambda: manager.audit_records("users", after=-1), "after is a whole number from 0 to .*, not -1"),
            (lambda: manager.audit_records("users", limit=-1), "limit is a whole number"),
            (lambda: manager.audit_records("users", limit=0), "limit 0 would tell nothing; it must be at least 1"),
            (lambda: manager.queue("users", limit=0), "limit 0"),
            (lambda: manager.lifecycle(limit=0), "limit 0"),
            (lambda: manager.dead_letters(limit=0), "limit 0"),
            (lambda: manager.export_accounts("users", limit=-1), "limit is a whole number"),
            (lambda: list(manager.export_accounts("users", after=-1)), "after is a whole number"),
            (lambda: manager.lifecycle(after=2**64), "after is a whole number"),
            (lambda: manager.dead_letters(limit=1.5), "limit is a whole number from 0 to .*, not 1.5"),  # type: ignore[arg-type]
            (lambda: manager.queue("users", skip=-1), "skip is a whole number"),
            (lambda: manager.list(cursor=-1), "cursor is a whole number"),
            (lambda: manager.end_where(limit=-1), "limit is a whole number"),
            (lambda: manager.redeliver(-1), "id is a whole number"),
            (lambda: manager.usage("\ud800"), "pool is no UTF-8 text"),
            (lambda: manager.usage(5), "pool is a str"),  # type: ignore[arg-type]
            (lambda: manager.explain_unit("users", "\ud800"), "holder is no UTF-8 text"),
            (lambda: manager.high_water("users", "\ud800"), "reader is no UTF-8 text"),
            (lambda: manager.explain("\ud800"), "id is no UTF-8 text"),
            (lambda: manager.end("\ud800"), "id is no UTF-8 text"),
            (lambda: manager.unregister("\ud800"), "name is no UTF-8 text"),
            (lambda: manager.change_pool("users", actor="\ud800"), "actor is no UTF-8 text"),
            (lambda: manager.list(damaged="no"), "damaged is True or False"),  # type: ignore[arg-type]
        ]
        for call, named in calls:
            with pytest.raises(ls.Invalid, match=named):
                call()
        assert list(manager.export_accounts("users", limit=0)) == []
        assert manager.count() == 1


def test_names_of_session_calls_are_checked(manager: ls.Manager) -> None:
    with manager.begin_new("shop") as session:
        calls: list[tuple[Callable[[], object], str]] = [
            (lambda: session.event_class_add("\ud800"), "name is no UTF-8 text"),
            (lambda: session.event_class_add("x", "\ud800"), "namespace is no UTF-8 text"),
            (lambda: session.event_class_add(5), "name is a str, not <class 'int'>"),  # type: ignore[arg-type]
            (lambda: session.event_class_remove("\ud800"), "name is no UTF-8 text"),
            (lambda: session.event_class_remove(None, namespace="\ud800"), "namespace is no UTF-8 text"),
            (lambda: session.event_class_exists("\ud800"), "name is no UTF-8 text"),
            (lambda: setattr(session, "event_class", "\ud800"), "event_class is no UTF-8 text"),
            (lambda: session.attach("\ud800", object()), "name is no UTF-8 text"),
            (lambda: session.attachment("\ud800"), "name is no UTF-8 text"),
            (lambda: session.detach("\ud800"), "name is no UTF-8 text"),
            (lambda: session.login("\ud800"), "user is no UTF-8 text"),
            (lambda: session.take_feature("\ud800"), "pool is no UTF-8 text"),
            (lambda: session.return_feature("\ud800"), "pool is no UTF-8 text"),
            (lambda: session.end(note="\ud800"), "note is no UTF-8 text"),
            (lambda: session.get("\ud800"), "lone surrogate"),
            (lambda: manager.begin(session.token, application="\ud800"), "application is no UTF-8 text"),
            (lambda: ls.Manager(pools={"\ud800": ls.Pool(capacity=1)}), "UTF-8"),
            (lambda: ls.Manager(applications={"\ud800": ls.Application()}), "UTF-8"),
            (lambda: ls.Manager(store="\ud800"), "UTF-8"),
        ]
        for call, named in calls:
            with pytest.raises(ls.Invalid, match=named):
                call()


def test_who_is_kept_out_need_not_come_again() -> None:
    pools = {"users": ls.Pool(capacity=1, exclude=["eve"], unit_rule="user")}
    with ls.Manager(pools=pools) as manager, manager.begin_new() as session:
        trade = session.login("eve").trade_denied
        with pytest.raises(ls.LicenseDenied) as excluded:
            session.trade()
        with pytest.raises(ls.LicenseDenied) as exhausted:
            manager.create()
        assert (excluded.value.reason, excluded.value.retryable) == (ls.DenyReason.EXCLUDED, False)
        assert (exhausted.value.reason, exhausted.value.retryable) == (ls.DenyReason.POOL_EXHAUSTED, True)
        assert ls.LicenseDenied.retryable and trade is not None
        copy = pickle.loads(pickle.dumps(excluded.value))
        assert (copy.reason, copy.retryable) == (ls.DenyReason.EXCLUDED, False)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises((TypeError, ls.Invalid), match="idle"):
        ls.Manager(idle=3)  # type: ignore[call-arg]


def test_bad_arguments_are_invalid_and_change_nothing(manager: ls.Manager) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"application": "no"}, "no"),
        ({"application": 3}, "application"),
        ({"application": "\ud800"}, "UTF-8"),
        ({"client": ls.Client(address="x" * 300)}, "256"),
        ({"data": {"a": object()}}, "object"),
        ({"data": {1: 2}}, "data"),
        ({"data": [1]}, "data"),
        ({"idle_timeout": -0.1}, "idle_timeout"),
        ({"license_class": "gold"}, "gold"),
    ]
    for options, named in bad:
        with pytest.raises(ls.Invalid, match=named):
            manager.create(**options)
    with pytest.raises(ls.QuotaExceeded):
        manager.create(data={"a": "x" * 70_000})
    assert manager.count() == 0
    assert manager.usage("users").in_use == 0
    created = manager.create("shop")
    for call in (
        lambda: manager.begin(created.token, lock="x"),  # type: ignore[arg-type]
        lambda: manager.begin(created.token, touch=3),  # type: ignore[arg-type]
        lambda: manager.begin(created.token, lock_timeout="1"),  # type: ignore[arg-type]
        lambda: manager.end("no id"),
        lambda: manager.end(created.token),
        lambda: manager.end(created.id, level="x"),  # type: ignore[call-overload]
        lambda: manager.set_idle_timeout(created.id, -1),
        lambda: manager.list(limit=0),
        lambda: list(manager.sessions(nobody=1)),
        lambda: manager.end_where(nobody=1),
        lambda: manager.usage("no"),
        lambda: manager.unregister("no" * 100) and None,
    ):
        with pytest.raises((ls.Invalid, TypeError)):
            call()
            raise ls.Invalid  # `unregister` of an unknown name may answer False
    with manager.begin(created.token) as session:
        for value in ("", "x" * 300, 3, None):
            with pytest.raises(ls.Invalid):
                session.login(value)  # type: ignore[arg-type]
        with pytest.raises(ls.Invalid):
            session.absolute_timeout = None  # type: ignore[assignment]
        with pytest.raises(ls.Invalid):
            session.absolute_timeout = timedelta(days=2)
        with pytest.raises(ls.Invalid):
            session.idle_timeout = -1
        assert session.user is None
        assert session.idle_timeout == timedelta(minutes=15)
    assert manager.check() == []


@pytest.mark.parametrize("token", ["", "x", "x" * 40, "x" * 10_000, "a\0b", "ä" * 40, None, 3, b"x" * 40])
def test_whatever_is_no_token_is_absent(manager: ls.Manager, token: Any) -> None:
    for call in (manager.begin, manager.touch):
        with pytest.raises(ls.Absent) as error:
            call(token)
        assert not token or len(str(token)) < 3 or str(token) not in str(error.value)
    assert manager.id_of(token) is None
    assert manager.count() == 0


def test_timeouts_are_timedeltas_or_seconds_and_none_or_zero_is_never(manager: ls.Manager) -> None:
    for given, seen in [(1.5, timedelta(seconds=1.5)), (timedelta(hours=1), timedelta(hours=1)), (None, None), (0, None)]:
        session = manager.begin_new("shop", idle_timeout=given)
        assert session.idle_timeout == seen
        session.idle_timeout = timedelta(seconds=7)
        assert session.idle_timeout == timedelta(seconds=7)
        session.idle_timeout = given
        assert session.idle_timeout == seen
        assert session.info().immortal == (seen is None)
        session.end()
    assert manager.begin_new("shop").idle_timeout == timedelta(minutes=15)


def test_nothing_shows_a_token(manager: ls.Manager, caplog: pytest.LogCaptureFixture) -> None:
    created = manager.create("shop")
    session = manager.begin(created.token)
    login = session.login("ada")
    logout = session.logout()
    tokens = (created.token, login.token, session.token)
    assert all(len(token) == 40 for token in tokens)
    shown = [repr(it) for it in (created, session, login, logout, manager, session.info(), manager.explain(created.id))]
    shown += [str(it) for it in (created, session, login, logout, manager.lifecycle(), manager.stats())]
    assert not [text for text in shown for token in tokens if token in text]
    assert not [token for token in tokens if token in caplog.text]


def test_ids_and_records_can_be_pickled_and_handles_say_why_not(manager: ls.Manager) -> None:
    watch = Watch()
    manager.register(watch.event_class("watch", "on_end"))
    session = manager.begin_new("shop")
    for it in (session.id, session.info(), manager.stats(), manager.usage("users"), manager.explain(session.id)):
        assert pickle.loads(pickle.dumps(it)) == it
    for handle, why in ((manager, "process"), (session, "as_dict")):
        with pytest.raises(TypeError, match=why):
            pickle.dumps(handle)
    receipt = session.end(wait=5)
    assert pickle.loads(pickle.dumps(receipt)) == receipt
    with pytest.raises(TypeError, match="fields"):
        pickle.dumps(watch.events[0])


def test_instants_are_aware_and_engine_time_is_milliseconds(manager: ls.Manager, clock: ls.ManualClock) -> None:
    clock.advance(seconds=2)
    info = manager.begin_new("shop").info()
    assert info.created_ms == 2000
    assert info.created_at == datetime(2026, 1, 1, 0, 0, 2, tzinfo=timezone.utc)
    assert info.license_pool == "users"
    assert info.license_holder == info.id


def test_after_finish_a_request_is_closed_and_after_close_everything(manager: ls.Manager) -> None:
    created = manager.create("shop")
    session = manager.begin(created.token)
    session.finish()
    for call in (session.finish, session.save, lambda: session["x"], lambda: session.login("a"), session.rotate):
        with pytest.raises(ls.Closed):
            call()
    open_session = manager.begin(created.token)
    report = manager.close()
    assert report.ended == 1
    assert manager.close() == report
    assert manager.is_closed
    for call in (
        lambda: manager.begin(created.token), manager.create, manager.count, manager.stats, manager.check,
        lambda: manager.end(created.id), lambda: manager.usage("users"), manager.list,
    ):  # fmt: skip
        with pytest.raises(ls.Closed):
            call()
    with pytest.raises((ls.Closed, ls.Gone)):
        open_session["x"] = 1


def test_leaving_the_scope_commits_exception_or_not(manager: ls.Manager) -> None:
    created = manager.create("shop")
    with pytest.raises(RuntimeError), manager.begin(created.token) as session:
        session["x"] = 1
        raise RuntimeError
    with manager.begin(created.token) as session:
        assert session["x"] == 1
        session["x"] = 2
        session.discard()
    with manager.begin(created.token) as session:
        assert session["x"] == 1
        session.finish()
    with manager.begin(created.token) as session:
        session.end()
    with pytest.raises(ls.Gone) as gone:
        manager.begin(created.token)
    assert gone.value.reason is ls.EndReason.ENDED


def test_a_request_that_is_forgotten_finishes(manager: ls.Manager) -> None:
    created = manager.create("shop")
    session = manager.begin(created.token)
    session["x"] = 1
    assert manager.stats().in_flight == 1
    del session
    assert manager.stats().in_flight == 0
    with manager.begin(created.token, lock_timeout=0) as session:
        assert session["x"] == 1


def test_a_commit_that_fails_does_not_hide_the_exception_on_its_way(manager: ls.Manager) -> None:
    created = manager.create("shop", data={"x": 1})
    with pytest.raises(RuntimeError) as error, manager.begin(created.token, lock="shared") as one:
        one.get_versioned("x")
        with manager.begin(created.token, lock="shared") as two:
            two["x"] = 2
        one["x"] = 3
        raise RuntimeError
    assert "changed by another request" in error.value.__notes__[0]
    assert manager.stats().in_flight == 0


def test_every_record_has_its_class() -> None:
    for name, record in _records.CLASSES.items():
        assert getattr(ls, name) is record
