"""The demo's shop in Python: Flask under gunicorn, two workers. demo/README.md says what each address does."""

from __future__ import annotations

import math
import os
import time
from datetime import timedelta
from functools import wraps
from pathlib import Path

import culprits
import libsession as ls
from flask import Flask, Response, jsonify, request
from settings import APPLICATION, COOKIE, POOL, open_manager

PAGE = Path(__file__).parent.parent / "page.html"

app = Flask(__name__)
manager = open_manager()
culprits.register(manager)


def milliseconds(duration: timedelta | None) -> int | None:
    return None if duration is None else round(duration / timedelta(milliseconds=1))


# --- what a visitor sees ---


@app.errorhandler(ls.LicenseDenied)
def refused(error: ls.LicenseDenied):
    wait = milliseconds(error.retry_after)
    response = jsonify(error=error.kind, reason=error.reason, retry_after_ms=wait)
    response.status_code = 503
    response.headers["Retry-After"] = str(max(1, math.ceil((wait or 1000) / 1000)))
    return response


@app.errorhandler(ls.SessionError)
def failed(error: ls.SessionError):
    status = {"absent": 401, "gone": 401, "corrupt": 500, "lock_timeout": 409}.get(error.kind, 400)
    return jsonify(error=error.kind, reason=getattr(error, "reason", None), message=error.message), status


@app.after_request
def tell_process(response: Response) -> Response:
    response.headers["X-Process"] = str(os.getpid())  # for the demo's story
    return response


def with_cookie(response: Response, token: str) -> Response:
    response.set_cookie(COOKIE, token, httponly=True, samesite="Lax")
    return response


def token() -> str:
    return request.cookies.get(COOKIE, "")


@app.get("/")
def page():
    return Response(PAGE.read_text().replace("{{server}}", "Python: Flask under gunicorn"), mimetype="text/html")


@app.post("/login")
def login():
    client = ls.Client(address=request.remote_addr, user_agent=request.headers.get("User-Agent"))
    wait = timedelta(milliseconds=int(request.args.get("wait_ms", "0")))
    with manager.begin_new(APPLICATION, client=client, wait=wait) as session:
        for name in filter(None, request.args.get("culprit", "").split(",")):
            session.event_class_add(name)
        if "idle_ms" in request.args:
            session.idle_timeout = timedelta(milliseconds=int(request.args["idle_ms"]))
        session["count"] = 0
        new = session.login(request.args["user"]).token
        return with_cookie(jsonify(id=session.id, user=session.user), new)


@app.post("/work")
def work():
    """Counts; takes its time, if asked to. It holds the session's lock: other requests of the session wait, at any server."""
    with manager.begin(token()) as session:
        time.sleep(int(request.args.get("ms", "0")) / 1000)
        session["count"] += 1
        return jsonify(count=session["count"])


@app.get("/slow")
def slow():
    """A download that takes its time. Its request is in flight until the last byte, or until the browser is gone."""
    session = manager.begin(token())
    session.unlock()
    chunks = max(1, int(request.args.get("ms", "3000")) // 100)

    def body():
        with session:
            for _ in range(chunks):
                yield b"x" * 1024
                time.sleep(0.1)

    return Response(body(), mimetype="application/octet-stream")


@app.post("/leave")
def leave():
    with manager.begin(token()) as session:
        return outcome(session.end(level="request", actor="the user"))


# --- what an administrator sees ---


def receipt(found: ls.Receipt, outcome: str):
    return {
        "outcome": outcome,
        "id": found.id,
        "user": found.user,
        "reason": found.reason,
        "level": found.level,
        "actor": found.actor,
        "note": found.note,
        "at_ms": found.at_ms,
        "late_ms": milliseconds(found.late),
        "license_free_at_ms": found.license_free_at_ms,
        "callbacks": [{"class": c.event_class, "kind": c.kind, "outcome": c.outcome} for c in found.callbacks],
    }


def outcome(ended: ls.Receipt | ls.Extension):
    if isinstance(ended, ls.Extension):
        return jsonify({"outcome": "extended", "class": ended.event_class, "by_ms": milliseconds(ended.by)})
    return jsonify(receipt(ended, "ended" if ended.by_this_call else "gone"))


def needs_id(handler):
    @wraps(handler)
    def checked():
        if "id" not in request.args:
            return jsonify(error="invalid", message="which session? ?id=…"), 400
        return handler(request.args["id"])

    return checked


def row(session: ls.SessionInfo):
    return {
        "id": session.id,
        "user": session.user,
        "state": session.state,
        "in_flight": session.in_flight,
        "holder": session.license_holder,
        "last_used_ms": session.last_used_ms,
        "deadline_ms": session.deadline_ms,
    }


@app.get("/admin/sessions")
def sessions():
    return jsonify([row(session) for session in manager.sessions()])


@app.get("/admin/explain")
@needs_id
def explain(id: str):
    found = manager.explain(id)
    if found is None:
        raise ls.Absent("there is no such session")
    return jsonify(
        id=found.id,
        live=found.live and row(found.live),
        ended=found.ended and receipt(found.ended, "gone"),
        requests=[{"process": r.process, "lock": r.lock} for r in found.requests],
        extensions=[{"class": e.event_class, "by_ms": milliseconds(e.by)} for e in found.extensions],
        damaged=found.damaged,
        text=found.text,
    )


@app.post("/admin/end")
@needs_id
def end(id: str):
    return outcome(manager.end(id, reason="revoked", actor="the administrator", wait=2.0))


@app.get("/admin/usage")
def usage():
    found = manager.usage(POOL)
    return jsonify(
        capacity=found.capacity,
        in_use=found.in_use,
        available=found.available,
        high_water=found.high_water,
        denials=found.denials,
        holders=[{"holder": h.holder, "units": h.units} for h in found.holders],
    )


@app.get("/admin/queue")
def queue():
    return jsonify([{"position": w.position, "process": w.process} for w in manager.queue(POOL)])


@app.get("/admin/holder")
def holder():
    found = manager.explain_unit(POOL, request.args.get("user", ""))
    if found is None:
        raise ls.Absent("holds no unit")
    return jsonify(holder={"holder": found.holder.holder, "units": found.holder.units}, text=found.text)


@app.get("/admin/accounts")
def accounts():
    return jsonify([account(record) for record in manager.audit_records(POOL, after=int(request.args.get("after", "0")))])


def account(record: ls.AuditRecord):
    return {
        "seq": record.seq,
        "kind": record.kind,
        "session_id": record.session_id,
        "holder": record.holder,
        "before": record.before,
        "after": record.after,
        "why": record.why,
    }


@app.get("/admin/audit")
def audit():
    found = manager.audit(POOL)
    return jsonify(counted=found.counted, recounted=found.recounted, differences=found.differences)


@app.get("/admin/check")
def check():
    return jsonify(manager.check())


@app.get("/admin/dead_letters")
def dead_letters():
    return jsonify(
        [
            {"session_id": d.session_id, "class": d.event_class, "kind": d.kind, "attempts": d.attempts, "error": d.error}
            for d in manager.dead_letters()
        ]
    )


@app.post("/admin/damage")
@needs_id
def damage(id: str):
    return jsonify(damaged=manager.damage(id))
