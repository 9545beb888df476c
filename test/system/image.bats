# SPDX-License-Identifier: Apache-2.0
# Images: from registries, files and archives into the store, and out of it.
load lib

setup_file() {
        start_registry
        push_image "$(busybox_layout)" app/bb:1
        push_image "$(debian_layout)" app/debian:1
}
teardown_file() { stop_registry; }

layers_dir() { echo "$ZLAYER_ROOT_DIR/images/layers"; }
inspect() { zl image inspect "$1" | jq -r ".[0]$2"; }

# Nothing half-made may be visible: only what the index names, and no temporary places.
assert_store_is_empty() {
        assert_equal "$(find "$ZLAYER_ROOT_DIR/images/layers" "$ZLAYER_ROOT_DIR/images/tmp" -mindepth 1 | wc -l)" 0
        assert_equal "$(zl image ls --json | jq length)" 0
}

# Mounts the layers of an image read-only in a private namespace and runs a script in them.
in_image() { # IMAGE SCRIPT
        local dirs
        dirs=$(inspect "$1" '.layers | reverse | join(":")')
        mkdir -p "$ZL_DIR/mnt"
        [[ $dirs == *:* ]] || dirs+=:$ZL_DIR/mnt
        unshare -m sh -c "mount -t overlay overlay -o 'lowerdir=$dirs' '$ZL_DIR/mnt' && cd '$ZL_DIR/mnt' && $2"
}

fake() { # OPTIONS...
        background "$ZL_SOURCE/test/fake-registry" "$@" "$(busybox_layout)" "$ZL_DIR/port"
        wait_until 10 test -s "$ZL_DIR/port"
        FAKE=127.0.0.1:$(cat "$ZL_DIR/port")
}

@test "pull from a real registry: digests, platform, content" {
        run -0 --separate-stderr zl image pull "$REGISTRY/app/bb:1"
        assert_match '^sha256:[0-9a-f]{64}$'
        assert_equal "$output" "$(skopeo inspect --tls-verify=false "docker://$REGISTRY/app/bb:1" | jq -r .Digest)"
        assert_equal "$(inspect "$REGISTRY/app/bb:1" .config.os)" linux
        run -0 in_image "$REGISTRY/app/bb:1" './bin/busybox echo works'
        assert_output works
        run -0 zl image ls
        assert_match "$REGISTRY/app/bb:1 +[0-9a-f]{12} +linux/"
}

@test "pull: several layers with white-outs and an opaque directory look as the image's author saw them" {
        zl image pull "$REGISTRY/app/debian:1"
        run -0 in_image "$REGISTRY/app/debian:1" 'ls usr/share/zoneinfo/Europe; test ! -e usr/share/zoneinfo/Africa
                test ! -e usr/share/doc/tar && cat etc/changed && stat -c %a usr/bin/su'
        assert_output $'Only\nchanged\n4755'
}

@test "pull: unknown image, unknown tag, registry down" {
        run -1 zl image pull "$REGISTRY/app/none:1"
        assert_match "registry $REGISTRY has no 1 of app/none"
        run -1 zl image pull "$REGISTRY/app/bb:none"
        assert_match 'has no none of app/bb'
        run -1 zl image pull 127.0.0.1:9/app/bb:1
        assert_match 'image 127.0.0.1:9/app/bb:1: http://127.0.0.1:9/.*[Cc]onnect'
        run -2 zl image pull 'No/Good'
        assert_match 'not of the form'
        assert_store_is_empty
}

@test "libcurl is loaded for a transfer only; where it is missing, a pull says so and all else works" {
        run -0 ldd "$ZL_AGENT"
        assert_no_match 'curl|libssl|libcrypto'
        [ "$(grep -c '=> /' <<<"$output")" -le 4 ] # libc, libm, libisal: each costs every command 0.1 ms
        local library
        library=$(ldconfig -p | awk '$1 == "libcurl.so.4" { print $NF; exit }')
        run -1 unshare -m sh -c "mount --bind /dev/null '$(realpath "$library")' && '$ZL_AGENT' image pull '$REGISTRY/app/bb:1'"
        assert_match 'libcurl.so.4 is needed to talk to a registry and does not load'
        run -0 unshare -m sh -c "mount --bind /dev/null '$(realpath "$library")' && '$ZL_AGENT' image import '$(busybox_layout)' bb"
        assert_equal "$(zl image ls --json | jq length)" 1
}

