#!/usr/bin/env python3
"""Holds docs/openapi.json to its standard, and a real semad to docs/openapi.json.

    check_openapi.py SEMAD

The document has to be valid OpenAPI 3.1. Then every call is made, with every outcome that the document names:
each answer has to be as it says there, and no outcome may be missing. openapi-3.1-schema.json is that of
https://spec.openapis.org/oas/3.1/schema/2022-10-07 (Apache License 2.0).
"""

import copy
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

from jsonschema import Draft202012Validator

FOLDER = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(FOLDER, "..", "..", "docs", "openapi.json")
TOKEN = "s3cret-admin-token"
PATIENCE = 60


class Wrong(Exception):
    pass


def resolved(document, node):
    while "$ref" in node:
        found = document
        for word in node["$ref"][2:].split("/"):
            found = found[word]
        node = found
    return node


def closed(node):
    """The same, where no object may have other keys than those that are named."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: closed(value) for key, value in node.items()}
    if "properties" in node and node.get("type") == "object":
        result.setdefault("additionalProperties", False)
    return result


def validate(document, schema, value, what):
    for components in (document["components"], closed(document["components"])):
        whole = {**schema, "components": components}
        errors = [error.message for error in Draft202012Validator(whole).iter_errors(value)]
        if errors:
            raise Wrong(f"{what}: {value} is not as documented: {'; '.join(errors)}")


def check_document(document):
    with open(os.path.join(FOLDER, "openapi-3.1-schema.json"), encoding="utf-8") as file:
        standard = json.load(file)
    for error in Draft202012Validator(standard).iter_errors(document):
        raise Wrong(f"the document is not OpenAPI 3.1 at {list(error.path)}: {error.message}")
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    operations = [operation["operationId"] for _, _, operation in operations_of(document)]
    if len(operations) != len(set(operations)):
        raise Wrong("two operations have one id")


def operations_of(document):
    for path, item in document["paths"].items():
        for method in ("get", "put", "post", "delete"):
            if method in item:
                yield path, method, item[method]


class Semad:
    """A semad of our own, which is stopped at the end."""

    def __init__(self, program, *options):
        self.folder = tempfile.mkdtemp(prefix="semad-openapi-")
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8")
        store = () if "--store" in options else ("--store", "sqlite:" + os.path.join(self.folder, "semad.db"))
        command = [program, "--listen", "127.0.0.1:0", *store, *options]
        self.process = subprocess.Popen(command, stderr=self.log)
        self.port = self.await_port()
        # No more connections are taken.
        self.is_full = False

    def await_port(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.log.seek(0)
            for line in self.log:
                if "listening on http://" in line and line.endswith("\n"):
                    return int(line.split("http://", 1)[1].split(",")[0].rsplit(":", 1)[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise Wrong("semad does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)


class Redis:
    """A Redis of our own, on a Unix socket, until it is killed. redis-tools has the server under another name."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="semad-redis-")
        self.socket = os.path.join(self.folder, "socket")
        program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
        command = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.folder, "--save", ""]
        self.process = subprocess.Popen(command, executable=program, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(self.socket) and time.monotonic() < deadline:
            time.sleep(0.01)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.folder)


class Checker:
    """Makes calls, and holds the answers to the document."""

    def __init__(self, document):
        self.document = document
        self.seen = set()

    def call(self, semad, method, path, status, body=None, pool="", lease="", query="", headers=None):
        """The answer, whose status has to be this."""
        target = path.replace("{id}", pool).replace("{lease}", lease).replace("{position}", "1") + query
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        connection = semad.connect()
        if semad.is_full:
            # It is answered and closed without being read: what is sent may reset it.
            connection.connect()
            response = http.client.HTTPResponse(connection.sock, method=method.upper())
            response.begin()
        else:
            connection.request(method.upper(), target, text, headers or {})
            response = connection.getresponse()
        is_stream = response.getheader("Content-Type") == "text/event-stream"
        answer = response.fp.readline() if is_stream else response.read()
        connection.close()
        what = f"{method.upper()} {path}: {response.status}"
        if response.status != status:
            raise Wrong(f"{what}, not {status}: {answer.decode()}")
        operation = self.document["paths"][path][method]
        if str(status) not in operation["responses"]:
            raise Wrong(f"{what} is not documented")
        if isinstance(body, dict) and status in (200, 202):
            sent = operation["requestBody"]["content"]["application/json"]["schema"]
            validate(self.document, sent, body, what + ", the request")
        self.check_answer(what, resolved(self.document, operation["responses"][str(status)]), response, answer)
        self.seen.add((path, method, str(status)))
        is_json = response.getheader("Content-Type") == "application/json"
        return json.loads(answer) if is_json else answer.decode(errors="replace")

    def check_answer(self, what, documented, response, answer):
        for name, header in documented.get("headers", {}).items():
            value = response.getheader(name)
            if header.get("required") and value is None:
                raise Wrong(f"{what} has no {name}")
            if header["schema"]["type"] == "integer":
                value = int(value)
            validate(self.document, header["schema"], value, f"{what}, {name}")
        kind = response.getheader("Content-Type").split(";")[0]
        if kind not in documented["content"]:
            raise Wrong(f"{what} is {kind}, which is not documented")
        schema = documented["content"][kind].get("schema")
        if schema:
            value = json.loads(answer) if kind == "application/json" else answer.decode()
            validate(self.document, schema, value, what)

    def missing(self):
        for path, method, operation in operations_of(self.document):
            for status in operation["responses"]:
                if (path, method, status) not in self.seen:
                    yield f"{method.upper()} {path}: {status}"


