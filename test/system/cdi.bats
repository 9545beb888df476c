# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# Devices by name (Container Device Interface): what a vendor's file says comes into the container. The vendor here has the nodes of memory devices.
load lib

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        import_busybox bb
        export ZLAYER_CDI_DIRS=$ZL_DIR/low:$ZL_DIR/high
        mkdir "$ZL_DIR/low" "$ZL_DIR/high" "$ZL_DIR/library"
        echo driver >"$ZL_DIR/library/driver.so"
        cat >"$ZL_DIR/low/acme.yaml" <<-EOF
		cdiVersion: 0.6.0
		kind: acme.test/dev
		some: {thing: newer}
		containerEdits:
		  env: [ACME=all]
		  mounts: [{hostPath: $ZL_DIR/library, containerPath: /opt/acme, options: [ro, nosuid, nodev, rbind]}]
		devices:
		- name: one
		  containerEdits:
		    env: [DEVICE=one, HOME=/acme]
		    deviceNodes:
		    - {path: /dev/acme0, hostPath: /dev/zero, permissions: rw, fileMode: 432, uid: 12, gid: 34}
		    - {path: /dev/acmectl, type: c, major: 1, minor: 3}
		    hooks: [{hookName: createRuntime, path: /bin/sh, args: [sh, -c, 'cat >$ZL_DIR/hook'], timeout: 10}]
		    additionalGids: [34]
		- name: rights
		  containerEdits: {deviceNodes: [{path: /dev/acme2, type: c, major: 10, minor: 229, permissions: rw}, {path: /dev/acme3, type: c, major: 10, minor: 200, permissions: w}]}
		- name: "two:0"
		  containerEdits: {env: [SECOND=two], deviceNodes: [{path: /dev/acme1, hostPath: /dev/full}]}
	EOF
}
teardown() { zl_teardown; }

@test "cdi: nodes, mounts, variables, groups and hooks of devices by name" {
        # shellcheck disable=SC2016
        run -0 zl run --rm --name c --device acme.test/dev=one --device acme.test/dev=two:0 --env SECOND=mine bb sh -c '
                echo "$ACME $DEVICE $HOME $SECOND"; cat /opt/acme/driver.so; grep -c /opt/acme /proc/mounts
                stat -c "%n %a %u %g %t %T" /dev/acme0 /dev/acmectl /dev/acme1; id -G
                head -c 3 /dev/acme0 | wc -c; echo x >/dev/acme0; exec 2>/dev/null; echo x >/dev/acme1 || echo full; touch /opt/acme/x || echo read-only'
        assert_output "$(printf '%s\n' 'all one /acme two' driver 1 '/dev/acme0 660 12 34 1 5' '/dev/acmectl 666 0 0 1 3' \
                '/dev/acme1 666 0 0 1 7' '0 34' 3 full read-only)"
        # The hook was told of the container.
        assert_equal "$(jq -r .id "$ZL_DIR/hook")" run.c.1
        # Without the device there is nothing of it.
        run -0 zl run --rm bb sh -c 'ls /dev/acme0 /opt/acme 2>&1; env | grep -E "ACME|DEVICE"; :'
        assert_output $'ls: /dev/acme0: No such file or directory\nls: /opt/acme: No such file or directory'
}

@test "cdi: rights are those that both the spec and the file give" {
        cat >spec.yaml <<-'EOF'
		version: v1
		deployment: named
		services:
		  s:
		    image: {name: bb}
		    rtype: job
		    devices: [{path: acme.test/dev=rights, write: false}]
		    command: {entrypoint: [sh, -c, 'for d in 2 3; do (: <$0$d); (: >$0$d); done; :', /dev/acme]}
	EOF
        run -0 zl up spec.yaml
        run -0 zl job logs named.s.1
        # A device without a driver is not there, but allowed.
        assert_equal "$(grep -o 'acme.: Operation not permitted' <<<"$output" | tr '\n' ' ')" \
                'acme2: Operation not permitted acme3: Operation not permitted acme3: Operation not permitted '
        zl down named >/dev/null
}

@test "cdi: the last directory counts, a broken file of another vendor does not" {
        cat >"$ZL_DIR/high/other.json" <<-'EOF'
		{"kind": "acme.test/dev", "devices": [{"name": "one", "containerEdits": {"env": ["DEVICE=high"]}}]}
	EOF
        echo '{' >"$ZL_DIR/high/broken.json"
        # shellcheck disable=SC2016
        run -0 zl run --rm --device acme.test/dev=one bb sh -c 'echo "$DEVICE${ACME-}"'
        assert_output high
        # Two of one name in one directory: neither.
        cp "$ZL_DIR/high/other.json" "$ZL_DIR/high/twice.json"
        run ! zl run --rm --device acme.test/dev=one bb true
        assert_match 'devices\[0\].path: device acme.test/dev=one is in .*other.json and in .*twice.json'
        # What is nowhere may have been in the broken one.
        run ! zl run --rm --device acme.test/dev=three bb true
        assert_match 'device acme.test/dev=three is in no file of .*; .*broken.json'
        assert_equal "$(zl ps -a -q)" ""
}

@test "cdi: a file that others may write is not believed, and what is wrong in one is told" {
        chmod 666 "$ZL_DIR/low/acme.yaml"
        run ! zl run --rm --device acme.test/dev=one bb true
        assert_match 'acme.yaml is not believed: others than root and the present user may write it'
        chmod 644 "$ZL_DIR/low/acme.yaml"
        chown 65534 "$ZL_DIR/low/acme.yaml"
        run ! zl run --rm --device acme.test/dev=one bb true
        assert_match 'is not believed'
        rm "$ZL_DIR/low/acme.yaml"
        local edits
        while IFS='|' read -r edits message; do
                printf '{"kind": "acme.test/dev", "devices": [{"name": "x", "containerEdits": %s}]}\n' "$edits" >"$ZL_DIR/low/x.json"
                run ! zl run --rm --device acme.test/dev=x bb true
                assert_match "devices\\[0\\].path: .*$message"
        done <<-'EOF'
		{"env": ["NOVALUE"]}|NOVALUE
		{"deviceNodes": [{"path": "dev/x"}]}|not absolute
		{"deviceNodes": [{"path": "/dev/no-such"}]}|no-such
		{"deviceNodes": [{"path": "/dev/null", "permissions": "x"}]}|permissions
		{"mounts": [{"hostPath": "/", "containerPath": "/proc"}]}|containerPath
		{"hooks": [{"hookName": "never", "path": "/bin/true"}]}|never
	EOF
        run ! zl run --rm --device acme.test/dev= bb true
        assert_match 'VENDOR/CLASS=NAME'
        assert_equal "$(zl ps -a -q)" ""
}