@test "pull policies: never, if_not_present, newer and always" {
        run -1 zl image pull --policy never "$REGISTRY/app/bb:1"
        assert_match 'policy is never'
        push_image "$(busybox_layout)" "app/moving:latest"
        zl image pull --policy if_not_present "$REGISTRY/app/moving"
        old=$(inspect "$REGISTRY/app/moving" .digest)
        push_image "$(debian_layout)" "app/moving:latest"
        run -0 --separate-stderr zl image pull --policy never "$REGISTRY/app/moving"
        assert_output "$old"
        run -0 --separate-stderr zl image pull --policy if_not_present "$REGISTRY/app/moving" # latest: acts as newer
        [ "$output" != "$old" ]
        zl image pull "$REGISTRY/app/bb:1"
        old=$(inspect "$REGISTRY/app/bb:1" .digest)
        push_image "$(debian_layout)" "app/bb:1"
        run -0 --separate-stderr zl image pull --policy if_not_present "$REGISTRY/app/bb:1"
        assert_output "$old"
        run -0 --separate-stderr zl image pull --policy always "$REGISTRY/app/bb:1"
        [ "$output" != "$old" ]
        push_image "$(busybox_layout)" app/bb:1
}

@test "newer: a registry that cannot be asked leaves the image that is here in use, and says so" {
        fake
        zl image pull "$FAKE/app"
        kill "$ZL_BG"
        wait_until 5 sh -c "! curl -s http://$FAKE/"
        run -0 zl image pull --policy newer "$FAKE/app"
        assert_match 'using what is here'
        run -1 zl image pull --policy always "$FAKE/app"
}

# silent PORT [BACKLOG CONNECTIONS]: somebody listens and never says a word; once the backlog is full, packets are dropped.
silent() {
        background python3 -c '
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=int(sys.argv[2]), reuse_port=False)
taken = []
for _ in range(int(sys.argv[3])):
    taken.append(socket.socket())
    taken[-1].setblocking(False)
    taken[-1].connect_ex(listener.getsockname())
print("ready", flush=True)
time.sleep(600)' "$1" "${2:-100}" "${3:-0}"
        wait_until 20 grep -q ready "$ZL_BG_LOG"
}

@test "newer: a registry that is silent, or to which packets are lost, does not hold up an image that is here" {
        fake
        zl image pull "$FAKE/app"
        kill "$ZL_BG"
        wait_until 20 sh -c "! curl -s http://$FAKE/"
        printf '%s\n' 'version: v1' "deployment: app-$ZL_ID" 'services:' \
                "  web: {image: {name: '$FAKE/app', pull_policy: newer}, network_mode: none, command: {entrypoint: [/bin/busybox, sleep, '1000']}}" >app.yaml
        for how in "" "0 3"; do
                silent "${FAKE#*:}" $how
                # Without a bound it would take more than two minutes.
                run -0 timeout 60 "$ZL_AGENT" image pull --policy newer "$FAKE/app"
                assert_match 'using what is here'
                run -0 timeout 60 "$ZL_AGENT" up -d app.yaml
                assert_equal "$(zl --json ps | jq -r '.[].state')" running
                zl down --all >/dev/null
                kill "$ZL_BG"
                wait_until 20 sh -c "! kill -0 $ZL_BG"
        done
}

@test "pull by digest is pinned and verified" {
        digest=$(skopeo inspect --tls-verify=false "docker://$REGISTRY/app/bb:1" | jq -r .Digest)
        zl image pull "$REGISTRY/app/bb@$digest"
        run -0 --separate-stderr zl image pull --policy never "$REGISTRY/app/bb@$digest"
        assert_output "$digest"
        fake --bad-manifest
        run -1 zl image pull "$FAKE/app@$digest"
        assert_match 'another manifest|has no'
}