def new():
    return str(uuid.uuid4())


def bearer(token):
    return {"Authorization": "Bearer " + token}


def check_good_calls(check, semad):
    pool = new()
    wide = {"count": 3, "name": "boards", "slots": ["/dev/a", {"host": "b"}, "c"], "cooldown": 0.5, "renewable": True,
            "pick": "idle"}
    check.call(semad, "put", "/l/{id}", 200, wide, pool)
    check.call(semad, "get", "/l/{id}", 200, None, pool)
    check.call(semad, "post", "/l/{id}/resize", 200, {"by": -1}, pool)
    plain = check.call(semad, "post", "/l/{id}/borrow", 200, {"ttl": 600}, pool)
    holder = {"name": "nightly", "url": "https://ci.example.com/8"}
    chosen = {"ttl": 600.5, "wait": 1, "lease": new(), "slots": 1, "priority": 3, "holder": holder}
    check.call(semad, "post", "/l/{id}/borrow", 200, chosen, pool)
    check.call(semad, "post", "/l/{id}/borrow", 409, {"ttl": 1}, pool)
    away = {"ttl": 1, "wait": 0.01, "lease": new(), "holder": {}}
    check.call(semad, "post", "/l/{id}/borrow", 409, away, pool)
    # Nobody listens on that port.
    called = {"url": "http://127.0.0.1:9/", "headers": {"X-Job": "8"}, "body": [1], "secret": "whsec_" + 32 * "A"}
    for _ in range(2):
        check.call(semad, "post", "/l/{id}/borrow", 202, {"ttl": 600, "lease": new(), "callback": called}, pool)
    check.call(semad, "get", "/l/{id}/callbacks", 200, None, pool)
    shown = check.call(semad, "get", "/l/{id}/holders", 200, None, pool)
    check.call(semad, "get", "/l/{id}/slots", 200, None, pool)
    check.call(semad, "get", "/l/{id}/events", 200, None, pool)
    for expected in (True, False):
        answer = check.call(semad, "delete", "/l/{id}/queue/{lease}", 200, None, pool, away["lease"])
        assert answer == {"cancelled": expected}, answer
    check.call(semad, "post", "/l/{id}/borrow", 409, away, pool)
    check.call(semad, "get", "/pools", 200, headers=bearer(TOKEN))
    for expected in (True, False):
        answer = check.call(semad, "post", "/l/{id}/cancel", 200, {"waiter": shown["queue"][0]["waiter"]}, pool)
        assert answer == {"cancelled": expected}, answer
    renewal = {"lease": plain["lease"], "ttl": 60}
    check.call(semad, "post", "/l/{id}/keepalive", 200, renewal, pool)
    for _ in range(2):
        check.call(semad, "post", "/l/{id}/return", 200, {"lease": plain["lease"]}, pool)
    check.call(semad, "post", "/l/{id}/keepalive", 200, renewal, pool)
    for out in ({"out": True, "reason": "fan"}, {"out": True}):
        check.call(semad, "put", "/l/{id}/slots/{position}", 200, out, pool)
        check.call(semad, "get", "/l/{id}/holders", 200, None, pool)
    check.call(semad, "put", "/l/{id}/slots/{position}", 200, {"out": False}, pool)
    for fence in (0, 10**15):
        check.call(semad, "post", "/l/{id}/revoke", 200, {"position": 1, "fence": fence}, pool)
    for _ in range(2):
        check.call(semad, "post", "/l/{id}/revoke", 200, {"position": 1}, pool)
    told = check.call(semad, "get", "/l/{id}/history", 200, None, pool, query="?limit=5&position=0&since=0")
    assert [entry["how"] for entry in told["history"]] == ["returned"], told
    check.call(semad, "get", "/l/{id}/statistics", 200, None, pool)
    check.call(semad, "get", "/l/{id}/statistics", 200, None, pool, query="?since=0&what_if=false")
    check.call(semad, "get", "/pools", 200, headers=bearer(TOKEN))
    check.call(semad, "get", "/metrics", 200, headers=bearer(TOKEN))
    check.call(semad, "get", "/backup", 200, headers=bearer(TOKEN))
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        check.call(semad, "get", path, 200)
    check.call(semad, "get", "/readyz", 200, query="?verbose")
    served = check.call(semad, "get", "/openapi.json", 200)
    if served != check.document:
        raise Wrong("semad serves another document")
    version = check.call(semad, "get", "/version", 200)["version"]
    if version != check.document["info"]["version"]:
        raise Wrong(f"the document is of another version than semad {version}")
    for _ in range(2):
        check.call(semad, "delete", "/l/{id}", 200, None, pool)
    fixed = new()
    check.call(semad, "put", "/l/{id}", 200, {"count": 1, "renewable": False}, fixed)
    held = check.call(semad, "post", "/l/{id}/borrow", 200, {"ttl": 600}, fixed)
    check.call(semad, "post", "/l/{id}/keepalive", 409, {"lease": held["lease"], "ttl": 1}, fixed)


