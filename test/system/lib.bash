# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Helpers for the system tests (bats). A test file begins with `load lib`. Each test then has
#
#   $ZL_DIR               a directory of its own, gone afterwards
#   $ZLAYER_ROOT_DIR, $ZLAYER_RUNTIME_DIR   fresh, below it, exported
#   $ZL_ID                a short word that no other test has, for names
#   $ZL_BUILD             where the programs are (default: build/ of this tree)
#
# and after EVERY test the lib looks whether a mount, cgroup, process, link, network namespace, table of rules, socket,
# listening port or temporary file was left. A leak fails the test and is then cleaned away. Run the files
# with `test/run FILE`: that puts each into namespaces of its own, where the check is exact and tests of
# several files do not meet. Under plain `bats FILE` only what carries $ZL_DIR or $ZL_ID is looked for.
#
# A file with its own setup() or teardown() calls zl_setup first and zl_teardown last in them. Things for
# the whole file (a registry) belong in setup_file/teardown_file; use $BATS_FILE_TMPDIR there.

ZL_SOURCE=$(realpath "${BASH_SOURCE[0]%/*}/../..")
ZL_BUILD=$(realpath "${ZL_BUILD:-$ZL_SOURCE/build}")
ZL_CACHE=${ZL_CACHE:-$ZL_BUILD/test-cache}
ZL_AGENT=$ZL_BUILD/zlayer-agent
ZL_OCI=${ZL_UNDER_TEST:-$ZL_BUILD/zlayer-oci} # tools/security-table names others
ZL_ALPHABET='a-z0-9'
export ZL_SOURCE ZL_BUILD ZL_CACHE ZL_AGENT ZL_OCI
# shellcheck source=parts.bash
. "$ZL_SOURCE/test/system/parts.bash"
bats_require_minimum_version 1.5.0

setup() { zl_setup; }
teardown() { zl_teardown; }

zl_setup() {
        ZL_ID=$(head -c 512 /dev/urandom | tr -dc "$ZL_ALPHABET" | head -c 6)
        ZL_DIR=$(mktemp -d "/tmp/zlt.$ZL_ID.XXXX")
        export ZL_ID ZL_DIR ZLAYER_ROOT_DIR=$ZL_DIR/root ZLAYER_RUNTIME_DIR=$ZL_DIR/run
        export TMPDIR=$ZL_DIR/tmp HOME=$ZL_DIR/home
        unset ZLAYER_SOCKET ZLAYER_RUNTIME ZLAYER_LOG_LEVEL ZLAYER_JSON ZL_FORBID
        mkdir "$TMPDIR" "$HOME"
        cd "$ZL_DIR" || return
        zl_snapshot "$ZL_DIR/.before"
}

zl_teardown() {
        local status=0
        cd /
        zl_stop_children
        zl_check_leaks || status=1
        [ $status = 0 ] || zl_clean_leaks
        rm -rf --one-file-system "$ZL_DIR" || status=1
        return $status
}

# --- what is there -----------------------------------------------------------------------------------

# Writes to FILE one "KIND DETAIL" line per thing that is there. No pipes and no subshells: what works here
# must not show up as a process itself.
zl_snapshot() { # FILE
        {
                awk '{ print "mount", $5, $4 }' /proc/self/mountinfo
                find /sys/fs/cgroup -mindepth 1 -type d \( -name '*zlayer*' -o -path '*/zlayer/*' \) \
                        -printf 'cgroup %p\n' || :
                awk -F: 'NR > 2 { sub(/ */, "", $1); print "link", $1 }' /proc/net/dev
                [ -z "$ZL_ISOLATED" ] || nft list tables # "table FAMILY NAME"
                find /run/netns -mindepth 1 -maxdepth 1 -printf 'netns %f\n' || :
                awk 'FNR > 1 && $4 == "0A" { print "listener", $2 }' /proc/net/tcp /proc/net/tcp6 || :
                awk '$8 ~ /^\// { print "socket", $8 }' /proc/net/unix
                # Not the directories of tests that run at the same time, nor that of zlayer-oci, which stays for all.
                find /tmp /var/tmp /var/lib /dev/shm /run -maxdepth 1 -name '*zl*' ! -name 'zlt.*' ! -name 'zl-unit-*' \
                        ! -name 'zlayer-example.*' ! -name 'zlayer-bench*' ! -name 'zlayer-vm-*' ! -name zlayer-oci -printf 'file %p\n' || :
                cat /proc/[0-9]*/stat >"$1.stat" || : # some end meanwhile
                sed -E 's/^([0-9]+) \((.*)\) (.*)$/\1 \3 \2/' "$1.stat" >"$1.fields"
                awk '{ name = $0; for (i = 1; i <= 51; i++) sub(/^[^ ]+ /, "", name)
                       print "process", $1 ":" $21, name }' "$1.fields"
        } >"$1.list" 2>/dev/null
        sort -u "$1.list" -o "$1"
}