@test "bearer tokens, anonymous and with a user; basic; wrong credentials" {
        fake --token
        zl image pull "$FAKE/app"
        kill "$ZL_BG"; rm "$ZL_DIR/port"
        fake --token --user 'me:se:cret'
        run -1 zl image pull "$FAKE/app"
        assert_match 'refuses anonymous access'
        run -0 zl image pull --username me --password-stdin "$FAKE/app" <<<'se:cret'
        run -1 zl image pull --username me --password-stdin "$FAKE/app" <<<'wrong'
        assert_match 'refuses our user name'
        kill "$ZL_BG"; rm "$ZL_DIR/port"
        fake --basic --user me:secret
        run -1 zl image pull "$FAKE/app"
        assert_match 'wants a user name and password'
        mkdir "$HOME/.docker"
        printf '{"auths":{"%s":{"auth":"%s"}}}' "$FAKE" "$(printf me:secret | base64)" >"$HOME/.docker/config.json"
        zl image pull "$FAKE/app"
        printf '{"auths":{"https://%s":{"username":"me","password":"secret"}}}' "$FAKE" >"$HOME/.docker/config.json"
        zl image pull "$FAKE/app"
        printf '{"auths":{"%s":{"auth":"!!"}}}' "$FAKE" >"$HOME/.docker/config.json"
        run -1 zl image pull "$FAKE/app"
        assert_match 'malformed "auth"'
}

@test "search: a real registry has a catalog, page by page" {
        local i repository=$REGISTRY_DIR/data/docker/registry/v2/repositories
        # What makes a repository is that it has a manifest; a catalog has a hundred on a page.
        for i in $(seq 100 359); do
                mkdir -p "$repository/many"
                cp -r "$repository/app/bb" "$repository/many/n$i"
        done
        run -0 zl image search --quiet "$REGISTRY/bb"
        assert_output "$REGISTRY/app/bb"
        run -0 zl image search --quiet --limit 0 "$REGISTRY/many/"
        assert_equal "${#lines[@]}" 260
        assert_equal "${lines[259]}" "$REGISTRY/many/n359"
        run -0 zl image search --json "$REGISTRY/many/n"
        assert_equal "$(jq length <<<"$output")" 25
        assert_equal "$(jq -c '.[0]' <<<"$output")" "{\"name\":\"$REGISTRY/many/n100\",\"description\":\"\",\"stars\":0,\"official\":false}"
        # The name itself comes first, and can be pulled.
        cp -r "$repository/app/bb" "$repository/many/n2"
        run -0 zl image search --quiet "$REGISTRY/many/n2"
        assert_equal "${lines[0]}" "$REGISTRY/many/n2"
        [ "${#lines[@]}" = 25 ]
        zl image pull "${lines[0]}:1"
        run -0 zl image search --quiet --limit 0 "$REGISTRY/"
        [ "${#lines[@]}" -ge 263 ]
        rm -r "$repository/many"
        run -0 zl image search --quiet "$REGISTRY/no-such"
        assert_output ""
        run -1 zl image search 127.0.0.1:9/app
        assert_match 'search for 127.0.0.1:9/app: http://127.0.0.1:9/.*[Cc]onnect'
        run -2 zl image search ''
        assert_match 'nothing to search for'
        run -2 zl image search 'a..b:x/app'
}

@test "search: the old one, with tokens and credentials; what answers no search at all" {
        fake --search --token --user me:secret
        run -1 zl image search "$FAKE/app"
        assert_match 'refuses anonymous access'
        run -0 zl image search --username me --password-stdin "$FAKE/app" <<<secret
        assert_equal "${#lines[@]}" 3
        assert_match "^NAME +STARS +OFFICIAL +DESCRIPTION" "${lines[0]}"
        assert_match "^$FAKE/app +12 +yes +-" "${lines[1]}"
        assert_match "^$FAKE/some/app +7 +- +an app \\[31m from somebody" "${lines[2]}"
        run -0 zl image search --limit 1 --json --username me --password-stdin "$FAKE/app" <<<secret
        assert_equal "$(jq length <<<"$output")" 1
        grep -q 'GET /v1/search?q=app&n=1 - Bearer' "$ZL_DIR/port.log"
        run ! grep -q _catalog "$ZL_DIR/port.log"
        kill "$ZL_BG"; rm "$ZL_DIR/port"
        fake
        run -1 zl image search "$FAKE/app"
        assert_match "registry $FAKE answered 404 for its catalog .NAME_UNKNOWN: no such thing"
        kill "$ZL_BG"; rm "$ZL_DIR/port"
        fake --basic --user me:secret
        run -1 zl image search "$FAKE/app"
        assert_match 'wants a user name and password'
        run -1 zl image search --username me --password-stdin "$FAKE/app" <<<wrong
        assert_match 'refuses access to its catalog'
        kill "$ZL_BG"; rm "$ZL_DIR/port"
        # The next page is asked for where the first one was, and for ever is too long.
        fake --catalog '{"repositories": ["app@"]}'
        run -0 zl image search --quiet --limit 3 "$FAKE/app"
        assert_output "$FAKE/app0"$'\n'"$FAKE/app1"$'\n'"$FAKE/app2"
        run -1 zl image search --quiet --limit 0 "$FAKE/app"
        assert_match "the catalog of registry $FAKE has no end"
        kill "$ZL_BG"; rm "$ZL_DIR/port"
        fake --catalog '{"repositories": "app"}'
        run -1 zl image search "$FAKE/app"
        assert_match 'something else than a catalog'
        run -2 zl image search --username me "$FAKE/app"
        assert_match 'go together'
}

