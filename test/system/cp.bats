#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Files between the host and containers: `cp`, and archives on standard input and output.
load lib

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        zl image import "$(busybox_layout)" bb
}
teardown() { zl_teardown; }

tree() { (cd "$1" && find . -printf '%p %y %m %l\n' | sort); }

@test "cp: a tree in and out again is the same, running, ended, and under a new name" {
        mkdir -p "t/sub/empty"
        echo one >t/one
        echo two >"t/sub/two words"
        chmod 640 t/one
        ln -s ../one t/sub/link
        ln -s /etc/passwd t/sub/absolute
        head -c 3000000 /dev/urandom >t/large
        zl run -d --name c bb sleep 600
        zl cp t c:/tmp
        run -0 zl exec c sh -c 'cat /tmp/t/one "/tmp/t/sub/two words"; stat -c %u:%g:%a /tmp/t/one; readlink /tmp/t/sub/link'
        assert_output $'one\ntwo\n0:0:640\n../one'
        zl cp c:/tmp/t out
        assert_equal "$(tree out)" "$(tree t)"
        cmp t/large out/large
        # Into a directory that exists it goes under its own name; "/." is what is in it.
        mkdir into flat
        zl cp c:/tmp/t into
        assert_equal "$(tree into/t)" "$(tree t)"
        zl cp c:/tmp/t/. flat
        assert_equal "$(tree flat)" "$(tree t)"
        zl cp t/. c:/tmp/flat
        run -0 zl exec c ls /tmp/flat
        assert_output $'large\none\nsub'
        zl cp t/one c:/tmp/new-name
        assert_equal "$(zl exec c cat /tmp/new-name)" one
        zl stop -t 1s c
        zl cp c:/tmp/new-name back
        assert_equal "$(cat back)" one
        zl cp back run.c.1:/tmp/later
        zl cp c:/tmp/later - | tar -xO later | grep -qx one
        zl rm c
}

@test "cp: archives on standard input and output" {
        mkdir a
        echo x >a/x
        zl run -d --name c bb sleep 600
        tar -C a -cf - x | zl cp - c:/tmp
        assert_equal "$(zl exec c cat /tmp/x)" x
        assert_equal "$(zl cp c:/tmp - | tar -t | sort | tr '\n' ' ')" 'tmp/ tmp/x '
        zl rm -f c
}

@test "cp: owners and set-user-id only when they are asked for; devices never" {
        zl run -d --name c bb sh -c 'echo x >/tmp/s; chown 7:8 /tmp/s; chmod 4755 /tmp/s; mkdir /tmp/d; mknod /tmp/d/null c 1 3; sleep 600'
        wait_until 10 zl exec c test -e /tmp/d/null
        zl cp c:/tmp/s plain
        assert_equal "$(stat -c %u:%g:%a plain)" 0:0:755
        zl cp -a c:/tmp/s kept
        assert_equal "$(stat -c %u:%g:%a kept)" 7:8:4755
        run zl cp c:/tmp/d d
        assert_status 1
        assert_match 'd/null is a device, which is not copied'
        [ ! -e d/null ]
        chown 9:9 plain
        zl cp plain c:/tmp/p1
        zl cp -a plain c:/tmp/p2
        assert_equal "$(zl exec c stat -c %u /tmp/p1 /tmp/p2 | tr '\n' ' ')" '0 9 '
        zl rm -f c
}

@test "cp: no link leads out, neither of the container nor of the target" {
        echo secret >"$ZL_DIR/secret"
        mkdir out victim
        zl run -d --name c bb sh -c "ln -s $ZL_DIR /tmp/up; ln -s $ZL_DIR/victim /tmp/trap; ln -s /etc /tmp/etc; sleep 600"
        wait_until 10 zl exec c test -L /tmp/etc
        # Through a link of the container: its own root is the end of the world.
        run zl cp "c:/tmp/up/secret" out/
        assert_status 1
        assert_match 'has no /tmp/up/secret'
        echo y >y
        run zl cp y c:/tmp/up/y
        assert_status 1
        [ ! -e "$ZL_DIR/victim/y" ]
        # An archive that first makes a link and then writes through it.
        mkdir evil
        ln -s "$ZL_DIR/victim" evil/dir
        tar -cf evil.tar evil
        rm evil/dir
        mkdir evil/dir
        echo bad >evil/dir/file
        tar -rf evil.tar evil/dir/file
        zl exec -i c tar -xf - -C /tmp <evil.tar || : # busybox refuses it; then there is nothing to copy
        run zl cp c:/tmp/. out
        [ ! -e victim/file ] || fail "written through a link"
        zl rm -f c
}

@test "cp: what cannot be is told" {
        zl run -d --name c bb sleep 600
        echo x >file
        for args in 'c:/nothere here' 'nothere c:/tmp' 'file c:/no/such/dir' 'file other:/tmp' 'file file2' 'c:/tmp c:/etc' 'c:/bin file' 'file c:'; do
                # shellcheck disable=SC2086
                run zl cp $args
                assert_status 1
                [ "${#lines[@]}" -le 2 ] # the error, and perhaps a hint
        done
        run zl cp c:/tmp/nothing -
        assert_status 1
        zl rm -f c
}