def check_bad_calls(check, semad):
    large = "x" * 70_000
    for path, method, operation in operations_of(check.document):
        responses = operation["responses"]
        wrong = {"pool": "no-uuid", "lease": new()}
        if "400" in responses:
            check.call(semad, method, path, 400, {} if "requestBody" in operation else None, **wrong)
        if "400" in responses and "requestBody" in operation:
            check.call(semad, method, path, 400, "[", new())
            check.call(semad, method, path, 400, "{}", new())
        if "413" in responses:
            check.call(semad, method, path, 413, large, new())
    body = {"resize": {"by": 1}, "borrow": {"ttl": 1}, "revoke": {"position": 0}, "{position}": {"out": True}}
    for path, method, operation in operations_of(check.document):
        if "404" in operation["responses"] and path.startswith("/l/"):
            check.call(semad, method, path, 404, body.get(path.rsplit("/", 1)[1]), new())
    for path in ("/pools", "/backup", "/metrics"):
        check.call(semad, "get", path, 401)
        check.call(semad, "get", path, 403, headers=bearer("wrong"))


def check_methods(document, semad):
    """405 where the document has no such method, and HEAD where it has GET."""
    for path, item in document["paths"].items():
        target = path.replace("{id}", new()).replace("{lease}", new()).replace("{position}", "1")
        allowed = {method.upper() for method in ("get", "put", "post", "delete") if method in item}
        allowed |= {"HEAD"} if "GET" in allowed else set()
        for method in {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"} - allowed:
            connection = semad.connect()
            connection.request(method, target)
            response = connection.getresponse()
            answer = response.read()
            named = set(response.getheader("Allow", "").split(", "))
            if response.status != 405 or named != allowed:
                raise Wrong(f"{method} {path}: {response.status}, Allow {named}")
            if method != "HEAD":
                validate(document, document["components"]["schemas"]["Error"], json.loads(answer), path)


def valid_body(path):
    bodies = {
        "/l/{id}": {"count": 1},
        "/l/{id}/resize": {"by": 1},
        "/l/{id}/borrow": {"ttl": 1},
        "/l/{id}/keepalive": {"lease": new(), "ttl": 1},
        "/l/{id}/return": {"lease": new()},
        "/l/{id}/revoke": {"position": 0},
        "/l/{id}/slots/{position}": {"out": True},
        "/l/{id}/cancel": {"waiter": "0123456789abcdef"},
    }
    return json.dumps(bodies[path])


def check_all(check, semad, status, but=()):
    """Each call that may be answered with this status is, now."""
    for path, method, operation in operations_of(check.document):
        if str(status) not in operation["responses"] or path in but:
            continue
        body = valid_body(path) if "requestBody" in operation else None
        check.call(semad, method, path, status, body, new(), new(), headers=bearer(TOKEN))


def check_lost_store(check, semad):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            check.call(semad, "get", "/l/{id}", 502, None, new())
            break
        except Wrong:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    # A Redis is not copied, whether it is there or not.
    check_all(check, semad, 502, but=("/backup",))


def check_crowd(check, semad):
    first = semad.connect()
    first.request("GET", "/healthz")
    first.getresponse().read()
    semad.is_full = True
    check_all(check, semad, 503)
    first.close()


def main(program):
    with open(DOCUMENT, encoding="utf-8") as file:
        document = json.load(file)
    check_document(document)
    check = Checker(copy.deepcopy(document))
    with tempfile.NamedTemporaryFile("w", prefix="semad-token-") as token:
        token.write(TOKEN + "\n")
        token.flush()
        admin = ("--admin-token-file", token.name)
        with Semad(program, *admin, "--callback-allow", "127.0.0.1") as semad:
            check_good_calls(check, semad)
            check_bad_calls(check, semad)
            check_methods(document, semad)
        redis = Redis()
        with Semad(program, *admin, "--store", "redis+unix://" + redis.socket) as semad:
            redis.kill()
            check_lost_store(check, semad)
        with Semad(program, *admin, "--max-connections", "1", "--threads", "1") as semad:
            check_crowd(check, semad)
        with Semad(program) as semad:
            check.call(semad, "get", "/pools", 404)
            check.call(semad, "get", "/backup", 404)
            check.call(semad, "get", "/metrics", 404)
        with Semad(program, *admin, "--store", "memory:") as semad:
            check.call(semad, "get", "/backup", 409, headers=bearer(TOKEN))
        with Semad(program, *admin) as semad:
            shutil.rmtree(semad.folder)
            check.call(semad, "get", "/backup", 502, headers=bearer(TOKEN))
    missing = list(check.missing())
    if missing:
        raise Wrong("never seen: " + ", ".join(missing))
    print(f"{len(check.seen)} outcomes are as documented")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Wrong as wrong:
        sys.exit(f"check_openapi.py: {wrong}")
