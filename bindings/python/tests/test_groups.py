"""Groups that the host tells: by a callable, by a coroutine, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import libsession as ls

POOLS = {"users": ls.Pool(capacity=3, exclude=["group:guests"], reservations=[ls.Reservation(1, ["group:cad"])])}


@pytest.fixture
def manager() -> Iterator[ls.Manager]:
    """A manager whose one pool names groups."""
    with ls.Manager(applications={"shop": ls.Application(pool="users")}, pools=POOLS) as manager:
        yield manager
        assert manager.check() == []


def test_a_callable_is_asked_where_no_groups_are_given(manager: ls.Manager) -> None:
    asked: list[str] = []

    def tell(user: str) -> tuple[str, ...]:
        asked.append(user)
        return ("guests",) if user == "eve" else ()

    manager.set_group_resolver(tell)
    with manager.begin_new() as session:
        denied = session.login("eve").trade_denied
        assert isinstance(denied, ls.LicenseDenied) and denied.reason is ls.DenyReason.EXCLUDED
        with pytest.raises(ls.LicenseDenied):
            session.trade()
        with pytest.raises(ls.LicenseDenied):
            session.take_feature("users")
        assert asked == ["eve"] * 3
        session.trade(groups=[])
        assert session.login("eve", groups=()).trade_denied is None
        assert session.login("ann").trade_denied is None
        session.logout()
        session.end()
    assert asked == ["eve"] * 3 + ["ann"]


def test_what_a_callable_does_wrong_is_denied_with_its_text(manager: ls.Manager) -> None:
    def boom(user: str) -> list[str]:
        raise ValueError(f"no directory for {user}")

    wrong: list[tuple[Any, str]] = [
        (boom, "ValueError: no directory for"),
        (lambda user: None, "None"),
        (lambda user: user, "not one text"),
        (lambda user: [1], "a group"),
        (lambda user: 7, "iterable"),
        (lambda user: ["x"] * 257, "257 groups"),
        (lambda user: [""], "0 bytes"),
    ]
    with manager.begin_new() as session:
        session.login("bob", groups=[])
        for tell, told in wrong:
            manager.set_group_resolver(tell)
            for call in (lambda: session.login("ann"), session.trade, lambda: session.take_feature("users")):
                with pytest.raises(ls.Denied, match=told):
                    call()
            assert (session.user, session.license_holder) == ("bob", "bob")
        manager.set_group_resolver(None)
        assert session.login("ann").trade_denied is None
        session.end()
    with pytest.raises(ls.Invalid, match="callable"):
        manager.set_group_resolver("leads")  # type: ignore[arg-type]
    with pytest.raises(ls.Invalid, match="callable"):
        ls.Manager(groups=7)  # type: ignore[arg-type]


def test_a_coroutine_is_awaited_by_asynchronous_calls_alone() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def tell(user: str) -> list[str]:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        return ["guests"] if user == "eve" else []

    async def main() -> None:
        applications = {"shop": ls.Application(pool="users")}
        with ls.Manager(applications=applications, pools=POOLS, groups=tell) as manager:
            async with manager.abegin_new() as session:
                with pytest.raises(ls.AsyncRequired):
                    session.login("ann")
                denied = (await session.alogin("eve")).trade_denied
                assert isinstance(denied, ls.LicenseDenied)
                assert (await session.alogin("ann")).trade_denied is None
                await session.atrade()
                await session.atake_feature("users")
                assert loops == [asyncio.get_running_loop()] * 4
                # Also where the call says that it may wait for units.
                await session.atake_feature("users", wait=1)
                session.end()
            assert manager.check() == []

    asyncio.run(main())


def test_a_resolver_may_use_the_manager_but_not_set_another(manager: ls.Manager) -> None:
    errors: list[BaseException] = []

    def tell(user: str) -> list[str]:
        assert manager.count() == 1
        try:
            manager.set_group_resolver(None)
        except ls.Reentrant as error:
            errors.append(error)
        return []

    manager.set_group_resolver(tell)
    with manager.begin_new() as session:
        session.login("ann")
        session.end()
    assert len(errors) == 1
