# SPDX-License-Identifier: Apache-2.0
# Secrets: set, listed, removed; in the environment of workloads, and nowhere else.
# shellcheck disable=SC2016 # $ in specs is for the agent or the container
load lib

setup() {
        zl_setup
        import_busybox bb
}

# A service that tells a checksum of what it got, so that the value is not in the log either.
write_spec() { # REFERENCE...
        local i=0
        cat >app.yaml <<-END
		version: v1
		deployment: app-$ZL_ID
		services:
		  web:
		    image: {name: bb}
		    rtype: job
		    command:
		      entrypoint: [sh, -c]
		      args: ['printf "%s" "\$V1|\$V2|\$V3" | sha256sum; trap "exit 0" TERM; [ ! "\$STAY" ] || sleep 60 & wait']
		    env:
		      STAY: "$ZL_STAY"
		END
        for reference; do
                i=$((i + 1))
                printf '      V%d: "%s"\n' $i "$reference"
        done >>app.yaml
        APP=app-$ZL_ID
}
sum_of() { printf %s "$1" | sha256sum | cut -c1-64; }

@test "secret: set from standard input or a file, ls without values, rm" {
        echo s3cr3t-value | zl secret set db-pass
        printf 'two\nlines\n' >pass.txt
        zl secret set --deployment shop --file pass.txt @web/cert
        zl secret set :prod/token <<<abc
        run -0 zl secret ls
        assert_match 'SCOPE +NAME +UPDATED'
        assert_match 'shop/web +cert'
        assert_no_match 's3cr3t|lines|abc'
        run -0 zl secret ls --json
        [ "$(jq -r '[.[] | .scope + "|" + .name] | join(" ")' <<<"$output")" = '|db-pass :prod|token shop/web|cert' ]
        run -0 zl secret rm --deployment shop @web/cert
        run -1 zl secret rm --deployment shop @web/cert
        assert_match 'no secret cert of shop/web'
        run -0 zl secret rm db-pass :prod/token
        [ "$(zl secret ls --json)" = '[]' ]
        # the disk never saw a value
        echo s3cr3t-value | zl secret set db-pass
        run -1 grep -rl s3cr3t-value "$ZLAYER_ROOT_DIR"
}

@test "secret: wrong names and values are refused" {
        run -2 zl secret set a/b <<<x
        assert_match 'names no secret'
        run -2 zl secret set @web/x <<<x
        assert_match 'of which deployment'
        run -2 zl secret set 'a b' <<<x
        assert_match 'cannot be the name'
        head -c 600000 /dev/zero >big
        run -1 zl secret set --file big x
        run -2 zl secret set
        run -2 zl secret set x value
        [ ! -e "$ZLAYER_ROOT_DIR/secrets.json" ]
}

@test "secret: with a daemon, its key counts" {
        load daemon
        export ZLAYER_SECRETS_KEY=$(printf '%064d' 7)
        start_daemon
        unset ZLAYER_SECRETS_KEY
        printf 'geheim' | zl secret set --deployment shop pass
        printf 'a\0b' >bytes
        zl secret set --file bytes raw
        assert_equal "$(zl secret ls --json | jq -r '[.[].name] | sort | join(" ")')" 'pass raw'
        assert_equal "$(get /v1/secrets | jq -r '[.[].name] | sort | join(" ")')" 'pass raw'
        # no key of ours was made
        [ ! -e "$ZLAYER_ROOT_DIR/secrets.key" ]
        run -1 grep -q geheim "$ZLAYER_ROOT_DIR/secrets.json"
        zl secret rm --deployment shop pass
        run -1 zl secret rm --deployment shop pass
        assert_match 'no secret'
        run -2 zl secret set a/b/c </dev/null
        stop_daemon
}

@test "secret: every form reaches the workload" {
        zl secret set -d "app-$ZL_ID" plain <<<one
        zl secret set -d "app-$ZL_ID" @other/login <<<'{"user": "ann", "id": 7}'
        zl secret set shop:prod/doc <<<'{"list": [1, 2]}'
        write_spec '$S:plain' '$S:@other/login/user' '$S:shop:prod/doc/list'
        run -0 zl up app.yaml
        assert_match "$(sum_of 'one|ann|[1,2]')"
        assert_no_match 'ann'
        zl down "$APP"
}

