#!/usr/bin/env python3
"""Plays the story of demo/README.md against the three servers, side by side, and checks every statement it prints.

    play.py [--oneshot] [--only C] [--only Python] [--only Node]

Without --oneshot the servers stay up until Ctrl-C. Exit 1 if a statement was not as printed.
"""

import argparse
import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode, urlsplit

HERE = Path(__file__).parent
SERVERS = {
    "C": (HERE / "c", "../../target/demo/server"),
    "Python": (HERE / "python", "../../.venv/bin/gunicorn -c gunicorn.conf.py app:app"),
    "Node": (HERE / "node", "node server.js"),
}
LATE = 250  # the bound of SPEC.md: from the deadline to the free unit, in milliseconds
CAPACITY = 6

start = time.monotonic()
printing = threading.Lock()
failures = []


def say(server, text, ok=True):
    """Prints a statement with its time; one that is not so is counted."""
    with printing:
        mark = "" if ok else "   <-- NOT AS SAID"
        print(f"{time.monotonic() - start:7.3f}  {server:<7} {text}{mark}", flush=True)
        if not ok:
            failures.append(f"{server}: {text}")


def until(found, seconds):
    """Waits for `found()` to give something true, at most so long; gives it."""
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.02)


class Server:
    """One server: a process that says on a line where it listens."""

    def __init__(self, name, folder, command):
        self.name = name
        self.lines = []
        self.process = subprocess.Popen(
            shlex.split(command), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.url = None
        self.listening = threading.Event()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("listening at "):
                self.url = line.split()[-1]
                self.listening.set()
        self.listening.set()

    def wait(self):
        if not self.listening.wait(30) or self.url is None:
            sys.exit(f"demo: the server in {self.name} did not start:\n" + "\n".join(self.lines))
        address = urlsplit(self.url)
        self.host, self.port = address.hostname, address.port

    def stop(self):
        """Asks it to stop; True if it did within 8 s and with exit code 0."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                return False
        return self.process.returncode == 0


class Browser:
    """A client with a cookie jar."""

    def __init__(self, server, user):
        self.server = server
        self.user = user
        self.jar = SimpleCookie()
        self.id = None

    def send(self, method, path, **query):
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
        target = path + ("?" + urlencode(query) if query else "")
        headers = {"User-Agent": f"demo ({self.user})"}
        if self.jar:
            headers["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in self.jar.items())
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            self.jar.load(cookie)
        return connection, answer

    def ask(self, method, path, **query):
        """The status, the headers and the JSON of an answer."""
        connection, answer = self.send(method, path, **query)
        body = answer.read()
        connection.close()
        try:
            return answer.status, answer.headers, json.loads(body)
        except ValueError:
            return answer.status, answer.headers, {"error": body.decode(errors="replace")[:200]}

    def login(self, **query):
        status, headers, body = self.ask("POST", "/login", user=self.user, **query)
        self.id = body.get("id")
        return status, headers, body


class Story:
    """The story on one server."""

    def __init__(self, server, prints):
        self.server = server
        self.prints = prints  # what is long, of one server
        self.admin = Browser(server, "the administrator")
        self.browsers = {}

    def say(self, text, ok=True):
        say(self.server.name, text, ok)

    def get(self, path, **query):
        return self.admin.ask("GET", "/admin/" + path, **query)[2]

    def in_use(self):
        return self.get("usage").get("in_use")

    def in_flight(self, browser):
        return self.get("explain", id=browser.id)["live"]["in_flight"]

    def enter(self, user, what, **query):
        browser = self.browsers[user] = Browser(self.server, user)
        status, _, body = browser.login(**query)
        self.say(f"{user} logs in: {what}", status == 200 and body.get("user") == user)

    def ended(self, browser, seconds):
        """The last explanation of a session while it lived, and the first once it ended."""
        live = {}

        def found():
            nonlocal live
            explained = self.get("explain", id=browser.id)
            if explained.get("ended"):
                return explained
            live = explained
            return None

        explained = until(found, seconds)
        return live, explained

    def came_back(self, user, why, seconds=8):
        """The unit of a user comes back by itself."""
        live, explained = self.ended(self.browsers[user], seconds)
        if not explained:
            self.say(f"{user}'s unit did not come back ({why})", False)
            return {}
        end = explained["ended"]
        late = end["late_ms"]
        ok = end["reason"] == "idle_timeout" and late is not None and 0 <= late <= LATE
        ok = ok and end["license_free_at_ms"] is not None
        self.say(f"{user}'s unit came back by itself, {late} ms after the deadline: {end['reason']} ({why})", ok)
        return live

    # --- the acts ---

    def everybody_enters(self):
        self.enter("ada", "she behaves")
        self.enter("bob", "his on_end throws", culprit="throws")
        self.enter("cyd", "her on_end never returns", culprit="hangs")
        self.enter("dan", "his on_end sets end_session = 0 for ever", culprit="keeps")
        self.enter("eve", "her session will not be readable")
        self.enter("fay", "she will just leave")
        usage = self.get("usage")
        self.say(f"{usage.get('in_use')} of {usage.get('capacity')} units are in use", usage.get("in_use") == CAPACITY)

    def one_too_many(self):
        gus = self.browsers["gus"] = Browser(self.server, "gus")
        status, headers, body = gus.login()
        retry = headers.get("Retry-After")
        ok = status == 503 and body.get("reason") == "pool_exhausted" and retry is not None and int(retry) >= 1
        self.say(f"gus is refused: {status}, Retry-After: {retry}, reason: {body.get('reason')}", ok and not gus.jar)

    def requests(self):
        ada, eve, fay = (self.browsers[user] for user in ("ada", "eve", "fay"))
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ada.ask("POST", "/work"), range(8)))
        counts = sorted(body.get("count", 0) for _, _, body in answers)
        self.say(f"ada sends 8 requests at once, they count {counts[0]} to {counts[-1]}", counts == list(range(1, 9)))

        damaged = self.admin.ask("POST", "/admin/damage", id=eve.id)[2].get("damaged")
        status, _, body = eve.ask("POST", "/work")
        ok = damaged is True and status == 500 and body.get("error") == "corrupt"
        self.say(f"eve's session can't be read any more: {status}, {body.get('error')}", ok)

        connection, answer = fay.send("GET", "/slow", ms=30000)
        answer.read(1024)
        before = self.in_flight(fay)
        answer.close()
        connection.close()
        gone = until(lambda: self.in_flight(fay) == 0, 3)
        self.say("fay closes her browser in the middle of a download: it is not in flight any more", before == 1 and gone)

    def download(self):
        """A download of 3.5 s, longer than the idle timeout of 2 s."""
        ada = self.browsers["ada"]
        connection, answer = ada.send("GET", "/slow", ms=3500)
        size = len(answer.read())
        connection.close()
        explained = self.get("explain", id=ada.id)
        ok = size == 35 * 1024 and bool(explained.get("live"))
        self.say("ada's download took 3.5 s, and she is still logged in: who downloads is not idle", ok)
        status, _, body = ada.ask("POST", "/leave")
        self.say(f"ada leaves: {body.get('reason')} by {body.get('actor')}", status == 200 and body.get("reason") == "ended")

    def somebody_can_say_why(self):
        """Explains a unit that is held: dan's, extended."""
        dan = self.browsers["dan"]
        explained = until(lambda: (e := self.get("explain", id=dan.id)).get("extensions") and e, 5)
        self.say("dan is silent and holds a unit; explain says why:", bool(explained) and bool(explained["live"]))
        if explained and self.prints:
            with printing:
                for line in explained["text"].splitlines():
                    print(f"{'':16} | {line}", flush=True)

    def units_come_back(self):
        self.came_back("bob", "his callback throws")
        self.came_back("cyd", "her callback hangs")
        self.came_back("eve", "her session can't be read")
        self.came_back("fay", "she just left")
        extensions = self.came_back("dan", "his veto had a budget", 12).get("extensions", [])
        self.say(f"dan was extended {len(extensions)} times by {extensions[0]['class'] if extensions else '?'}, and no more",
                 len(extensions) == 3 and all(e["class"] == "keeps" for e in extensions))

    def all_free(self):
        free = until(lambda: self.in_use() == 0, 2)
        self.say(f"0 of {CAPACITY} units are in use", free)
        status, _, body = self.browsers["gus"].login()
        self.say(f"gus tries again and is in: {status}", status == 200 and body.get("user") == "gus")

    def the_administrator(self):
        self.enter("hal", "with all three callbacks, and 100 s of idle timeout", culprit="throws,hangs,keeps", idle_ms=100000)
        hal = self.browsers["hal"]
        self.admin.ask("POST", "/admin/damage", id=hal.id)
        before = self.in_use()
        began = time.monotonic()
        status, _, receipt = self.admin.ask("POST", "/admin/end", id=hal.id)
        took = round((time.monotonic() - began) * 1000)
        free = (receipt.get("license_free_at_ms") or 0) - (receipt.get("at_ms") or 0)
        ok = status == 200 and receipt.get("outcome") == "ended" and receipt.get("reason") == "revoked"
        ok = ok and receipt.get("actor") == "the administrator" and receipt.get("license_free_at_ms") is not None and free == 0
        self.say(f"the administrator ends hal's unreadable session; the receipt: {receipt.get('reason')} by "
                 f"{receipt.get('actor')}, unit free {free} ms after the end", ok)
        outcomes = {c["class"]: c["outcome"] for c in receipt.get("callbacks", []) if c["kind"] == "on_end"}
        told = ", ".join(f"{name}: {result}" for name, result in outcomes.items())
        self.say(f"the receipt after {took} ms of waiting for the callbacks: {told}", set(outcomes) >= {"mailer", "throws", "hangs"})
        self.say(f"{before} units were in use, now {self.in_use()}", before == 2 and self.in_use() == 1)
        status, _, body = hal.ask("POST", "/work")
        self.say(f"hal's next request: {status}, {body.get('error')}: {body.get('reason')}",
                 status == 401 and body.get("reason") == "revoked")

    def accounts(self):
        def letters():
            found = self.get("dead_letters")
            return found if {(d["session_id"], d["class"]) for d in found} >= wanted else None

        bob, cyd = self.browsers["bob"], self.browsers["cyd"]
        wanted = {(bob.id, "throws"), (cyd.id, "hangs")}
        found = until(letters, 10) or []
        errors = {d["class"]: f"{d['error']!r} (tried {d['attempts']} times)" for d in found if d["session_id"] in (bob.id, cyd.id)}
        self.say(f"nothing is lost, dead letters: throws {errors.get('throws')}, hangs {errors.get('hangs')}", bool(found))
        usage, audit, check = self.get("usage"), self.get("audit"), self.get("check")
        ok = audit.get("counted") == audit.get("recounted") == usage.get("in_use")
        ok = ok and audit.get("differences") == [] and check == []
        self.say(f"audit: {audit.get('recounted')} recounted, {audit.get('counted')} counted, differences: "
                 f"{audit.get('differences')}; check: {check}", ok)
        ok = usage.get("high_water") == CAPACITY and usage.get("denials") == 1
        self.say(f"usage: at most {usage.get('high_water')} of {usage.get('capacity')} units were in use, "
                 f"{usage.get('denials')} visitor was refused", ok)

    def play(self, act):
        try:
            getattr(self, act)()
        except Exception as error:  # a statement that can't be made is not as said
            self.say(f"{act}: {type(error).__name__}: {error}", False)


ACTS = [
    ("Six users log in; there are six units.", ["everybody_enters"]),
    ("A seventh is refused, and is told why.", ["one_too_many"]),
    ("They work, one session breaks, one browser is closed.", ["requests"]),
    ("Nobody logs out. Every unit comes back by itself.", ["units_come_back", "download", "somebody_can_say_why"]),
    ("All units are free again.", ["all_free"]),
    ("An administrator ends a session that can't be opened.", ["the_administrator"]),
    ("The accounts.", ["accounts"]),
]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--oneshot", action="store_true", default=os.environ.get("DEMO_ONESHOT", "0") not in ("", "0"))
    arguments.add_argument("--only", action="append", choices=list(SERVERS))
    options = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    servers = []
    try:
        servers += [Server(name, *SERVERS[name]) for name in options.only or SERVERS]
        for server in servers:
            server.wait()
            say(server.name, f"serves at {server.url}")
        stories = [Story(server, server is servers[0]) for server in servers]
        for title, acts in ACTS:
            print(f"\n{title}", flush=True)
            with ThreadPoolExecutor(len(stories) * len(acts)) as pool:
                list(pool.map(lambda both: both[0].play(both[1]), [(story, act) for story in stories for act in acts]))
        print(f"\n{len(failures)} of the statements were not so." if failures else "\nEverything was as said.", flush=True)
        for failure in failures:
            print(f"  {failure}", flush=True)
        if not options.oneshot:
            print("\nThe servers are yours; Ctrl-C stops them:", flush=True)
            for server in servers:
                print(f"  {server.name:<7} {server.url}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print(flush=True)
    finally:
        for server in servers:
            if not server.stop():
                say(server.name, "did not stop as asked", False)
                print("\n".join(server.lines[-20:]), flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
