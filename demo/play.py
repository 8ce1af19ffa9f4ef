#!/usr/bin/env python3
"""Plays the story of demo/README.md against the three servers and checks every statement it prints.

    play.py [--oneshot]

Without --oneshot the servers stay up until Ctrl-C. Exit 1 if a statement was not as printed.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stage import Browser, Server, failures, quote, say, until

HERE = Path(__file__).parent
SERVERS = [  # name, workers, folder, command
    ("C", 1, HERE / "c", "../../target/demo/server"),
    ("Python", 2, HERE / "python", "../../.venv/bin/gunicorn -c gunicorn.conf.py"),
    ("Node", 2, HERE / "node", "node server.js"),
]
LATE = 250  # the bound of SPEC.md: from the deadline to the free unit, in milliseconds
FREED = 1000  # the same: from the death of a process to the lock it held
CAPACITY = 6
ONE_UNIT_MORE = """
import libsession, settings
Pool = libsession.Pool
libsession.Pool = lambda capacity, **options: Pool(capacity=capacity + 1, **options)
manager = settings.open_manager()
for it in manager.pool_differences():
    print(it.option, it.named, it.in_force)
manager.close()
"""


class Story:
    """The story: users of one shop that has three servers."""

    def __init__(self, servers, store):
        self.servers = servers
        self.c, self.python, self.node = servers
        self.store = store
        self.admin = Browser("the administrator")
        self.browsers = {}

    def get(self, server, path, **query):
        return self.admin.ask(server, "GET", "/admin/" + path, **query)[2]

    def everywhere(self, path, **query):
        return [self.get(server, path, **query) for server in self.servers]

    def in_use(self):
        """The units in use, as all servers say; or None if they don't say the same."""
        said = {usage.get("in_use") for usage in self.everywhere("usage")}
        return said.pop() if len(said) == 1 else None

    def enter(self, server, user, what, **query):
        browser = self.browsers[user] = Browser(user)
        status, _, body = browser.login(server, **query)
        say(server.name, f"{user} logs in: {what}", status == 200 and body.get("user") == user)
        return browser

    def came_back(self, server, user, why, seconds=15):
        """The unit of a user comes back by itself, as another server tells; gives what that said last of the live one."""
        live = {}

        def ended():
            nonlocal live
            explained = self.get(server, "explain", id=self.browsers[user].id)
            if explained.get("ended"):
                return explained["ended"]
            live = explained
            return None

        end = until(ended, seconds)
        if not end:
            say(server.name, f"{user}'s unit did not come back ({why})", False)
            return {}
        late = end["late_ms"]
        ok = end["reason"] == "idle_timeout" and late is not None and 0 <= late <= LATE
        ok = ok and end["license_free_at_ms"] is not None
        say(server.name, f"{user}'s unit came back by itself, {late} ms after the deadline: {end['reason']} ({why})", ok)
        return live

    # --- the acts ---

    def one_login(self):
        ada = self.enter(self.c, "ada", "here, and nowhere else", idle_ms=60000)
        for server in self.servers:
            processes = ada.workers(server)
            which = "process " + " and ".join(map(str, processes))
            say(server.name, f"ada is logged in: {which}", len(processes) == server.workers)
        before = ada.work(self.c)[1]
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(ada.work, self.servers * 4))
        counts = sorted(count for _, count, _ in answers)
        processes = {process for _, _, process in answers}
        ok = counts == list(range(before + 1, before + 13))
        say("all", f"ada sends 12 requests at once, {len(processes)} processes take turns, "
                   f"and they count {counts[0]} to {counts[-1]}", ok)
        say("all", f"{self.in_use()} of {CAPACITY} units is in use", self.in_use() == 1)

    def another_shop(self):
        """A process that is configured differently."""
        found = subprocess.run(
            [sys.executable, "-c", ONE_UNIT_MORE],
            env={**os.environ, "PYTHONPATH": str(HERE / "shop"), "SHOP_STORE": self.store},
            capture_output=True,
            text=True,
            timeout=60,
        )
        ok = found.returncode == 0 and found.stdout.split() == ["capacity", str(CAPACITY + 1), str(CAPACITY)]
        say("(other)", f"a process that names {CAPACITY + 1} units is told which limit holds: {found.stdout.strip()}", ok)

    def everybody_enters(self):
        self.enter(self.python, "bob", "his on_end throws", culprit="throws")
        self.enter(self.node, "cyd", "her on_end never returns", culprit="hangs")
        self.enter(self.c, "dan", "his on_end sets end_session = 0 for ever", culprit="keeps")
        self.enter(self.python, "eve", "her session will not be readable")
        self.enter(self.node, "fay", "she will close her browser in the middle of a download")
        used = self.in_use()
        say("all", f"{used} of {CAPACITY} units are in use", used == CAPACITY)

    def one_too_many(self):
        gus = self.browsers["gus"] = Browser("gus")
        for server in self.servers:
            status, headers, body = gus.login(server)
            retry = headers.get("Retry-After")
            ok = status == 503 and body.get("reason") == "pool_exhausted" and retry is not None and int(retry) >= 1
            say(server.name, f"gus is refused: {status}, Retry-After: {retry}, reason: {body.get('reason')}", ok and not gus.jar)

    def unreadable(self):
        eve = self.browsers["eve"]
        damaged = self.admin.ask(self.c, "POST", "/admin/damage", id=eve.id)[2].get("damaged")
        status, reason, _ = eve.work(self.node)
        say(self.node.name, f"eve's session can't be read any more: {status}, {reason}",
            damaged is True and status == 500 and reason == "corrupt")
        self.came_back(self.python, "eve", "her session can't be read")

    def download(self):
        """A download that is longer than the idle timeout of 3 s, and then a closed browser."""
        fay = self.browsers["fay"]

        def in_flight():
            return (self.get(self.c, "explain", id=fay.id).get("live") or {}).get("in_flight")

        connection, answer = fay.send(self.node, "GET", "/slow", ms=30000)
        began = time.monotonic()
        while time.monotonic() < began + 3.5 and answer.read(1024):
            pass
        say(self.node.name, "fay downloads for 3.5 s, and is still logged in: who downloads is not idle", in_flight() == 1)
        answer.close()
        connection.close()
        closed = time.monotonic()
        gone = until(lambda: in_flight() == 0, 5)
        say(self.node.name, "fay closes her browser in the middle of it: nothing is in flight any more", gone)
        self.came_back(self.c, "fay", "nobody told the server")
        say(self.c.name, f"that was {time.monotonic() - closed:.2f} s after she closed it; her timeout is 3 s")

    def extended(self):
        """A unit that is held: dan's; somebody can say why."""
        dan = self.browsers["dan"]
        explained = until(lambda: (e := self.get(self.python, "explain", id=dan.id)).get("extensions") and e, 10)
        say(self.python.name, "dan is silent and holds a unit; explain says why:", bool(explained) and bool(explained["live"]))
        if explained:
            quote(explained["text"])
        extensions = self.came_back(self.node, "dan", "his veto had a budget").get("extensions", [])
        by = extensions[0]["class"] if extensions else "?"
        say(self.node.name, f"dan was extended {len(extensions)} times by {by}, and no more",
            len(extensions) == 3 and all(e["class"] == "keeps" for e in extensions))

    def thrown(self):
        self.came_back(self.node, "bob", "his callback throws")

    def hung(self):
        self.came_back(self.c, "cyd", "her callback hangs")

    def one_logout(self):
        ada = self.browsers["ada"]
        status, _, body = ada.ask(self.node, "POST", "/leave")
        say(self.node.name, f"ada leaves: {body.get('reason')} by {body.get('actor')}",
            status == 200 and body.get("reason") == "ended")
        for server in self.servers:
            status, reason, _ = ada.work(server)
            say(server.name, f"ada's next request: {status}, gone: {reason}", status == 401 and reason == "ended")

    def all_free(self):
        free = until(lambda: self.in_use() == 0, 5)
        say("all", f"0 of {CAPACITY} units are in use", free)
        status, _, body = self.browsers["gus"].login(self.python, idle_ms=60000)
        say(self.python.name, f"gus tries again and is in: {status}", status == 200 and body.get("user") == "gus")

    def the_administrator(self):
        hal = self.enter(self.node, "hal", "with all three callbacks, and 60 s of idle timeout",
                         culprit="throws,hangs,keeps", idle_ms=60000)
        self.admin.ask(self.python, "POST", "/admin/damage", id=hal.id)
        before = self.in_use()
        began = time.monotonic()
        status, _, receipt = self.admin.ask(self.c, "POST", "/admin/end", id=hal.id)
        took = round((time.monotonic() - began) * 1000)
        free = (receipt.get("license_free_at_ms") or 0) - (receipt.get("at_ms") or 0)
        ok = status == 200 and receipt.get("outcome") == "ended" and receipt.get("reason") == "revoked"
        ok = ok and receipt.get("actor") == "the administrator" and receipt.get("license_free_at_ms") is not None and free == 0
        say(self.c.name, f"the administrator ends hal's unreadable session; the receipt: {receipt.get('reason')} by "
                         f"{receipt.get('actor')}, unit free {free} ms after the end", ok)
        outcomes = {c["class"]: c["outcome"] for c in receipt.get("callbacks", []) if c["kind"] == "on_end"}
        told = ", ".join(f"{name}: {result}" for name, result in outcomes.items())
        say(self.c.name, f"the receipt after {took} ms of waiting for the callbacks: {told}",
            set(outcomes) >= {"mailer", "throws", "hangs"})
        after = self.in_use()
        say("all", f"{before} units were in use, now {after}", before == 2 and after == 1)
        for server in self.servers:
            status, reason, _ = hal.work(server)
            say(server.name, f"hal's next request: {status}, gone: {reason}", status == 401 and reason == "revoked")

    def dead_letters(self):
        """Whichever process ran the callback: all of them know what it gave up."""
        bob, cyd = self.browsers["bob"], self.browsers["cyd"]
        wanted = {(bob.id, "throws"), (cyd.id, "hangs")}
        letters = {}

        def all_found():
            for server in self.servers:
                found = {(letter["session_id"], letter["class"]): letter for letter in self.get(server, "dead_letters")}
                letters.update(found)
                if not wanted <= set(found):
                    return False
            return True

        ok = until(all_found, 15)
        for user, name in (bob, "throws"), (cyd, "hangs"):
            letter = letters.get((user.id, name))
            text = f"{letter['error']!r} (tried {letter['attempts']} times)" if letter else "not everywhere"
            say("all", f"nothing is lost, a dead letter of {user.user}'s {name}: {text}", ok)

    def line_up(self):
        """Two wait for a unit, at two servers; who came first is served first, wherever a unit comes back."""
        before = max((record["seq"] for record in self.get(self.c, "accounts")), default=0)
        for server, user in (self.c, "lea"), (self.python, "max"), (self.node, "ned"), (self.c, "ola"), (self.node, "pia"):
            self.enter(server, user, "for 60 s", idle_ms=60000)
        rob, sue = Browser("rob"), Browser("sue")
        self.browsers.update(rob=rob, sue=sue)
        with ThreadPoolExecutor(2) as pool:
            waits = []
            for server, browser in (self.python, rob), (self.c, sue):
                waits.append(pool.submit(browser.login, server, idle_ms=60000, wait_ms=20000))
                place = len(waits)
                seen = until(lambda: all(len(q) == place for q in self.everywhere("queue")), 10)
                say(server.name, f"{self.in_use()} of {CAPACITY} units are in use; {browser.user} waits, and all servers say: "
                                 f"position {place}", seen and not waits[-1].done())
            explained = self.get(self.node, "holder", user="lea")
            say(self.node.name, "the administrator asks who holds lea's unit:", explained.get("holder", {}).get("units") == 1)
            quote(explained.get("text", ""))
            asked = subprocess.run(
                [sys.executable, "-m", "libsession", self.store, "licenses", "users"],
                capture_output=True, text=True, timeout=60,
            )
            users = "gus", "lea", "max", "ned", "ola", "pia"
            told = asked.returncode == 0 and all(user in asked.stdout for user in users)
            say("(shell)", "the same from outside of all servers: python -m libsession STORE licenses users", told)
            quote(asked.stdout + asked.stderr)
            began = time.monotonic()
            self.admin.ask(self.node, "POST", "/admin/end", id=self.browsers["lea"].id)
            self.served(self.python, rob, waits[0], began, "the administrator ended lea's session at another server")
            left = self.everywhere("queue")
            say("all", "sue waits on, and all servers say: position 1", [[w["position"] for w in q] for q in left] == [[1]] * 3)
            began = time.monotonic()
            self.browsers["max"].ask(self.node, "POST", "/leave")
            self.served(self.c, sue, waits[1], began, "max left at another one")
        told = self.everywhere("accounts", after=before)
        steps = [(r["seq"], r["kind"], r["holder"], r["before"], r["after"], r["why"]) for r in told[0]]
        same = all([(r["seq"], r["kind"], r["holder"], r["before"], r["after"], r["why"]) for r in t] == steps for t in told)
        gapless = all(one[4] == next[3] for one, next in zip(steps, steps[1:]))
        waited = [step for step in steps if step[5] == "waited"]
        say("all", f"{len(steps)} accounts since then, the same at all servers: each begins with the units that the one before "
                   f"left, {len(waited)} had waited", same and gapless and len(waited) == 2)
        for user in "ned", "ola", "pia", "rob", "sue":
            self.browsers[user].ask(self.python, "POST", "/leave")
        say("all", f"five leave; {self.in_use()} of {CAPACITY} units is in use", self.in_use() == 1)

    def served(self, server, browser, wait, began, why):
        status, _, body = wait.result(25)
        took = round((time.monotonic() - began) * 1000)
        ok = status == 200 and body.get("user") == browser.user and took <= FREED
        say(server.name, f"{browser.user} has the unit, and is logged in, {took} ms after {why}: {status}", ok)

    def killed(self, server, user, other):
        """A worker is killed in the middle of a request, which holds the lock of its session."""
        browser = self.enter(server, user, "a worker will die under a request", idle_ms=60000)
        before = browser.work(other)[1]
        with ThreadPoolExecutor(1) as pool:
            pool.submit(browser.work, server, ms=20000)
            request = until(lambda: next(iter(self.get(other, "explain", id=browser.id).get("requests", [])), None), 10) or {}
            process = request.get("process")
            held = request.get("lock") == "exclusive" and parent(process) == server.process.pid
            say(other.name, f"{user}'s request is in flight in process {process}: {request.get('lock')} lock", held)
            if not held:
                return
            os.kill(process, signal.SIGKILL)
            died = time.monotonic()
            status, count, _ = browser.work(other)
            took = round((time.monotonic() - died) * 1000)
        ok = status == 200 and count == before + 1 and took <= FREED
        say(other.name, f"kill -9 {process}; {took} ms later its lock is free, the session lives, and counts {count}", ok)
        live = self.get(other, "explain", id=browser.id).get("live") or {}
        say(other.name, f"{live.get('in_flight')} requests of it are in flight", live.get("in_flight") == 0)
        self.audited()
        workers = browser.workers(server, without=process)
        ok = len(workers) == server.workers and process not in workers
        say(server.name, f"the worker is replaced, {user} is logged in: process {' and '.join(map(str, workers))}", ok)

    def audited(self):
        audits, checks = self.everywhere("audit"), self.everywhere("check")
        used = self.in_use()
        ok = all(a.get("counted") == a.get("recounted") == used and a.get("differences") == [] for a in audits)
        ok = ok and used is not None and checks == [[], [], []]
        say("all", f"audit: {audits[0].get('counted')} counted, {audits[0].get('recounted')} recounted, differences: "
                   f"{audits[0].get('differences')}; check: {checks[0]}", ok)

    def killed_in_python(self):
        self.killed(self.python, "ivy", self.c)

    def killed_in_node(self):
        self.killed(self.node, "joe", self.python)

    def accounts(self):
        usages = self.everywhere("usage")
        most, refused = usages[0].get("high_water"), usages[0].get("denials")
        same = all((usage.get("high_water"), usage.get("denials")) == (CAPACITY, 3) for usage in usages)
        say("all", f"usage: at most {most} of {CAPACITY} units were in use, {refused} logins were refused", same)
        users = sorted(holder["holder"] for holder in usages[0].get("holders", []))
        say("all", f"units are in use by {', '.join(users)}", users == ["gus", "ivy", "joe"])

    def play(self, act):
        try:
            getattr(self, act)()
        except Exception as error:  # a statement that can't be made is not as said
            say("all", f"{act}: {type(error).__name__}: {error}", False)