@test "a real registry with htpasswd" {
        skip_unless "no htpasswd maker" python3 -c 'import crypt; assert crypt.METHOD_BLOWFISH in crypt.methods'
        local data=$REGISTRY_DIR/data
        python3 -W ignore -c 'import crypt; print("me:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH)).replace("$2b$", "$2y$"))' >"$ZL_DIR/htpasswd"
        port=$((32000 + RANDOM % 700))
        printf '%s\n' 'version: 0.1' 'log: {level: warn, accesslog: {disabled: true}}' \
                "storage: {filesystem: {rootdirectory: $data}}" \
                "auth: {htpasswd: {realm: test, path: $ZL_DIR/htpasswd}}" \
                "http: {addr: \"127.0.0.1:$port\"}" >"$ZL_DIR/auth.yml"
        background docker-registry serve "$ZL_DIR/auth.yml"
        wait_until 10 curl -s "http://127.0.0.1:$port/v2/"
        run -1 zl image pull "127.0.0.1:$port/app/bb:1"
        assert_match 'wants a user name and password'
        zl image pull --username me --password-stdin "127.0.0.1:$port/app/bb:1" <<<secret
        run -1 zl image search "127.0.0.1:$port/bb"
        assert_match 'wants a user name and password'
        run -0 zl image search --quiet --username me --password-stdin "127.0.0.1:$port/bb" <<<secret
        assert_output "127.0.0.1:$port/app/bb"
}

@test "progress: bars on a terminal, a line for each layer elsewhere" {
        layers=$(skopeo inspect --tls-verify=false "docker://$REGISTRY/app/debian:1" | jq '.Layers | length')
        run -0 script -qec "stty cols 100; '$ZL_AGENT' image pull $REGISTRY/app/debian:1" /dev/null
        assert_match $'\033\\[2K[0-9a-f]{12}  (downloading|unpacking) +\\[[#.]{30}\\]  '
        assert_equal "$(grep -o '[0-9a-f]\{12\}  done' <<<"$output" | sort -u | wc -l)" "$layers"
        zl image rm "$REGISTRY/app/debian:1"
        zl image prune
        zl image pull "$REGISTRY/app/debian:1" >out 2>err
        assert_match '^sha256:[0-9a-f]{64}$' "$(cat out)"
        assert_equal "$(grep -cx 'layer [0-9a-f]\{12\}: done, .*B' err)" "$layers"
        assert_no_match $'\033' "$(cat err)"
}

@test "a connection cut in mid-layer is taken up again with a range, or without if the server knows none" {
        fake --cut 300000 --cuts 2
        zl image pull "$FAKE/app"
        grep -q 'bytes=300000-' "$ZL_DIR/port.log"
        kill "$ZL_BG"; rm "$ZL_DIR/port"
        export ZLAYER_ROOT_DIR=$ZL_DIR/root2
        fake --cut 300000 --cuts 1 --no-range
        zl image pull "$FAKE/app"
        run -0 in_image "$FAKE/app" './bin/busybox echo works'
        assert_output works
}

