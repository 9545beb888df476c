# SPDX-License-Identifier: Apache-2.0
# Init actions of real containers.
# shellcheck disable=SC2016 # $ in `sh -c` texts is for the container
load lib

setup() {
        zl_setup
        export -f zl
        import_busybox bb
        APP=app-$ZL_ID
}

write_app() { # the services on standard input, each line behind two blanks
        { printf 'version: v1\ndeployment: %s\nservices:\n' "$APP"; cat; } >app.yaml
}

@test "init: run works inside the container, before its command" {
        write_app <<-'END'
		  web:
		    image: {name: bb}
		    user: "1000"
		    hostname: inside
		    env: {WORD: hello}
		    stop_grace_period: 0s
		    command: {entrypoint: [sh, -c], args: ["cat /tmp/made; exec sleep 600"]}
		    init:
		      steps:
		      - {id: make, uses: init.run, with: {command: "echo $WORD from $(hostname) $(id -u) >/tmp/made; test ! -d /var/lib/zlayer"}}
		END
        run -0 zl up -d app.yaml
        wait_until 5 bash -c 'zl logs web | grep -qx "hello from inside 1000"'
        [ ! -e /tmp/made ]
        run -0 zl down "$APP"
}

@test "init: a step that fails fails the start, names itself, leaves nothing" {
        write_app <<-'END'
		  web:
		    image: {name: bb}
		    command: {entrypoint: [sleep, "600"]}
		    init:
		      steps:
		      - {id: good, uses: init.run, with: {command: "true"}}
		      - {id: bad, uses: init.run, with: {command: "exit 7"}}
		END
        run -1 zl up -d app.yaml
        assert_match 'web.1: init step "bad": .*ended with 7'
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "init: retry, and a command that hangs is killed" {
        write_app <<-'END'
		  web:
		    image: {name: bb}
		    stop_grace_period: 0s
		    init_container: true
		    command: {entrypoint: [sh, -c], args: ["cat /tmp/tries; exec sleep 600"]}
		    init:
		      steps:
		      - {id: third, uses: init.run, retry: 2, with: {timeout: 1, command: "echo x >>/tmp/tries; test $(wc -l </tmp/tries) = 2 || sleep 7531"}}
		END
        run -0 zl up -d app.yaml
        wait_until 5 bash -c '[ "$(zl logs web | grep -c x)" = 2 ]'
        run -1 zl exec web sh -c 'ps -o args | grep "^sleep 7531"'
        run -0 zl down "$APP"
}

is_initializing() { [ "$(zl ps -a --json | jq -r '.[] | select(.service == "web") | .state')" = initializing ]; }

@test "init: wait_tcp and wait_http for another service, which has no address on the machine" {
        write_app <<-'END'
		  db:
		    image: {name: bb}
		    stop_grace_period: 0s
		    command: {entrypoint: [sh, -c], args: ["until test -e /go; do sleep 0.1; done; mkdir /www; echo hi >/www/x; exec httpd -f -p 5432 -h /www"]}
		  web:
		    image: {name: bb}
		    stop_grace_period: 0s
		    command: {entrypoint: [sleep, "600"]}
		    init:
		      steps:
		      - {id: port, uses: init.wait_tcp, with: {host: db, port: 5432}}
		      - {id: page, uses: init.wait_http, with: {url: "http://db:5432/x", expect_status: 200}}
		END
        background "$ZL_AGENT" up -d app.yaml
        wait_until 10 is_initializing
        wait_until 10 zl exec db touch /go
        wait "$ZL_BG"
        run -0 bash -c "zl ps --json | jq -r '.[] | select(.service == \"web\") | .state'"
        assert_output running
        run -0 zl down "$APP"
}

@test "init: wait_http over https, from the agent's network, whatever the certificate" {
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=nobody -keyout key.pem -out cert.pem 2>/dev/null
        write_app <<-'END'
		  web:
		    image: {name: bb}
		    stop_grace_period: 0s
		    command: {entrypoint: [sleep, "600"]}
		    init:
		      steps:
		      - {id: page, uses: init.wait_http, with: {url: "https://localhost:8444/"}}
		END
        background "$ZL_AGENT" up -d app.yaml
        local up=$ZL_BG
        wait_until 10 is_initializing
        background openssl s_server -www -key key.pem -cert cert.pem -accept 127.0.0.1:8444
        wait "$up"
        run -0 zl down "$APP"
        # and one that never comes
        sed -i 's|8444/"|8445/", timeout: 1|' app.yaml
        run -1 zl up -d app.yaml
        assert_match 'https://localhost:8445/: Connection refused'
}

@test "init: a wait whose time is over fails the start" {
        write_app <<-'END'
		  web:
		    image: {name: bb}
		    command: {entrypoint: [sleep, "600"]}
		    init:
		      steps:
		      - {id: port, uses: init.wait_tcp, with: {host: 127.0.0.1, port: 1, timeout: 1}}
		END
        run -1 zl up -d app.yaml
        assert_match 'init step "port": port 1: Connection refused'
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "init: unknown actions and missing parameters are refused before anything starts" {
        write_app <<-'END'
		  web: {image: {name: bb}, init: {steps: [{id: x, uses: init.dance}]}}
		END
        run -1 zl up -d app.yaml
        assert_match 'init step "x": uses: there is no action "init.dance"'
        write_app <<-'END'
		  web: {image: {name: bb}, init: {steps: [{id: x, uses: init.run}]}}
		END
        run -1 zl up -d app.yaml
        assert_match 'with.command: a text is needed'
}
