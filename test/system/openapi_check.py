# SPDX-License-Identifier: Apache-2.0
"""openapi_check.py document DOCUMENT ROUTES: is the document valid OpenAPI, and does it say what the table of routes (JSON
from api-routes) says? openapi_check.py answers DOCUMENT SOCKET NAME: do the answers of a daemon fit the schemas? NAME is a
running container."""
import http.client
import json
import socket
import sys

import jsonschema
import openapi_spec_validator
import yaml


def resolve(doc, node):
    while isinstance(node, dict) and "$ref" in node:
        target = doc
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def described(doc):
    """{(method, path): (id, query, body)} of the document; names to whether they are required."""
    found = {}
    for path, item in doc["paths"].items():
        shared = item.get("parameters", [])
        for method, op in item.items():
            if method == "parameters":
                continue
            parameters = [resolve(doc, p) for p in shared + op.get("parameters", [])]
            query = {p["name"]: p.get("required", False) for p in parameters if p["in"] == "query"}
            in_path = [p["name"] for p in parameters if p["in"] == "path"]
            assert in_path == (["name"] if "{name}" in path else []), f"{method} {path}: parameters of the path"
            body = None
            if "requestBody" in op:
                schema = resolve(doc, op["requestBody"])["content"]["application/json"]["schema"]
                body = {n: n in schema.get("required", []) for n in schema.get("properties", {})}
            found[method.upper(), path] = (op["operationId"], query, body)
    return found


