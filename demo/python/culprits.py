"""The event classes of the story: one that behaves, and three that ruin other systems."""

import threading

import libsession as ls


class Mailer:
    """Behaves."""

    def on_end(self, event: ls.Event) -> None:
        pass


class Throws:
    """Fails at every end."""

    def on_end(self, event: ls.Event) -> None:
        raise RuntimeError("the mail server is not there")


class Hangs:
    """Never returns."""

    def on_end(self, event: ls.Event) -> None:
        threading.Event().wait()


class Keeps:
    """Sets `end_session = 0` for ever."""

    def on_end(self, event: ls.Event) -> None:
        event.end_session = False


def register(manager: ls.Manager) -> None:
    manager.register("mailer", Mailer())
    manager.register("throws", Throws())
    manager.register("hangs", Hangs())
    manager.register("keeps", Keeps(), compat_veto=True)
