# SPDX-License-Identifier: Apache-2.0
# WebAssembly from registries: every layout of artifacts that tools push, images for a platform wasm, and components.
load lib

setup_file() {
        [ -x "$ZL_BUILD/zlayer-wasm" ] || return 0
        start_registry
        export GUEST=$BATS_FILE_TMPDIR/world.wasm ZLAYER_WASM_CACHE_DIR=$BATS_FILE_TMPDIR/cache
        clang --target=wasm32-wasi --sysroot=/usr -O1 -o "$GUEST" "$ZL_SOURCE/test/wasm/world.c"
        WASMTIME=$("$ZL_SOURCE/tools/wasmtime" cli) || WASMTIME=
        JCO=$("$ZL_SOURCE/tools/wasmtime" jco) || JCO=
        export WASMTIME JCO
}
teardown_file() { [ ! -x "$ZL_BUILD/zlayer-wasm" ] || stop_registry; }

setup() {
        zl_setup
        skip_unless "built without WebAssembly" test -x "$ZL_BUILD/zlayer-wasm"
}

# put_blob FILE: into the registry; prints its digest.
put_blob() {
        local digest where
        digest=sha256:$(sha256sum "$1" | cut -d' ' -f1)
        where=$(curl -sf -X POST -D - -o /dev/null "http://$REGISTRY/v2/a/wasm/blobs/uploads/" | tr -d '\r' | awk 'tolower($1) == "location:" { print $2 }')
        [[ $where == http* ]] || where=http://$REGISTRY$where
        curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$1" -G --url "$where" --data-urlencode "digest=$digest" -o /dev/null 2>/dev/null ||
                curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$1" "$where&digest=$digest" -o /dev/null
        echo "$digest"
}

# push_artifact TAG ARTIFACT-TYPE CONFIG-TYPE LAYER-TYPE FILE
push_artifact() {
        echo '{}' >config
        local config layer
        config=$(put_blob config) && layer=$(put_blob "$5")
        jq -n --arg a "$2" --arg ct "$3" --arg lt "$4" --arg c "$config" --arg l "$layer" --argjson n "$(stat -c %s "$5")" \
                '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: {mediaType: $ct, digest: $c, size: 3},
                  layers: [{mediaType: $lt, digest: $l, size: $n}]} + if $a == "" then {} else {artifactType: $a} end' >manifest
        curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary @manifest \
                "http://$REGISTRY/v2/a/wasm/manifests/$1" -o /dev/null
}

@test "artifacts in every layout run from a real registry" {
        local n=0 artifact config layer
        while read -r artifact config layer; do
                n=$((n + 1))
                push_artifact "v$n" "${artifact#-}" "$config" "$layer" "$GUEST"
                run -6 zl run --rm "$REGISTRY/a/wasm:v$n" exit 6
                assert_equal "$(zl image ls --json | jq -r --arg t "a/wasm:v$n" '.[] | select(.name | endswith($t)) | .kind')" wasm
        done <<-'END'
	application/vnd.wasm.module.v1+wasm application/vnd.oci.empty.v1+json application/vnd.wasm.content.layer.v1+wasm
	- application/vnd.wasm.config.v0+json application/wasm
	- application/vnd.wasm.config.v1+json application/vnd.wasm.content.layer.v1+wasm
	- application/vnd.oci.image.config.v1+json application/vnd.module.wasm.content.layer.v1+wasm
	- application/vnd.unknown.config.v1+json application/wasm
	END
        assert_equal "$n" 5
}

@test "a blob that is no module is refused when it is pulled" {
        head -c 300 /dev/urandom >noise
        push_artifact noise "" application/vnd.wasm.config.v0+json application/wasm noise
        run zl run --rm "$REGISTRY/a/wasm:noise"
        [ "$status" != 0 ]
        assert_match "is no WebAssembly module"
        assert_equal "$(zl ps -a --json | jq length)" 0
}

@test "an image for the platform wasi/wasm sees its files" {
        mkdir -p layer/etc && cp "$GUEST" layer/app.wasm && echo from-the-image >layer/etc/message
        mkimage --os wasip1 --arch wasm --entrypoint /app.wasm layout layer
        push_image "$ZL_DIR/layout" a/platform:1
        run -0 --separate-stderr zl run --rm --pull always "$REGISTRY/a/platform:1" read /etc/message
        assert_equal "$output" from-the-image
}

@test "a component made by real tools agrees with wasmtime" {
        skip_unless "no program jco can be fetched" test -x "$JCO"
        timeout 60 "$JCO" new "$GUEST" --wasi-command -o component.wasm >/dev/null
        zl image import component.wasm component
        run -0 zl run --rm -e A=b component world "x y"
        assert_equal "$output" "$(printf 'arg world\narg x y\nenv A=b')"
        run -1 zl run --rm component exit 9
        mkdir data && echo content >data/file
        run -0 zl run --rm -v "$ZL_DIR/data:/data:ro" component read /data/file
        assert_equal "$output" content
        skip_unless "no program wasmtime can be fetched" test -x "$WASMTIME"
        "$WASMTIME" run component.wasm much 3000 >theirs
        zl run --rm component much 3000 >ours
        cmp ours theirs
        run -1 "$WASMTIME" run component.wasm exit 9
}