# Only what belongs to this test counts when other tests may run beside it.
zl_is_ours() { # line
        [ -z "$ZL_ISOLATED" ] || return 0
        case $1 in
        process*)
                local pid=${1#process }
                pid=${pid%%:*}
                grep -qzF "$ZL_DIR" "/proc/$pid/environ" "/proc/$pid/cmdline" 2>/dev/null ;;
        *) [[ $1 == *"$ZL_DIR"* || $1 == *"$ZL_ID"* ]] ;;
        esac
}

# Puts into $ZL_LEAKS what is there now and was not before.
zl_find_new() {
        local line own=" $BASHPID " pid=$BASHPID stat
        while [ "$pid" -gt 1 ] && read -r stat <"/proc/$pid/stat"; do
                stat=${stat##*) } stat=${stat#* } pid=${stat%% *}
                own+="$pid "
        done
        zl_snapshot "$ZL_DIR/.now"
        comm -13 "$ZL_DIR/.before" "$ZL_DIR/.now" >"$ZL_DIR/.new"
        ZL_LEAKS=
        while read -r line; do
                case $line in
                'cgroup '*/zlayer) continue ;; # the empty parent of all containers' groups holds nothing
                'table '*) [[ $line = *zlayer* ]] || continue ;; # other programs leave theirs
                'process '*)
                        pid=${line#process } pid=${pid%%:*}
                        [[ $own != *" $pid "* ]] && [ -d "/proc/$pid" ] || continue
                        # The watchdog of bats may come up after the first look.
                        [ "$(tr '\0' ' ' <"/proc/$pid/cmdline")" != "sleep ${BATS_TEST_TIMEOUT-} " ] || continue ;;
                esac
                if zl_is_ours "$line"; then ZL_LEAKS+=$line$'\n'; fi
        done <"$ZL_DIR/.new"
}

# What a test ends may need an instant to be gone; more than two seconds is a leak (ZL_SLOW times two in emulation).
zl_check_leaks() {
        local try pid
        for ((try = 0; try < 20 * ${ZL_SLOW:-1}; try++)); do
                zl_find_new
                [ -n "$ZL_LEAKS" ] || break
                sleep 0.1
        done
        if [ -z "$ZL_LEAKS" ]; then
                # Everything of value is under a final name once nothing runs any more.
                ZL_LEAKS=$(find "$ZLAYER_ROOT_DIR" "$ZLAYER_RUNTIME_DIR" "$TMPDIR" \
                        \( -name '*.tmp-*' -o -name '.tmp*' -o -path '*/images/tmp/*' -o -type s \) \
                        -printf 'leftover %p\n' 2>/dev/null | grep -Ev '/(rootfs|upper|fs|diff|layers)/')
        fi
        [ -n "$ZL_LEAKS" ] || return 0
        echo "leak check: left behind by this test:"
        printf '%s\n' "${ZL_LEAKS%$'\n'}" | sed 's/^/  /'
        for pid in $(sed -n 's/^process \([0-9]*\):.*/\1/p' <<<"$ZL_LEAKS"); do
                [ ! -r "/proc/$pid/cmdline" ] || echo "  $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
        done
        return 1
}

zl_clean_leaks() {
        local kind what try
        for try in 1 2 3; do
                while read -r kind what; do
                        case $kind in
                        process) kill -KILL "${what%%:*}" ;;
                        mount) umount -l "${what%% *}" ;;
                        link) ip link del "$what" ;;
                        netns) ip netns del "$what" ;;
                        table) nft delete table "${what% *}" "${what#* }" ;;
                        cgroup) rmdir "$what" ;;
                        file) rm -rf --one-file-system "$what" ;;
                        esac || :
                done < <(sort -r <<<"$ZL_LEAKS") 2>/dev/null
                sleep 0.1
                zl_find_new
        done
}

