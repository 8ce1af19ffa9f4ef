"""What the story is played with: servers, browsers, and statements that are counted when they are not so."""

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

start = time.monotonic()
printing = threading.Lock()
failures = []


def say(who, text, ok=True):
    """Prints a statement with its time; one that is not so is counted."""
    with printing:
        mark = "" if ok else "   <-- NOT AS SAID"
        print(f"{time.monotonic() - start:7.3f}  {who:<7} {text}{mark}", flush=True)
        if not ok:
            failures.append(f"{who}: {text}")


def quote(text):
    """Prints what a server said."""
    with printing:
        for line in text.splitlines():
            print(f"{'':16} | {line}", flush=True)


def until(found, seconds):
    """Waits for `found()` to give something true, at most so long; gives it."""
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.02)


class Server:
    """One server: a process, and its workers, that says on a line where it listens."""

    def __init__(self, name, workers, folder, command, store):
        self.name = name
        self.workers = workers
        self.lines = []
        self.process = subprocess.Popen(
            shlex.split(command),
            cwd=folder,
            env={**os.environ, "SHOP_STORE": store, "PORT": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.url = None
        self.listening = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("listening at "):
                self.url = line.split()[-1]
                self.listening.set()
        self.listening.set()

    def wait(self):
        if not self.listening.wait(60) or self.url is None:
            sys.exit(f"demo: the server in {self.name} did not start:\n" + "\n".join(self.lines))
        address = urlsplit(self.url)
        self.host, self.port = address.hostname, address.port

    def ask_to_stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stopped(self):
        """Whether it stopped within 15 s, with exit code 0, and its workers with it; what is left is killed."""
        until(lambda: self.process.poll() is not None and not self.alive(), 15)
        if self.alive():
            self.lines.append("(it did not stop)")
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait() == 0

    def alive(self):
        """Whether a process of it is there, its first one or a worker."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


class Browser:
    """A client with a cookie jar. As in any browser the cookie is for all ports of the host: for all three servers."""

    def __init__(self, user):
        self.user = user
        self.jar = SimpleCookie()
        self.id = None

    def send(self, server, method, path, **query):
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        target = path + ("?" + urlencode(query) if query else "")
        headers = {"User-Agent": f"demo ({self.user})"}
        if self.jar:
            headers["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in self.jar.items())
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            self.jar.load(cookie)
        return connection, answer

    def ask(self, server, method, path, **query):
        """The status, the headers and the JSON of an answer."""
        connection, answer = self.send(server, method, path, **query)
        body = answer.read()
        connection.close()
        try:
            return answer.status, answer.headers, json.loads(body)
        except ValueError:
            return answer.status, answer.headers, {"error": body.decode(errors="replace")[:200]}

    def login(self, server, **query):
        status, headers, body = self.ask(server, "POST", "/login", user=self.user, **query)
        self.id = body.get("id")
        return status, headers, body

    def work(self, server, **query):
        """The status, the count (or why there is none) and the process that answered."""
        status, headers, body = self.ask(server, "POST", "/work", **query)
        return status, body.get("count", body.get("reason") or body.get("error")), int(headers.get("X-Process", 0))

    def workers(self, server, seconds=15, without=None):
        """Works until every worker of a server has answered; gives their processes. `without` is not to be there."""
        seen = set()

        def all_seen():
            try:
                status, _, process = self.work(server)
            except (OSError, http.client.HTTPException):
                return False  # it was accepted by a worker that is gone
            if status == 200 and process != without:
                seen.add(process)
            return len(seen) == server.workers

        until(all_seen, seconds)
        return sorted(seen)
