# SPDX-License-Identifier: Apache-2.0
# Health checks of real containers: tcp, http, command, the image's own, and what follows from them.
# shellcheck disable=SC2016 # $ in `sh -c` texts is for the container
load lib

setup() {
        zl_setup
        export -f zl health has_health
        import_busybox bb
        APP=app-$ZL_ID
}

# A service "web" whose command is ARGS in a shell; the rest of its spec comes on standard input.
write_web() { # COMMAND
        {
                printf 'version: v1\ndeployment: %s\nservices:\n  web:\n    image: {name: bb}\n' "$APP"
                printf '    scale: {mode: fixed, replicas: 1}\n    stop_grace_period: 0s\n    init_container: true\n'
                printf "    command: {entrypoint: [sh, -c], args: ['%s']}\n" "$1"
                cat
        } >app.yaml
}
health() { zl ps --json | jq -r --arg n "$1" '.[] | select(.name == $n) | .health'; }
has_health() { [ "$(health "$1")" = "$2" ]; }

@test "health: tcp is looked at inside the container's own network" {
        write_web 'until test -e /go; do sleep 0.1; done; exec httpd -f -p 7777' <<-'END'
		    health: {interval: 200ms, check: {type: tcp, port: 7777}}
		END
        run -0 zl up -d app.yaml
        assert_no_match 'not run yet'
        has_health "$APP.web.1" starting
        zl exec web touch /go
        wait_until 5 has_health "$APP.web.1" healthy
        run -0 zl ps
        assert_match 'running \(healthy\)'
        # nobody listens on that port of the machine
        run -1 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7777'
        run -0 zl down "$APP"
}

@test "health: http wants its status, the log says why not" {
        write_web 'mkdir /www; echo ok >/www/good; exec httpd -f -p 8080 -h /www' <<-'END'
		    restart_policy: {kind: "no"}
		    health: {start_grace: 0s, interval: 100ms, retries: 2, check: {type: http, url: "http://localhost:8080/good"}}
		END
        run -0 zl up -d app.yaml
        wait_until 5 has_health "$APP.web.1" healthy
        zl exec web rm /www/good
        wait_until 5 has_health "$APP.web.1" unhealthy
        run -0 bash -c "zl events --no-stream --after 0 --json | jq -r 'select(.type == \"unhealthy\") | .message'"
        assert_match '/good: status 404'
        zl exec web sh -c 'echo ok >/www/good'
        wait_until 10 has_health "$APP.web.1" healthy
        run -0 zl down "$APP"
}

# An HTTPS server with a certificate of its own making, in the network of a process: 200 while the file named by the path is there,
# else 404; no answer while there is a file "hang".
tls_server() { # PID PORT
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=nobody -keyout key.pem -out cert.pem 2>/dev/null
        cat >server.py <<-'END'
		import http.server, os, ssl, sys, time
		class Handler(http.server.BaseHTTPRequestHandler):
		    def do_GET(self):
		        while os.path.exists("hang"):
		            time.sleep(1)
		        self.send_response(200 if os.path.exists("." + self.path) else 404)
		        self.end_headers()
		    def log_message(self, *args):
		        print(self.headers["Host"], self.path, flush=True)
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.load_cert_chain("cert.pem", "key.pem")
		server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
		server.socket = context.wrap_socket(server.socket, server_side=True)
		server.serve_forever()
		END
        background nsenter -t "$1" -n python3 server.py "$2"
}

@test "health: https looks in the container's network, whatever the certificate; its status counts, and one that hangs is a failure" {
        write_web 'exec sleep 600' <<-'END'
		    restart_policy: {kind: "no"}
		    health: {start_grace: 0s, interval: 100ms, timeout: 2s, retries: 2, check: {type: http, url: "https://localhost:8443/good"}}
		END
        run -0 zl up -d app.yaml
        wait_until 5 has_health "$APP.web.1" unhealthy
        run -0 bash -c "zl events --no-stream --after 0 --json | jq -r 'select(.type == \"unhealthy\") | .message'"
        assert_match 'https://localhost:8443/good: Connection refused'
        touch good
        tls_server "$(zl ps --json | jq '.[0].pid')" 8443
        wait_until 10 has_health "$APP.web.1" healthy
        grep -q '^localhost:8443 /good' "$ZL_BG_LOG"
        rm good
        wait_until 5 has_health "$APP.web.1" unhealthy
        run -0 bash -c "zl events --no-stream --after 0 --json | jq -r 'select(.type == \"unhealthy\") | .message'"
        assert_match '/good: status 404'
        touch good
        wait_until 10 has_health "$APP.web.1" healthy
        touch hang
        wait_until 10 unhealthy_because 'no answer within 2 s'
        zl down "$APP"
        # plain text where TLS is wanted
        write_web 'mkdir /www; exec httpd -f -p 8443 -h /www' <<-'END'
		    restart_policy: {kind: "no"}
		    health: {start_grace: 0s, interval: 100ms, retries: 2, check: {type: http, url: "https://localhost:8443/good"}}
		END
        zl up -d app.yaml
        wait_until 10 unhealthy_because 'https://localhost:8443/good: .*SSL'
        run -0 zl down "$APP"
}
unhealthy_because() { zl events --no-stream --after 0 --json | jq -r 'select(.type == "unhealthy") | .message' | grep -q "$1"; }

