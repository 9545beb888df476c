#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What `make install` puts where, and that it can be used from there.
load lib

setup() {
        zl_setup
        timeout 60 meson install -C "$ZL_BUILD" --no-rebuild --quiet --destdir "$ZL_DIR/dest" >/dev/null
        prefix=$(meson introspect "$ZL_BUILD" --buildoptions | jq -r '.[] | select(.name == "prefix") | .value')
        dest=$ZL_DIR/dest$prefix
}

@test "the library exports names that begin with zl_ and no others" {
        library=$(find "$dest" -name 'libzlayer.so.*.*')
        nm -D --defined-only "$library" | awk '{ print $3 }' | grep -v '^zl_' >others || :
        [ ! -s others ] || fail "$(cat others)"
        [ "$(nm -D --defined-only "$library" | grep -c ' T zl_')" -gt 20 ]
}

@test "a program builds and runs against what is installed" {
        cat >main.c <<'END'
#include <stdio.h>
#include <zlayer/zlayer.h>

int main(void)
{
        enum zl_runtime_kind kind;
        const char *name;

        if (zl_runtime_kind_parse("youki", &kind, &name) < 0)
                return 1;
        puts(zl_runtime_kind_name(kind));
        return 0;
}
END
        library=$(dirname "$(find "$dest" -name libzlayer.so)")
        flags=$(PKG_CONFIG_PATH=$library/pkgconfig PKG_CONFIG_SYSROOT_DIR=$ZL_DIR/dest pkg-config --cflags --libs libzlayer)
        # shellcheck disable=SC2086 # flags
        gcc -Wall -Werror -o program main.c $flags
        run -0 env LD_LIBRARY_PATH="$library" ./program
        assert_output native
}

@test "the programs are where they find each other" {
        run -0 timeout 10 "$dest/bin/zlayer-agent" version
        assert_match '^zlayer-agent '
}