@test "secret: a value is seen in no log, event, argument, record or inspect" {
        ZL_STAY=1
        zl secret set secret-name <<<very-s3cret
        write_spec '$S:secret-name'
        zl --log-level debug up -d app.yaml >up.log 2>&1
        wait_until 5 bash -c "zl_logs=\$(\"$ZL_AGENT\" logs $APP.web.1) && grep -q '[0-9a-f]' <<<\"\$zl_logs\""
        zl inspect "$APP.web.1" >inspect.json
        zl events --no-stream >events.txt
        zl logs "$APP.web.1" >log.txt
        ps -eo args >args.txt
        run -1 grep -l very-s3cret up.log inspect.json events.txt log.txt args.txt
        # nothing that lasts has it, while the container lives
        run -1 grep -rl very-s3cret "$ZLAYER_ROOT_DIR"
        # what holds it is for root alone and goes with the container
        held=$(grep -rl very-s3cret "$ZLAYER_RUNTIME_DIR")
        assert_equal "$held" "$ZLAYER_RUNTIME_DIR/containers/$APP.web.1/config.json"
        assert_equal "$(stat -c %a "$held")$(stat -c %a "$(dirname "$held")")" 600700
        grep -q '"V1=$S:secret-name"' inspect.json
        # but it is there
        run -0 zl exec "$APP.web.1" sh -c 'echo $V1'
        assert_output very-s3cret
        zl down "$APP"
        run -1 grep -rl very-s3cret "$ZLAYER_ROOT_DIR" "$ZLAYER_RUNTIME_DIR"
}

restarted() { zl ps --json | jq -e --arg n "$1" --argjson r "$2" '.[] | select(.name == $n) | .state == "running" and .restarts >= $r' >/dev/null; }

@test "secret: a restart has it, also when a reboot has wiped what held it" {
        load daemon
        ZL_STAY=1
        zl secret set secret-name <<<very-s3cret
        write_spec '$S:secret-name'
        sed -i 's/rtype: job/restart_policy: {kind: always, delay: 100ms}/' app.yaml
        start_daemon
        zl up -d app.yaml
        for round in 1 2; do
                [ $round = 1 ] || rm "$ZLAYER_RUNTIME_DIR/containers/$APP.web.1/config.json"
                zl exec "$APP.web.1" kill -9 1 || :
                kill -KILL "$(zl ps --json | jq '.[] | select(.name | startswith("app")) | .pid // empty')" 2>/dev/null || :
                wait_until 20 restarted "$APP.web.1" $round
                run -0 zl exec "$APP.web.1" sh -c 'echo $V1'
                assert_output very-s3cret
        done
        run -1 grep -rl very-s3cret "$ZLAYER_ROOT_DIR"
        remove_deployment
}

@test "secret: it goes along when a workload gets another name, and is on no disk then either" {
        skip_unless "containers need root" is_root
        native() { ZLAYER_MONITOR=$ZL_BUILD/zlayer-monitor within 30 "$ZL_BUILD/test/system/native-driver" "$@" 3>&-; }
        zl secret set secret-name <<<very-s3cret
        write_spec '$S:secret-name'
        run -0 zl up app.yaml
        native rename "$APP.web.1" "$APP.web.7"
        assert_equal "$(grep -rl very-s3cret "$ZLAYER_ROOT_DIR" "$ZLAYER_RUNTIME_DIR")" \
                "$ZLAYER_RUNTIME_DIR/containers/$APP.web.7/config.json"
        native start "$APP.web.7"
        native wait "$APP.web.7"
        sum=$(sum_of 'very-s3cret||')
        assert_equal "$(native logs "$APP.web.7" | grep -c "$sum")" 2
        native rm "$APP.web.7"
        run -1 grep -rl very-s3cret "$ZLAYER_ROOT_DIR" "$ZLAYER_RUNTIME_DIR"
        zl down "$APP" || :
}

@test "secret: a missing one, and a wrong key, are clear errors before anything starts" {
        write_spec '$S:nothing'
        run -1 zl up app.yaml
        assert_match 'service web: env.V1: there is no secret nothing of app-'
        assert_match "zlayer-agent secret set --deployment app-$ZL_ID nothing"
        [ "$(zl ps -a --json)" = '[]' ]
        ZLAYER_SECRETS_PASSWORD=right zl secret set nothing <<<x
        ZLAYER_SECRETS_PASSWORD=wrong run -1 zl up app.yaml
        assert_match 'another key'
        run -1 zl up app.yaml
        assert_match 'secrets.key, is missing'
        ZLAYER_SECRETS_PASSWORD=right run -0 zl up app.yaml
        zl down "$APP"
}

@test "env: ZLAYER_ENV_ALLOW says what specs may see of the agent's environment" {
        write_spec '$E:ZL_TEST_WORD'
        export ZL_TEST_WORD=hello
        ZLAYER_ENV_ALLOW='HOME,LANG*' run -1 zl up app.yaml
        assert_match 'ZL_TEST_WORD of the agent is not for workloads'
        ZLAYER_ENV_ALLOW='HOME,ZL_TEST_*' run -0 zl up app.yaml
        assert_match "$(sum_of 'hello||')"
        zl down "$APP"
}
