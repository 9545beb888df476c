#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# zlayer-monitor with the real engine and busybox: the cases are those of test/unit/test_monitor.c, each run by itself so that
# the leak check looks after every one of them.

load lib

monitor_test() { # CASE
        [ "$(id -u)" = 0 ] || skip "containers with cgroups need root"
        # The tests make their directories in /tmp whatever TMPDIR says; they remove them themselves.
        CMOCKA_MESSAGE_OUTPUT=stdout ZL_TEST_MONITOR=$ZL_BUILD/zlayer-monitor \
                run within 60 "$ZL_BUILD/test/unit/test_monitor" "$1"
        echo "$output"
        assert_status 0
        [[ $output == *"PASSED  ] 1 test"* ]]
        [[ $output != *SKIPPED* ]]
}

@test "exit codes and signals are on record" { monitor_test test_exit_codes; }
@test "a command that does not exist ends with 127, on record" { monitor_test test_start_failure; }
@test "a launch that fails leaves nothing" { monitor_test test_launch_failure; }
@test "a monitor that waits is launched later" { monitor_test test_waiting; }
@test "a second monitor for the same container is refused" { monitor_test test_second_launch_is_refused; }
@test "a stop lets the workload end by itself" { monitor_test test_stop; }
@test "a stop kills when the grace is over" { monitor_test test_stop_kills_after_grace; }
@test "SIGTERM to the monitor stops the workload" { monitor_test test_sigterm_to_the_monitor_stops; }
@test "SIGKILL to the monitor ends the container, and the next start works" { monitor_test test_sigkill_to_the_monitor; }
@test "a client killed in the middle changes nothing" { monitor_test test_client_dies; }
@test "pause and resume" { monitor_test test_pause; }
@test "exec: streams, environment, exit code, kill" { monitor_test test_exec; }
@test "exec: terminal and its size" { monitor_test test_exec_terminal; }
@test "the state stands in the pid file for those who do not want to ask" { monitor_test test_glance; }
@test "exec: goes on without its client" { monitor_test test_exec_survives_its_client; }
@test "exec: the ends of many whose clients have gone are taken well" { monitor_test test_many_execs_without_client; }
@test "attach: a megabyte of input, half closed" { monitor_test test_attach_half_close; }
@test "attach: the workload's terminal, resize, end of file" { monitor_test test_attach_terminal; }
@test "attach: a client that does not read is dropped" { monitor_test test_slow_client_is_dropped; }
@test "attach: a client that reads gets every byte" { monitor_test test_attached_keeps_up; }
@test "a hostile client cannot disturb" { monitor_test test_hostile_client; }
@test "out of memory is told from a kill" { monitor_test test_out_of_memory; }
@test "a command that is not root can open its streams again" { monitor_test test_streams_can_be_opened_again; }
@test "100 MB of output, no byte lost" { monitor_test test_hundred_megabytes; }
@test "an idle monitor takes at most 256 KiB" { monitor_test test_memory_and_latency; }
