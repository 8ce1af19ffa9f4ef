"""The pytest plugin: a manager on a manual clock in every test suite."""

from __future__ import annotations

import pytest


def test_the_fixtures_are_there_and_time_is_virtual(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import libsession as ls
        import pytest

        @pytest.fixture
        def session_manager_options():
            return {"applications": {"shop": ls.Application(idle_timeout=8 * 3600)}, "pools": {"p": ls.Pool(capacity=1)}}

        made = []

        def test_eight_hours(session_manager, session_clock):
            assert session_manager.clock is session_clock
            session_manager.create("shop")
            session_clock.advance(hours=8)
            assert session_manager.usage("p").in_use == 0
            made.append(session_manager)

        def test_each_has_its_own_and_the_last_is_closed(session_manager):
            assert made[0].is_closed
            assert session_manager.clock.now_ms == 0

        def test_managers_made_by_the_code_under_test_use_the_clock(session_clock):
            manager = ls.Manager()
            created = manager.create()
            session_clock.advance(minutes=15)
            with pytest.raises(ls.Gone):
                manager.begin(created.token)
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=3)


def test_a_patched_clock_fails_loudly(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys
        import types

        sys.modules["freezegun.api"] = types.SimpleNamespace(freeze_factories=[1])

        def test_frozen(session_clock):
            pass
        """
    )
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*session_clock.advance*"])