@test "a connection that is always cut gives up with a clear error and leaves nothing" {
        fake --cut 5000 --no-range
        run -1 zl image pull "$FAKE/app"
        assert_match '[Tt]ransfer closed|only .* bytes'
        assert_store_is_empty
}

@test "a wrong digest is told as such and leaves nothing" {
        fake --flip
        run -1 zl image pull "$FAKE/app"
        assert_match 'does not match its digest'
        assert_store_is_empty
}

@test "a busy registry is asked again; redirects go without credentials; absurd manifests are refused" {
        fake --busy 2
        zl image pull "$FAKE/app"
        kill "$ZL_BG"; rm "$ZL_DIR/port"
        export ZLAYER_ROOT_DIR=$ZL_DIR/root2
        fake --redirect --token
        zl image pull "$FAKE/app"
        kill "$ZL_BG"; rm "$ZL_DIR/port"
        fake --big-manifest
        run -1 zl image pull "$FAKE/app"
        assert_match 'larger than 4194304 bytes'
}

@test "index: the entry of the platform is taken, another can be asked for, none is an error" {
        layout=$(busybox_layout)
        cp -r "$layout" idx
        jq '.manifests[0].platform = {os: "linux", architecture: "s390x"} | .manifests |= [.[0]]' "$layout/index.json" >idx/index.json
        background "$ZL_SOURCE/test/fake-registry" idx "$ZL_DIR/port"
        wait_until 10 test -s "$ZL_DIR/port"
        FAKE=127.0.0.1:$(cat "$ZL_DIR/port")
        run -1 zl image pull "$FAKE/app:index"
        assert_match 'no image for linux/.*offered for: linux/s390x|no image for linux/'
        zl image pull --platform linux/s390x "$FAKE/app:index"
        run -2 zl image pull --platform nonsense "$FAKE/app:index"
        assert_match 'not a platform'
}

@test "disk full: a clear error, and nothing is left" {
        mkdir small
        unshare -m sh -c "mount -t tmpfs -o size=1200k tmpfs small && mkdir small/root &&
                ! ZLAYER_ROOT_DIR=\$PWD/small/root '$ZL_AGENT' image pull $REGISTRY/app/bb:1 2>err 3>&- &&
                find small/root/images/layers small/root/images/tmp -mindepth 1 >left"
        assert_match 'No space left on device' "$(cat err)"
        assert_equal "$(cat left)" ''
}

@test "killed in the middle of a pull: nothing is visible, and the next command sweeps" {
        fake --hang
        background "$ZL_AGENT" image pull "$FAKE/app"
        wait_until 10 sh -c "ls $ZLAYER_ROOT_DIR/images/tmp | grep -q ."
        kill -KILL "$ZL_BG"
        wait "$ZL_BG" || :
        run -0 zl image ls --json
        assert_output '[]'
        assert_store_is_empty
}

@test "a signal stops a pull soon and cleanly" {
        fake --hang
        # Shells start background processes with SIGINT ignored: TERM means the same to us.
        background "$ZL_AGENT" image pull "$FAKE/app"
        wait_until 10 sh -c "ls $ZLAYER_ROOT_DIR/images/tmp | grep -q ."
        kill -TERM "$ZL_BG"
        wait_until 5 sh -c "! kill -0 $ZL_BG"
        assert_equal "$(ls "$ZLAYER_ROOT_DIR/images/tmp")" ''
}

@test "several processes pull the same image at once: each layer is unpacked once" {
        for i in 1 2 3 4; do background zl image pull "$REGISTRY/app/debian:1"; done
        while read -r pid; do wait "$pid"; done <"$ZL_DIR/.children"
        assert_equal "$(find "$(layers_dir)" -mindepth 1 -maxdepth 1 | wc -l)" 4
        assert_equal "$(cat "$ZL_DIR"/bg.* | grep -c ': done')" 4
        assert_equal "$(ls "$ZLAYER_ROOT_DIR/images/locks")" ''
}