@test "health: a command runs in the container, and its failure restarts" {
        write_web 'touch /tmp/well; exec sleep 600' <<-'END'
		    health: {start_grace: 0s, interval: 100ms, retries: 2, check: {type: command, command: "test -e /tmp/well && test $$ -lt 1000"}}
		END
        run -0 zl up -d app.yaml
        wait_until 5 has_health "$APP.web.1" healthy
        pid=$(zl ps --json | jq '.[0].pid')
        before=$(zl ps --json | jq '.[0].restarts') # a slow machine may have looked too early
        zl exec web rm /tmp/well
        wait_until 10 bash -c "[ \"\$(zl ps --json | jq '.[0].restarts')\" -gt $before ]"
        wait_until 10 has_health "$APP.web.1" healthy
        [ "$(zl ps --json | jq '.[0].pid')" != "$pid" ]
        run -0 bash -c "zl events --no-stream --after 0 --json | jq -r 'select(.type == \"restarting\") | .message'"
        assert_match 'unhealthy: the check ended with 1'
        run -0 zl down "$APP"
}

@test "health: a check that hangs is killed with all it has started" {
        write_web 'exec sleep 600' <<-'END'
		    restart_policy: {kind: "no"}
		    health: {start_grace: 0s, interval: 200ms, timeout: 300ms, retries: 2, check: {type: command, command: "sleep 6543 & sleep 6544"}}
		END
        run -0 zl up -d app.yaml
        wait_until 10 has_health "$APP.web.1" unhealthy
        run -0 bash -c "zl events --no-stream --after 0 --json | jq -r 'select(.type == \"unhealthy\") | .message'"
        assert_match 'no answer within 0.3 s'
        # one check at a time may be under way, and the one before may be about to end
        few_checks() { [ "$(zl exec web sh -c 'ps -o args | grep -c "^sleep 654" || true')" -le 2 ]; }
        wait_until 5 few_checks
        run -0 zl down "$APP"
}

@test "health: the image's HEALTHCHECK counts if the spec has none" {
        make_busybox_rootfs "$ZL_DIR/rootfs"
        mkimage --cmd sleep --cmd 600 --healthcheck \
                '{"Test": ["CMD-SHELL", "test ! -e /bad"], "Interval": 100000000, "Retries": 2}' checked.oci "$ZL_DIR/rootfs"
        zl image import checked.oci checked
        printf 'version: v1\ndeployment: %s\nservices:\n  web: {image: {name: checked}, stop_grace_period: 0s, restart_policy: {kind: "no"}}\n' \
                "$APP" >app.yaml
        run -0 zl up -d app.yaml
        wait_until 5 has_health "$APP.web.1" healthy
        zl exec web touch /bad
        wait_until 5 has_health "$APP.web.1" unhealthy
        run -0 zl down "$APP"
}

@test "health: nobody looks where nothing is said" {
        write_web 'exec sleep 600' </dev/null
        run -0 zl up -d app.yaml
        sleep 0.3
        has_health "$APP.web.1" none
        run -0 zl down "$APP"
}

@test "health: a dependent starts when all replicas are healthy" {
        write_web 'sleep 1; touch /tmp/well; exec sleep 600' <<-'END'
		    health: {interval: 100ms, check: {type: command, command: "test -e /tmp/well"}}
		  app:
		    image: {name: bb}
		    stop_grace_period: 0s
		    depends: [{service: web, condition: healthy}]
		    command: {entrypoint: [sleep, "600"]}
		END
        run -0 zl up -d app.yaml
        run -0 bash -c "zl events --no-stream --after 0 --json | jq -r 'select(.type == \"healthy\" or .type == \"created\") | .type + \" \" + .name'"
        assert_output "created $APP.web.1
healthy $APP.web.1
created $APP.app.1"
        run -0 zl down "$APP"
}

@test "health: a check that cannot be is refused before anything starts" {
        write_web 'exec sleep 600' <<-'END'
		    health: {check: {type: http, url: "ftp://localhost/"}}
		END
        run -1 zl up -d app.yaml
        assert_match 'health.check.url "ftp://localhost/": only http:// and https:// can be checked'
        [ "$(zl ps -a --json)" = '[]' ]
}