def parent(pid):
    """The process that started a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


ACTS = [  # a title, and acts one after the other; those in a tuple are played at once
    ("One user, one login, three servers with five processes.", ["one_login"]),
    ("Whoever names another limit is told which one holds.", ["another_shop"]),
    ("Five more log in; then there is no unit left.", ["everybody_enters"]),
    ("A seventh is refused wherever he tries, and is told why.", ["one_too_many"]),
    ("Nobody logs out. Every unit comes back by itself.", [("unreadable", "download", "extended", "thrown", "hung")]),
    ("One logout, and all units are free again.", ["one_logout", "all_free"]),
    ("An administrator ends a session that can't be opened.", ["the_administrator", "dead_letters"]),
    ("The shop is full, and two wait at different servers.", ["line_up"]),
    ("A worker is killed in the middle of a request; then another.", ["killed_in_python", "killed_in_node"]),
    ("The accounts.", ["accounts"]),
]


def tell(story):
    for title, acts in ACTS:
        print(f"\n{title}", flush=True)
        for act in acts:
            at_once = act if isinstance(act, tuple) else (act,)
            with ThreadPoolExecutor(len(at_once)) as pool:
                list(pool.map(story.play, at_once))
    print(f"\n{len(failures)} of the statements were not so." if failures else "\nEverything was as said.", flush=True)
    for failure in failures:
        print(f"  {failure}", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--oneshot", action="store_true", default=os.environ.get("DEMO_ONESHOT", "0") not in ("", "0"))
    options = arguments.parse_args()
    for asked in signal.SIGTERM, signal.SIGHUP:
        signal.signal(asked, lambda number, _: sys.exit(128 + number))
    servers = []
    with tempfile.TemporaryDirectory(prefix="libsession-demo-") as directory:
        try:
            store = f"file:{directory}/store"
            for name, workers, folder, command in SERVERS:
                servers.append(Server(name, workers, folder, command, store))
            for server in servers:
                server.wait()
                say(server.name, f"serves at {server.url}")
            tell(Story(servers, store))
            if not options.oneshot:
                print("\nThe servers are yours: log in at one, and look at the others. Ctrl-C stops them.", flush=True)
                for server in servers:
                    print(f"  {server.name:<7} {server.url}", flush=True)
                print(f"Who asks the store itself: {sys.executable} -m libsession {directory}/store licenses", flush=True)
                signal.pause()
        except KeyboardInterrupt:
            print(flush=True)
        finally:
            for server in servers:
                server.ask_to_stop()
            for server in servers:
                if not server.stopped():
                    say(server.name, "did not stop as asked", False)
            if failures:
                for server in servers:
                    server.reader.join(2)
                    print(f"\n{server.name} said:", *server.lines[-20:], sep="\n  ", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