@test "import: OCI layout directory and tar, docker-save archive, plain tar, each compressed, too" {
        layout=$(busybox_layout)
        run -0 --separate-stderr zl image import "$layout" bb
        digest=$output
        run -0 zl image inspect docker.io/library/bb:latest
        tar -C "$layout" -cf l.tar .
        run -0 --separate-stderr zl image import l.tar bb2
        assert_output "$digest"
        gzip -k l.tar
        run -0 --separate-stderr zl image import l.tar.gz bb3
        assert_output "$digest"
        skopeo copy -q --insecure-policy "oci:$layout:latest" docker-archive:d.tar:x:1
        run -0 --separate-stderr zl image import d.tar bb4
        run -0 in_image bb4 './bin/busybox echo works'
        assert_output works
        mkdir -p plain/etc && echo hello >plain/etc/motd && chown -R 12:34 plain && tar -C plain -cf p.tar .
        zstd -q p.tar && gzip -k p.tar
        for f in p.tar p.tar.gz p.tar.zst; do
                zl image import $f plain
                run -0 in_image plain 'cat etc/motd; stat -c %u:%g etc/motd'
                assert_output $'hello\n12:34'
        done
        run -0 --separate-stderr zl image pull --policy if_not_present bb # found without any registry
        assert_output "$digest"
        run -1 zl image import plain x
        assert_match 'no OCI image layout'
        run -1 zl image import "$ZL_AGENT" x
        assert_match 'no tar archive'
        run -1 zl image import /missing x
        assert_match 'cannot open /missing'
}

@test "layers in gzip, zstd and uncompressed make the same image" {
        mkdir -p r/d && echo x >r/d/f
        for how in gzip zstd none; do
                mkimage --compress $how "l.$how" r
                zl image import "l.$how" "i-$how"
        done
        assert_equal "$(inspect i-gzip .id)" "$(inspect i-zstd .id)"
        assert_equal "$(inspect i-gzip .id)" "$(inspect i-none .id)"
        assert_equal "$(find "$(layers_dir)" -mindepth 1 -maxdepth 1 | wc -l)" 1
}

@test "save: rebuilt bit for bit; docker, skopeo and we read it" {
        zl image import "$(debian_layout)" deb
        zl image save deb -o s.tar
        run -0 skopeo inspect docker-archive:s.tar
        run -0 skopeo inspect oci-archive:s.tar
        id=$(inspect deb .id)
        export ZLAYER_ROOT_DIR=$ZL_DIR/root2
        zl image import s.tar deb
        assert_equal "$(inspect deb .id)" "$id"
        diff <(cd "$ZL_DIR/root/images/layers" && find . -mindepth 2 ! -type c -printf '%p %M %u %g %s %T@ %l %n\n' | sort) \
                <(cd "$ZL_DIR/root2/images/layers" && find . -mindepth 2 ! -type c -printf '%p %M %u %g %s %T@ %l %n\n' | sort)
}

@test "tag, rm and prune: shared layers stay until the last name goes" {
        zl image import "$(busybox_layout)" a
        zl image tag a b:2
        run -0 zl image ls -q
        assert_output $'docker.io/library/a:latest\ndocker.io/library/b:2'
        zl image rm a
        run -0 in_image b:2 './bin/busybox echo works'
        zl image rm "$(inspect b:2 .id | cut -c8-19)"
        assert_store_is_empty
        assert_equal "$(find "$ZLAYER_ROOT_DIR/images/blobs" "$ZLAYER_ROOT_DIR/images/meta" -type f | wc -l)" 0
        run -1 zl image rm a
        assert_match 'not in the store'
        zl image import "$(busybox_layout)" a
        run -0 zl image prune
        run -0 zl image ls -q
        assert_output docker.io/library/a:latest
        run -0 zl image prune --all
        assert_match 'freed [1-9]'
        assert_store_is_empty
}

@test "an image in use is not removed, and its content survives even --force and prune" {
        zl image import "$(busybox_layout)" a
        digest=$(inspect a .digest)
        echo "$digest" >"$ZLAYER_ROOT_DIR/images/holds/run.web.1"
        run -1 zl image rm a
        assert_match 'in use by run.web.1'
        run -0 zl image prune --all
        run -0 zl image inspect a
        zl image rm --force a
        zl image prune --all
        run -0 zl image inspect "$digest"
        rm "$ZLAYER_ROOT_DIR/images/holds/run.web.1"
        zl image prune
        assert_store_is_empty
}