def check_document(doc, routes):
    openapi_spec_validator.validate(doc)
    documented = described(doc)
    table = {(r["method"], r["path"]): (r["id"], r["query"], r["body"] if r["has_body"] else None) for r in routes}
    for key in sorted(documented.keys() | table.keys()):
        assert key in documented, f"{key}: not in the document"
        assert key in table, f"{key}: no such route"
        assert documented[key] == table[key], f"{key}: document {documented[key]}, table {table[key]}"


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("zlayer", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


def check_answers(doc, path, name):
    def ask(method, url, body=None, type="application/json"):
        connection = Connection(path)
        connection.request(method, url, body, {"Content-Type": type} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read().decode()

    def check(method, template, want, query="", **request):
        url = template.replace("{name}", request.pop("name", name)) + query
        status, type, text = ask(method, url, **request)
        assert status == want, f"{method} {url}: {status} {text}"
        op = doc["paths"][template][method.lower()]
        answer = resolve(doc, op["responses"].get(str(status), op["responses"]["default"]))
        if status == 204:
            assert text == "" and "content" not in answer
            return
        assert type in answer["content"], f"{method} {url}: {type} is not in the document"
        schema = {**answer["content"][type]["schema"], "components": doc["components"]}
        documents = [json.loads(text)] if type == "application/json" else []
        if type == "application/x-ndjson":
            documents = [json.loads(line) for line in text.splitlines()]
            assert documents, f"{method} {url}: nothing to check"
        for document in documents:
            jsonschema.Draft202012Validator(schema).validate(document)

    for template in ("/v1/version", "/v1/info", "/v1/events", "/v1/deployments", "/v1/containers", "/v1/images", "/metrics",
                     "/v1/containers/{name}", "/v1/containers/{name}/stats", "/v1/containers/{name}/logs"):
        check("GET", template, 200)
    check("POST", "/v1/containers/{name}/exec", 200, body=json.dumps({"command": ["true"]}))
    for action in ("pause", "resume"):
        check("POST", "/v1/containers/{name}/" + action, 204)
    spec = """
version: v1
deployment: openapi
services:
  web:
    image: {name: bb}
    scale: {mode: fixed, replicas: 1}
    command: {entrypoint: [sleep, '100']}
    stop_grace_period: 1s
  job:
    image: {name: bb}
    rtype: job
    command: {entrypoint: [sleep, '100']}
    stop_grace_period: 0s
  tick:
    image: {name: bb}
    rtype: cron
    schedule: '0 0 0 1 1 *'
    command: {entrypoint: ['true']}
"""
    check("POST", "/v1/deployments/validate", 200, body=spec, type="application/yaml")
    check("POST", "/v1/deployments/validate", 400, body="a: [", type="application/yaml")
    check("POST", "/v1/deployments", 200, query="?wait", body=spec, type="application/yaml")
    check("GET", "/v1/deployments/{name}", 200, name="openapi")
    check("POST", "/v1/deployments/{name}/scale", 200, name="openapi", query="?wait",
          body=json.dumps({"service": "web", "replicas": 2}))
    check("POST", "/v1/deployments/{name}/scale", 404, name="openapi", body=json.dumps({"service": "no", "replicas": 2}))
    job = json.dumps({"deployment": "openapi", "service": "job"})
    check("POST", "/v1/executions", 201, body=job)
    check("POST", "/v1/executions", 400, body=json.dumps({"deployment": "openapi"}))
    check("POST", "/v1/executions", 404, body=json.dumps({"deployment": "openapi", "service": "web"}))
    check("GET", "/v1/executions", 200)
    check("GET", "/v1/executions", 200, query="?deployment=openapi&service=job")
    check("GET", "/v1/executions", 400, query="?service=job")
    check("POST", "/v1/executions/{name}/cancel", 204, name="openapi.job.2")
    check("POST", "/v1/executions/{name}/cancel", 404, name="openapi.job.9")
    check("POST", "/v1/executions/{name}/cancel", 400, name="odd")
    check("GET", "/v1/schedules", 200)
    check("POST", "/v1/schedules/{name}/disable", 204, name="openapi.tick")
    check("POST", "/v1/schedules/{name}/enable", 204, name="openapi.tick")
    check("POST", "/v1/schedules/{name}/enable", 400, name="openapi")
    check("POST", "/v1/schedules/{name}/enable", 404, name="openapi.none")
    check("PUT", "/v1/secrets", 204, body=json.dumps({"name": "pass", "value": "x"}))
    check("PUT", "/v1/secrets", 204, body=json.dumps({"name": "bytes", "deployment": "openapi", "value_base64": "AAH/"}))
    check("PUT", "/v1/secrets", 400, body=json.dumps({"name": "pass"}))
    check("PUT", "/v1/secrets", 400, body=json.dumps({"name": "a/b/c", "value": "x"}))
    check("PUT", "/v1/secrets", 400, body=json.dumps({"name": "pass", "value_base64": "???"}))
    check("GET", "/v1/secrets", 200)
    check("DELETE", "/v1/secrets", 204, query="?name=pass")
    check("DELETE", "/v1/secrets", 404, query="?name=pass")
    check("GET", "/v1/why/{name}", 200, name="openapi.web")
    check("GET", "/v1/why/{name}", 404, name="none")
    check("POST", "/v1/deployments/{name}/stop", 200, name="openapi")
    check("DELETE", "/v1/deployments/{name}", 200, name="openapi")
    check("DELETE", "/v1/deployments/{name}", 404, name="openapi")
    service = {"image": {"name": "bb"}, "command": {"entrypoint": ["sh", "-c", "exit 3"]}}
    check("POST", "/v1/containers", 201, body=json.dumps({"name": "made", "service": service}))
    check("POST", "/v1/containers", 409, body=json.dumps({"name": "made", "service": service}))
    check("POST", "/v1/containers", 400, body=json.dumps({"service": service, "odd": 1}))
    check("GET", "/v1/containers/{name}/wait", 200, name="made")
    check("GET", "/v1/containers/{name}/wait", 504, query="?timeout=10ms")
    check("DELETE", "/v1/containers/{name}", 204, name="made")
    check("POST", "/v1/containers/{name}/kill", 204)
    check("GET", "/v1/containers/{name}/wait", 200)
    check("POST", "/v1/containers/{name}/stop", 204)
    check("POST", "/v1/images/pull", 200, body=json.dumps({"image": "bb", "policy": "if_not_present"}))
    check("POST", "/v1/images/pull", 200, body=json.dumps({"image": "127.0.0.1:1/no:1"}))
    check("DELETE", "/v1/images", 404, query="?name=none")


def main():
    with open(sys.argv[2]) as f:
        doc = yaml.safe_load(f)
    if sys.argv[1] == "document":
        with open(sys.argv[3]) as f:
            check_document(doc, json.load(f))
    else:
        check_answers(doc, sys.argv[3], sys.argv[4])


main()
