"""The end of the process and its forks: managers are closed before the interpreter goes, threads are joined."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

from . import _native

if TYPE_CHECKING:
    from ._manager import Manager

_managers: WeakSet[Manager] = WeakSet()


def remember(manager: Manager) -> None:
    """To be closed at exit. Also the moment to look how much the log wants to hear."""
    _managers.add(manager)
    _native._set_log_level(logging.getLogger("libsession").getEffectiveLevel())


def _at_exit() -> None:
    for manager in list(_managers):
        manager.close(grace=1.0)
    _interrupt_callbacks(bound=0.5)
    _native._stop()


def _interrupt_callbacks(bound: float) -> None:
    """Gets callbacks that still run out of their Python code: an interpreter that goes kills the threads it finds there.

    One that blocks elsewhere for good does no harm and is left alone when the bound is over.
    """
    end, pause = time.monotonic() + bound, threading.Event()
    while (threads := _native._callback_threads()) and time.monotonic() < end:
        from ctypes import c_ulong, py_object, pythonapi

        for thread in threads:
            pythonapi.PyThreadState_SetAsyncExc(c_ulong(thread), py_object(SystemExit))
        pause.wait(0.02)


def _in_child() -> None:
    # The parent's managers stay remembered: one on a store that processes share opens again at its first use here, and is
    # then closed at the exit of this process; closing one that was not used, or is on the memory table, does nothing here.
    _native._forked()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
