#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The tools around the code: checks that cannot fail would be worse than none.
load lib

# A small tree with the tools and one clean file.
setup() {
        zl_setup
        mkdir -p tree/tools tree/src/base tree/src/agent tree/include/zlayer
        cp "$ZL_SOURCE"/tools/check-* tree/tools/
        cp "$ZL_SOURCE/.clang-format" tree/
        cat >tree/src/base/good.c <<'END'
/* SPDX-License-Identifier: Apache-2.0 */
#include "base/good.h"

int zl_good(int a, int b)
{
        return a + b;
}
END
        git -C tree init -q
        git -C tree add -A
        cd tree
}

@test "clean code passes every check" {
        local check
        for check in layers size text format; do
                run tools/check-$check
                assert_status 0
                assert_match '0 faults'
        done
}

@test "an include of a higher room is found" {
        printf '%s\n' '#include "agent/agent.h"' >>src/base/good.c
        run tools/check-layers
        assert_status 1
        assert_match 'src/base/good.c:8: base includes agent/agent.h, which is above it'
}

@test "the agent may see runtimes/runtime.h and nothing else below the hood" {
        printf '%s\n' '#include "runtimes/runtime.h"' '#include "linux/cgroup.h"' '#include "runtimes/native.h"' \
                >src/agent/a.c
        run tools/check-layers
        assert_status 1
        assert_match 'a.c:2: agent includes linux/cgroup.h'
        assert_match 'a.c:3: agent includes runtimes/native.h'
        assert_no_match 'a.c:1:'
}

# A function of N statements with P parameters, nested D deep.
a_function() { # NAME N P D
        local i
        printf 'int %s(' "$1"
        for ((i = 1; i < $3; i++)); do printf 'int p%s, ' "$i"; done
        printf 'int last)\n{\n'
        for ((i = 0; i < $4; i++)); do echo 'if (last) {'; done
        for ((i = 0; i < $2; i++)); do echo 'last++;'; done
        for ((i = 0; i < $4; i++)); do echo '}'; done
        printf '}\n\n'
}

@test "long, wide and deep functions are found, and may be waived with a reason" {
        {
                a_function fine 90 5 4
                a_function too_long 101 1 0
                a_function too_wide 1 6 0
                a_function too_deep 1 1 5
                echo '/* zl-size: a table in code */'
                a_function waived 150 7 0
        } >src/base/sizes.c
        run tools/check-size
        assert_status 1
        assert_match 'too_long\(\): 101 lines'
        assert_match 'too_wide\(\): 6 parameters'
        assert_match 'too_deep\(\): nested 5 deep'
        assert_no_match 'fine'
        assert_no_match 'waived\(\)'
        assert_match '2 waived, 3 faults'
}

@test "a file that is too long is found" {
        { cat src/base/good.c; yes '' | head -1200; } >src/base/long.c
        run tools/check-size
        assert_status 1
        assert_match 'src/base/long.c:1: 1207 lines'
}

@test "tabs, blanks at line ends, unfinished work and missing licences are found" {
        printf '\tint a;\nint b; \n// TO%s: later\nint c;' DO >src/base/bad.c
        git add -A
        run tools/check-text
        assert_status 1
        assert_match 'bad.c:1: tab'
        assert_match 'bad.c:2: blank at the end'
        assert_match 'bad.c:3: mark of unfinished work'
        assert_match 'bad.c:4: no newline'
        assert_match 'bad.c:1: no SPDX'
}

@test "a claim whose test is gone is found" {
        mkdir -p docs test/system test/unit
        echo '@test "exit codes are true" {' >test/system/faults.bats
        touch test/unit/test_a.c
        row() { printf '| | fault | here | shown by |\n|---|---|---|---|\n| W-1 | a | done | %s |\n' "$1" >docs/weaknesses.md; }
        printf '| | what | shown by |\n|---|---|---|\n| 1a | a | test_a |\n' | tee docs/agent.md >docs/wasm.md
        row 'faults.bats: exit codes are true (all of them); faults.bats (all); test_a; the simulator'
        run -0 tools/check-claims
        assert_match '4 in docs/weaknesses.md, 0 faults'
        row 'faults.bats: exit codes, and no leaks; gone.bats: anything; test_a, test_b'
        run -1 tools/check-claims
        assert_match 'weaknesses.md:3: no test of faults.bats is called "no leaks"'
        assert_match 'weaknesses.md:3: there is no test/system/gone.bats'
        assert_match 'weaknesses.md:3: there is no test/unit/test_b.c'
        assert_match '3 faults'
        row 'test_a'
        sed -i 's/test_a/test_c/' docs/agent.md
        run -1 tools/check-claims
        assert_match 'agent.md:3: there is no test/unit/test_c.c'
}

@test "code in another form is found, and brought into form" {
        skip_unless "expected: clang-format comes with make check" has_program clang-format
        printf '/* SPDX-License-Identifier: Apache-2.0 */\nint  f(void){return 1;}\n' >src/base/form.c
        run tools/check-format
        assert_status 1
        assert_match 'src/base/form.c: not as clang-format'
        tools/check-format --fix
        run tools/check-format
        assert_status 0
}

@test "tools/deps is silent when everything is there, and knows its purposes" {
        run "$ZL_SOURCE/tools/deps" build test
        assert_status 0
        assert_output ""
        run "$ZL_SOURCE/tools/deps" nonsense
        assert_status 1
}

@test "the same files give the same image" {
        mkdir layer
        echo content >layer/file
        ln -s file layer/link
        first=$(mkimage --cmd sh a layer)
        second=$(mkimage --cmd sh b layer)
        assert_equal "$first" "$second"
        [[ $first == sha256:* ]]
        [ "$(skopeo inspect --raw oci:a:latest | jq -r '.layers | length')" = 1 ]
}
