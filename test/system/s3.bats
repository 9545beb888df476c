# SPDX-License-Identifier: Apache-2.0
# init.s3_pull and init.s3_push against a real S3 server (moto) that checks signatures.
# needs-python: moto[s3]==5.1.18 flask flask-cors
# shellcheck disable=SC2016 # $ in `sh -c` texts is for the container
load lib

setup() {
        zl_setup
        export -f zl
        import_busybox bb
        APP=app-$ZL_ID
        PORT=$((20000 + RANDOM % 12000))
        background "$ZL_PYTHON" "$ZL_SOURCE/test/s3-server" $PORT "$ZL_DIR/s3-keys"
        wait_until 60 test -e "$ZL_DIR/s3-keys"
        read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY <"$ZL_DIR/s3-keys"
        export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
}

# A service whose init steps come on standard input, one flow mapping a line; "@" stands for the bucket and the endpoint.
write_app() {
        {
                printf 'version: v1\ndeployment: %s\nservices:\n  web:\n    image: {name: bb}\n' "$APP"
                printf '    stop_grace_period: 0s\n    command: {entrypoint: [sleep, "600"]}\n    init:\n      steps:\n'
                sed "s|^|      - |; s|@|bucket: bucket, endpoint: \"http://127.0.0.1:$PORT\"|"
        } >app.yaml
}

@test "s3: push a file and a directory, pull them elsewhere" {
        write_app <<-'END'
		{id: make, uses: init.run, with: {command: "mkdir -p /out/sub; head -c 300000 /dev/urandom >/out/big; echo deep >/out/sub/x"}}
		{id: all, uses: init.s3_push, with: {@, source: /out, key: backup/1}}
		{id: one, uses: init.s3_push, with: {@, source: /out/big, key: one}}
		{id: get, uses: init.s3_pull, with: {@, key: backup/1/sub/x, destination: /new/dir/x}}
		{id: get2, uses: init.s3_pull, with: {@, key: one, destination: /new/big}}
		{id: check, uses: init.run, with: {command: "cmp /out/big /new/big; test $(cat /new/dir/x) = deep"}}
		END
        run -0 zl up -d app.yaml
        run -0 zl exec web sh -c 'cmp /out/big /new/big && cat /new/dir/x && ls /new'
        assert_output $'deep\nbig\ndir'
        run -0 zl down "$APP"
}

@test "s3: what is missing, forbidden or unreachable is told" {
        write_app <<-'END'
		{id: get, uses: init.s3_pull, with: {@, key: no/such, destination: /x}}
		END
        run -1 zl up -d app.yaml
        assert_match 'init step "get": s3://bucket/no/such: NoSuchKey'
        run -1 env AWS_SECRET_ACCESS_KEY=wrong "$ZL_AGENT" up -d app.yaml
        assert_match 'SignatureDoesNotMatch'
        assert_no_match 'wrong'
        write_app <<-'END'
		{id: put, uses: init.s3_push, with: {@, source: /no/such, key: x}}
		END
        run -1 zl up -d app.yaml
        assert_match '/no/such: cannot be read inside'
        sed -i "s/:$PORT/:1/" app.yaml
        sed -i 's,/no/such,/etc/passwd,' app.yaml
        run -1 zl up -d app.yaml
        assert_match "s3://bucket/x: Couldn't connect"
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "s3: keys from a credentials file, and bad parameters" {
        mkdir "$HOME/.aws"
        printf '[other]\naws_access_key_id = x\n[default]\naws_access_key_id = %s\naws_secret_access_key=%s\n' \
                "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" >"$HOME/.aws/credentials"
        unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
        write_app <<-'END'
		{id: put, uses: init.s3_push, with: {@, source: /etc/passwd, key: passwd}}
		END
        run -0 zl up -d app.yaml
        run -0 zl down "$APP"
        write_app <<-'END'
		{id: put, uses: init.s3_push, with: {@, source: etc, key: x}}
		END
        run -1 zl up -d app.yaml
        assert_match 'with.source: "etc" is not absolute'
}