# --- running things with bounded time ----------------------------------------------------------------

# Descriptor 3 is bats' own: whoever keeps it open keeps bats waiting.
zl() { within "${ZL_TIMEOUT:-30}" "$ZL_AGENT" "$@" 3>&-; }
oci() { within "${ZL_TIMEOUT:-30}" "$ZL_OCI" --root "$ZL_DIR/oci" "$@" 3>&-; }

# Starts a command in the background, its output in $ZL_DIR/bg.N; the pid is in $ZL_BG. Whatever still runs at
# the end of the test gets TERM, and KILL after five seconds (which then is a leak only if it left something).
background() {
        ZL_BG_N=$((${ZL_BG_N:-0} + 1))
        ZL_BG_LOG=$ZL_DIR/bg.$ZL_BG_N
        "$@" >"$ZL_BG_LOG" 2>&1 </dev/null 3>&- &
        ZL_BG=$!
        echo $ZL_BG >>"$ZL_DIR/.children"
}

zl_stop_children() {
        local pid
        [ -f "$ZL_DIR/.children" ] || return 0
        while read -r pid; do
                kill -TERM "$pid" 2>/dev/null || continue
                timeout 5 tail --pid="$pid" -s 0.05 -f /dev/null || kill -KILL "$pid" 2>/dev/null
        done <"$ZL_DIR/.children"
}

# --- assertions --------------------------------------------------------------------------------------

fail() {
        printf '%s\n' "$@"
        return 1
}
assert_status() { # EXPECTED, after `run`
        [ "$status" -eq "$1" ] || fail "exit status $status instead of $1, output:" "$output"
}
assert_output() { # EXPECTED, after `run`
        [ "$output" = "$1" ] || fail "expected: $1" "got:      $output"
}
assert_match() { # PATTERN (extended regular expression) [TEXT]
        local text=${2-$output}
        [[ $text =~ $1 ]] || fail "does not match $1:" "$text"
}
assert_no_match() {
        local text=${2-$output}
        [[ ! $text =~ $1 ]] || fail "matches $1 but must not:" "$text"
}
assert_equal() { # GOT EXPECTED
        [ "$1" = "$2" ] || fail "expected: $2" "got:      $1"
}

# skip_unless REASON COMMAND...: skips when the command fails. With ZL_STRICT=1 (CI) it is a failure unless the
# reason begins with "expected:", which is for what this machine honestly cannot have.
skip_unless() {
        local reason=$1
        shift
        "$@" >/dev/null 2>&1 && return 0
        if [ "${ZL_STRICT:-0}" = 1 ] && [[ $reason != expected:* ]]; then
                fail "unexpected skip in strict mode: $reason"
                return 1
        fi
        skip "${reason#expected: }"
}
is_root() { [ "$(id -u)" = 0 ]; }
is_cgroup_v2() { [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; }
is_cgroup_v1() { ! is_cgroup_v2; }
has_program() { command -v "$1"; }

# The directory of a cgroup "zlayer/NAME" in the hierarchy of a controller (v1, hybrid or v2).
cgroup_dir() { # CONTROLLER PATH
        if is_cgroup_v2; then echo "/sys/fs/cgroup/$2"; else echo "/sys/fs/cgroup/$1/$2"; fi
}

# --- bundles and images ------------------------------------------------------------------------------

# An OCI bundle: DIR/config.json and DIR/rootfs. The filter (jq) changes the default configuration.
make_bundle() { # DIR [FILTER]
        local dir=$1 filter=${2:-.}
        mkdir -p "$dir"
        [ -d "$dir/rootfs" ] || make_busybox_rootfs "$dir/rootfs"
        jq --arg cg "/zlayer/$ZL_ID-${dir##*/}" '.linux.cgroupsPath = $cg' \
                "$ZL_SOURCE/test/system/config.json" | jq "$filter" >"$dir/config.json"
}

# Puts the busybox image into the store of this test.
import_busybox() { # NAME
        zl image import "$(busybox_layout)" "${1:-bb}"
}
