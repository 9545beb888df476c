# SPDX-License-Identifier: Apache-2.0
# What is far away: a Docker engine behind TCP and TLS, registries that want to know who asks. Real parts all: dockerd with
# --tlsverify, docker-registry with basic and with token authentication, certificates made here.
load lib

setup_file() {
        [ "$(id -u)" = 0 ] || return 0
        local dir=$BATS_FILE_TMPDIR
        make_certificates "$dir/tls" || return
        start_registry "$dir/registry" || return
        push_image "$(busybox_layout)" app/bb:1 || return
        has_program dockerd || return 0
        start_dockerd "$dir/docker" --host tcp://127.0.0.1:2376 --tlsverify --tlscacert="$dir/tls/ca.pem" \
                --tlscert="$dir/tls/server.pem" --tlskey="$dir/tls/server-key.pem" --insecure-registry=127.0.0.0/8 || return
        docker pull -q "$REGISTRY/app/bb:1"
} >&2

teardown_file() {
        stop_registry
        stop_dockerd
} >&2

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        TLS=$BATS_FILE_TMPDIR/tls
}

# An authority, a certificate for 127.0.0.1, one for us, and one of an authority that nobody knows.
make_certificates() { # DIR
        mkdir -p "$1/client" "$1/stranger" && cd "$1" || return
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority -keyout ca-key.pem -out ca.pem
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=nobody -keyout stranger/ca-key.pem -out stranger/ca.pem
        printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >server.ext
        printf 'extendedKeyUsage=clientAuth\n' >client.ext
        certify server server server.ext ca && certify client client/cert client.ext ca && mv client/cert-key.pem client/key.pem &&
                certify client stranger/cert client.ext stranger/ca && mv stranger/cert-key.pem stranger/key.pem &&
                cp ca.pem client/ca.pem && cd - >/dev/null
} 2>/dev/null
certify() { # NAME FILE EXTENSIONS AUTHORITY
        openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$2-key.pem" -out "$2.csr" &&
                openssl x509 -req -days 2 -in "$2.csr" -CA "$4.pem" -CAkey "$4-key.pem" -CAcreateserial -extfile "$3" -out "$2.pem"
}

remote() { # DIR-OF-CERTIFICATES COMMAND...
        DOCKER_HOST=tcp://127.0.0.1:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=$TLS/$1 ZLAYER_RUNTIME=docker "${@:2}"
}

@test "docker over TLS: what is run there, through it, and looked at" {
        skip_unless "dockerd is not installed" has_program dockerd
        local image=$REGISTRY/app/bb:1
        run -42 remote client zl run --rm --network none "$image" sh -c 'echo out; exit 42'
        assert_match out
        # More than any buffer, in both directions.
        run -0 remote client timeout 60 bash -c "seq 1 200000 | '$ZL_AGENT' run --rm -i --network none $image md5sum"
        assert_match "$(seq 1 200000 | md5sum)"
        remote client zl run -d --network none --name far "$image" sleep 1000
        remote client zl run -d --network none --name says "$image" sh -c 'echo first; sleep 2; echo second'
        run -0 remote client timeout 60 "$ZL_AGENT" logs -f says
        assert_equal "$output" "$(printf 'first\nsecond')"
        run -7 remote client zl exec far sh -c 'echo inside; exit 7'
        assert_match inside
        assert_equal "$(remote client zl ps --json | jq -r '.[0] | .name + " " + .state')" "run.far.1 running"
        remote client zl rm -f far says
        run -0 remote client zl info
        assert_match 'docker +ready'
}

