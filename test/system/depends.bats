# SPDX-License-Identifier: Apache-2.0
# Dependencies between services of real containers.
load lib

setup() {
        zl_setup
        import_busybox bb
        APP=app-$ZL_ID
}

write_app() { { printf 'version: v1\ndeployment: %s\nservices:\n' "$APP"; cat; } >app.yaml; }
order() { zl events --no-stream --after 0 --json | jq -r 'select(.type == "started" or .type == "completed" or .type == "healthy") | "\(.type) \(.name)"' | sed "s/$APP\.//"; }

@test "depends: started, healthy, and the end of a job, in order; independent ones side by side" {
        write_app <<-'END'
		  web:
		    image: {name: bb}
		    stop_grace_period: 0s
		    depends: [{service: db, condition: healthy}, {service: migrate}]
		    command: {entrypoint: [sleep, "600"]}
		  migrate:
		    rtype: job
		    image: {name: bb}
		    depends: [{service: db, condition: started}]
		    command: {entrypoint: [sleep, "2"]}
		  db:
		    image: {name: bb}
		    stop_grace_period: 0s
		    health: {interval: 100ms, check: {type: command, command: "test -e /ready"}}
		    command: {entrypoint: [sh, -c], args: ["sleep 1; touch /ready; exec sleep 600"]}
		  alone:
		    image: {name: bb}
		    stop_grace_period: 0s
		    command: {entrypoint: [sleep, "600"]}
		END
        run -0 zl up -d app.yaml
        run -0 order
        [[ $output == *'started db.1'*'started migrate.1'*'completed migrate.1'*'started web.1'* ]]
        [[ $output == *'started db.1'*'healthy db.1'*'started web.1'* ]]
        [[ $output == *'started alone.1'*'completed migrate.1'* ]]
        run -0 zl down "$APP"
}

@test "depends: what never becomes healthy fails the start, names both, leaves nothing" {
        write_app <<-'END'
		  web:
		    image: {name: bb}
		    depends: [{service: db, condition: healthy, timeout: 1s}]
		    command: {entrypoint: [sleep, "600"]}
		  db:
		    image: {name: bb}
		    stop_grace_period: 0s
		    health: {interval: 100ms, check: {type: tcp, port: 9}}
		    command: {entrypoint: [sleep, "600"]}
		END
        run -1 zl up -d app.yaml
        assert_match 'service web is not started: db did not become healthy in time'
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "depends: on_timeout warn and continue start all the same" {
        write_app <<-'END'
		  web:
		    image: {name: bb}
		    stop_grace_period: 0s
		    depends: [{service: db, condition: healthy, timeout: 500ms, on_timeout: warn}]
		    command: {entrypoint: [sleep, "600"]}
		  db:
		    image: {name: bb}
		    stop_grace_period: 0s
		    health: {interval: 100ms, check: {type: tcp, port: 9}}
		    command: {entrypoint: [sleep, "600"]}
		END
        run -0 zl up -d app.yaml
        assert_match 'web: it is started although db did not become healthy in time'
        run -0 zl down "$APP"
}

@test "depends: a job that fails is told, with its code" {
        write_app <<-'END'
		  web:
		    image: {name: bb}
		    depends: [{service: migrate}]
		    command: {entrypoint: [sleep, "600"]}
		  migrate:
		    rtype: job
		    image: {name: bb}
		    command: {entrypoint: [sh, -c, "exit 3"]}
		END
        run -1 zl up -d app.yaml
        assert_match 'service web is not started: .*migrate.1, which it depends on, ended with 3'
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "depends: unknown names and cycles are refused with the path" {
        write_app <<-'END'
		  a: {image: {name: bb}, depends: [{service: b}]}
		  b: {image: {name: bb}, depends: [{service: c}]}
		  c: {image: {name: bb}, depends: [{service: a}]}
		END
        run -1 zl up -d app.yaml
        assert_match 'a -> b -> c -> a'
        write_app <<-'END'
		  a: {image: {name: bb}, depends: [{service: nobody}]}
		END
        run -1 zl up -d app.yaml
        assert_match nobody
}
