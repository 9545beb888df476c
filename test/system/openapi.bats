# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# docs/openapi.yaml says what the daemon does: valid, the same routes and fields as the tables, and answers that fit.
load lib
load daemon

setup() {
        zl_setup
        VENV=$("$ZL_SOURCE/tools/test-venv" --path)
        skip_unless "tools/test-venv has not been run (make test does)" test -x "$VENV/bin/python"
}
check() { timeout 60 "$VENV/bin/python" "$ZL_SOURCE/test/system/openapi_check.py" "$@" 3>&-; }

@test "the document is valid, and its paths, parameters and bodies are those of the tables" {
        "$ZL_BUILD/test/system/api-routes" >routes.json
        check document "$ZL_SOURCE/docs/openapi.yaml" routes.json
}

@test "a difference between document and tables is found" {
        "$ZL_BUILD/test/system/api-routes" | jq '.[0].path = "/v1/other"' >routes.json
        run -1 check document "$ZL_SOURCE/docs/openapi.yaml" routes.json
        assert_match 'not in the document|no such route'
}

@test "the answers of a daemon fit the schemas of the document" {
        import_busybox bb
        start_daemon
        post /v1/containers '{"name": "a", "service": {"image": {"name": "bb"}, "command": {"entrypoint": ["sh", "-c", "echo x; exec sleep 100"]}}}'
        wait_until 5 has_logged
        check answers "$ZL_SOURCE/docs/openapi.yaml" "$SOCKET" a
        delete '/v1/containers/a?force'
}
has_logged() { [ -n "$(get /v1/containers/a/logs)" ]; }