@test "docker over TLS: who does not belong there is told so" {
        skip_unless "dockerd is not installed" has_program dockerd
        # Certificates of an authority that the other side does not know: we do not trust it, and then it not us.
        run -125 remote stranger zl run "$REGISTRY/app/bb:1" true
        assert_match 'Docker at .*127.0.0.1:2376.*(certificate|SSL)'
        cp "$TLS/ca.pem" "$TLS/stranger/ca.pem"
        run -125 remote stranger zl run "$REGISTRY/app/bb:1" true
        assert_match 'Docker at .*127.0.0.1:2376'
        # The name of the certificate is looked at, too.
        DOCKER_HOST=tcp://localhost:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=$TLS/client run -125 zl --runtime docker run bb true
        assert_match 'localhost:2376.*(certificate|SSL)'
        # Without TLS towards a TLS port.
        DOCKER_HOST=tcp://127.0.0.1:2376 run -125 zl --runtime docker run bb true
        assert_match 'Docker.*127.0.0.1:2376'
        DOCKER_TLS_VERIFY=1 DOCKER_HOST=tcp://127.0.0.1:2376 DOCKER_CERT_PATH=$ZL_DIR/none run -125 zl --runtime docker run bb true
        assert_match "taken from $ZL_DIR/none"
}

@test "docker over plain TCP" {
        skip_unless "dockerd is not installed" has_program dockerd
        start_dockerd "$ZL_DIR/own" --host tcp://127.0.0.1:2375 --tls=false --insecure-registry=127.0.0.0/8
        docker pull -q "$REGISTRY/app/bb:1"
        DOCKER_HOST=tcp://127.0.0.1:2375 run -3 zl --runtime docker run --rm --network none "$REGISTRY/app/bb:1" sh -c 'exit 3'
        DOCKER_HOST=tcp://127.0.0.1:2375 run -0 zl --runtime docker ps -a --json
        assert_equal "$(jq length <<<"$output")" 0
        stop_dockerd
}

# Pulls from $1 (host:port) with each runtime: anonymous, wrong, by the command line, by the configuration file.
pulls_with_credentials() {
        local runtime
        for runtime in native docker; do
                export ZLAYER_RUNTIME=$runtime
                rm -rf "$HOME/.docker"
                run -1 zl image pull "$1/app/bb:1"
                assert_match "$1"
                run -1 zl image pull --username me --password-stdin "$1/app/bb:1" <<<wrong
                assert_match "$1"
                zl image pull --username me --password-stdin "$1/app/bb:1" <<<secret
                zl image rm "$1/app/bb:1"
                mkdir "$HOME/.docker"
                printf '{"auths":{"%s":{"auth":"%s"}}}' "$1" "$(printf me:secret | base64)" >"$HOME/.docker/config.json"
                zl image pull "$1/app/bb:1"
                run -5 zl run --rm --network none "$1/app/bb:1" sh -c 'exit 5'
                zl image rm "$1/app/bb:1"
        done
}

# A registry with the images of ours and another way in; sets $GUARDED.
start_guarded() { # AUTH
        local port=$((32000 + RANDOM % 700))
        printf '%s\n' 'version: 0.1' 'log: {level: warn, accesslog: {disabled: true}}' \
                "storage: {filesystem: {rootdirectory: $REGISTRY_DIR/data}}" "auth: {$1}" \
                "http: {addr: \"127.0.0.1:$port\"}" >"$ZL_DIR/guarded.yml"
        background docker-registry serve "$ZL_DIR/guarded.yml"
        GUARDED=127.0.0.1:$port
        wait_until 10 curl -s "http://$GUARDED/v2/"
}

@test "registry with basic authentication, native and docker" {
        skip_unless "dockerd is not installed" has_program dockerd
        skip_unless "no htpasswd maker" python3 -c 'import crypt; assert crypt.METHOD_BLOWFISH in crypt.methods'
        python3 -W ignore -c 'import crypt; print("me:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH)).replace("$2b$", "$2y$"))' >"$ZL_DIR/htpasswd"
        start_guarded "htpasswd: {realm: test, path: $ZL_DIR/htpasswd}"
        pulls_with_credentials "$GUARDED"
}

@test "registry with token authentication, native and docker" {
        skip_unless "dockerd is not installed" has_program dockerd
        background "$ZL_SOURCE/test/token-server" "$TLS/ca-key.pem" "$TLS/ca.pem" me:secret "$ZL_DIR/token-port"
        wait_until 10 test -s "$ZL_DIR/token-port"
        start_guarded "token: {realm: \"http://127.0.0.1:$(cat "$ZL_DIR/token-port")/token\", service: guarded, issuer: test, rootcertbundle: $TLS/ca.pem}"
        pulls_with_credentials "$GUARDED"
}