@test "imports, removals and prunes at the same time: no import fails, nothing is lost or left" {
        layout=$(busybox_layout)
        for job in 'prune --all' "import -q $layout a" 'rm a' "import -q $layout b" 'prune'; do
                background sh -c "while [ \$(date +%s) -lt $(($(date +%s) + 4)) ]; do '$ZL_AGENT' image $job || echo FAILED; done"
        done
        while read -r pid; do wait "$pid"; done <"$ZL_DIR/.children"
        assert_equal "$(grep -l FAILED "$ZL_DIR"/bg.* | grep -v 'bg.3$')" '' # rm may find it gone
        zl image import "$layout" b
        run -0 in_image b './bin/busybox echo works'
        zl image prune --all
        assert_store_is_empty
        assert_equal "$(find "$ZLAYER_ROOT_DIR/images/blobs" "$ZLAYER_ROOT_DIR/images/meta" -type f | wc -l)" 0
}

@test "hostile archives are refused with a clear error and touch nothing outside" {
        rm -rf /tmp/zl-hostile
        mkdir /tmp/zl-hostile
        echo safe >/tmp/zl-hostile/victim
        before=$(stat -c '%n %a %u %Y' /tmp/zl-hostile /tmp/zl-hostile/* /etc/passwd | md5sum; ls -A /tmp/zl-hostile)
        failed=
        for forbid in '' openat2; do
                for case in $("$ZL_SOURCE/test/mktar" --list); do
                        "$ZL_SOURCE/test/mktar" "$case" h.tar
                        run env ZL_FORBID=$forbid "$ZL_AGENT" image import h.tar evil 3>&-
                        if [ "$status" -ne 1 ] || [[ ! $output =~ refused|broken|not\ in\ this\ layer|unknown\ tar|beyond ]]; then
                                failed+="$case (forbid: $forbid): status $status: $output"$'\n'
                        fi
                done
        done
        after=$(stat -c '%n %a %u %Y' /tmp/zl-hostile /tmp/zl-hostile/* /etc/passwd | md5sum; ls -A /tmp/zl-hostile)
        rm -rf /tmp/zl-hostile
        assert_equal "$failed" ''
        assert_equal "$after" "$before"
        assert_store_is_empty
}

@test "unusual archives that are allowed come out right" {
        for case in merged-usr xattrs replace root-only; do
                "$ZL_SOURCE/test/mktar" "$case" a.tar
                zl image import a.tar "$case" 2>"said.$case"
        done
        cd "$(inspect merged-usr '.layers[0]')"
        assert_equal "$(cat usr/lib/f)" through
        cd "$(inspect xattrs '.layers[0]')"
        if setfattr -n user.zl -v 1 "$ZL_DIR"; then
                assert_equal "$(getfattr -m - -d f 2>/dev/null | grep -v '^#' | tr -d '\n')" 'user.color="blue"'
        else # a tmpfs before Linux 6.6
                grep -q 'no user attributes' "$ZL_DIR/said.xattrs"
        fi
        cd "$(inspect replace '.layers[0]')"
        assert_equal "$(cat a b/c d/c)" $'newinin'
        assert_equal "$(stat -c %a "$(inspect root-only '.layers[0]')")" 711
        cd /
}

@test "WebAssembly artifacts are told from container images" {
        mkdir -p w/blobs/sha256
        printf '\0asm\1\0\0\0\0' >m
        printf '{}' >c
        for f in m c; do cp $f "w/blobs/sha256/$(sha256sum $f | cut -d' ' -f1)"; done
        m=$(sha256sum m | cut -d' ' -f1) c=$(sha256sum c | cut -d' ' -f1)
        printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.wasm.config.v0+json","digest":"sha256:%s","size":2},"layers":[{"mediaType":"application/wasm","digest":"sha256:%s","size":9,"annotations":{"org.opencontainers.image.title":"hello.wasm"}}]}' "$c" "$m" >doc
        d=$(sha256sum doc | cut -d' ' -f1)
        cp doc "w/blobs/sha256/$d"
        printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d}]}' "$d" "$(stat -c %s doc)" >w/index.json
        printf '{"imageLayoutVersion":"1.0.0"}' >w/oci-layout
        zl image import w hello
        assert_equal "$(inspect hello .kind)" wasm
        cmp "$(inspect hello .module)" m
}
