#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Wrong usage of every command: one clear message, exit code 2, nothing left. What is well said but cannot be done is 1,
# or 125 of commands that otherwise return the exit code of a workload.

load lib

# Each line: exit code, arguments (as for the shell) ; what the message must say.
check_table() {
        local code arguments wanted bad=0 n=0
        while IFS='|' read -r code arguments wanted; do
                arguments=${arguments% } wanted=${wanted# }
                [ -n "$arguments" ] || continue
                eval "set -- $arguments"
                status=0
                zl "$@" >"$ZL_DIR/out" 2>"$ZL_DIR/err" </dev/null || status=$?
                n=$((n + 1))
                if [ "$status" != $code ] || ! grep -qF -- "$wanted" "$ZL_DIR/err" ||
                        [ "$(grep -c '^zlayer-agent: ' "$ZL_DIR/err")" != 1 ]; then
                        echo "$arguments: exit status $status instead of $code:" "$(cat "$ZL_DIR/out" "$ZL_DIR/err")"
                        bad=$((bad + 1))
                fi
        done
        echo "$n lines"
        [ $n -gt 10 ] && [ $bad = 0 ]
}

nothing_left() {
        assert_equal "$(zl ps -aq)" ''
        assert_equal "$(find "$ZLAYER_ROOT_DIR/containers" "$ZLAYER_RUNTIME_DIR/containers" -mindepth 1 2>/dev/null)" ''
}

@test "run: a bad value of each option is wrong usage and leaves nothing" {
        import_busybox
        check_table <<-'END'
	2  | run                                            | missing argument
	2  | run --bogus bb true                            | unknown option "--bogus"
	2  | run --rm=1 bb true                             | unknown option "--rm=1"
	2  | run --memory                                   | needs a value
	2  | run '' true                                    | the image reference is empty
	2  | run 'BAD REF' true                             | the image reference is not of the form
	2  | run --name a/b bb true                         | --name:
	2  | run --name '' bb true                          | --name:
	2  | run -e =x bb true                              | --env: "=x" is not NAME=VALUE
	2  | run -e '' bb true                              | --env: "" is not NAME=VALUE
	2  | run -v x bb true                               | --volume: "x" is not
	2  | run -v /tmp:x bb true                          | --volume: "/tmp:x" is not
	2  | run -v /tmp:/x:zz bb true                      | --volume: "/tmp:/x:zz" is not
	2  | run -v '*:/x' bb true                          | "*" cannot be the name of a volume
	2  | run -v a.b:/x bb true                          | "a.b" cannot be the name of a volume
	2  | run -v /tmp:/ bb true                          | must not be the root directory
	125| run -v /no/such:/x bb true                     | /no/such: No such file or directory
	2  | run --tmpfs x bb true                          | --tmpfs: "x" is not
	2  | run --tmpfs /x:size=q bb true                  | --tmpfs: "/x:size=q" is not
	2  | run --tmpfs /x:foo bb true                     | --tmpfs: "/x:foo" is not
	2  | run -p x bb true                               | --publish: "x" is not
	2  | run -p 0 bb true                               | --publish: "0" is not
	2  | run -p 99999 bb true                           | --publish: "99999" is not
	2  | run -p 80/sctp bb true                         | --publish: "80/sctp" is not
	2  | run -p 90-80:90-80 bb true                     | --publish: "90-80:90-80" is not
	2  | run -p 80-81:80-89 bb true                     | as many ports of the host as of the container
	2  | run -p 65535-65536 bb true                     | --publish: "65535-65536" is not
	2  | run -p 1.2.3:1:2 bb true                       | --publish: "1.2.3:1:2" is not
	2  | run --network x bb true                        | --network: "x" is not
	2  | run --network container: bb true               | --network: "container:" is not
	125| run --network container:nobody bb true         | there is no workload run.nobody.1
	2  | run --hostname a/b bb true                     | hostname: "a/b" is no host name
	2  | run --dns x bb true                            | dns: "x" is not an address
	2  | run --add-host x bb true                       | "x" is not NAME:ADDRESS
	2  | run --add-host x:y bb true                     | "x:y" has no valid address
	125| run --user nobody-here bb true                 | cannot be user "nobody-here"
	2  | run --workdir rel bb true                      | workdir: "rel" is not absolute
	2  | run --entrypoint '' bb true                    | the program's name is empty
	127| run --entrypoint /nope bb true                 | /nope: No such file or directory
	2  | run --memory x bb true                         | --memory: "x" is not a size
	2  | run --memory 0 bb true                         | --memory: less than 1Ki
	2  | run --cpus 0 bb true                           | --cpus: "0" is not a number above 0
	2  | run --pids-limit -1 bb true                    | --pids-limit: "-1" is not a whole number
	2  | run --ulimit nofile bb true                    | --ulimit: "nofile" is not NAME=SOFT[:HARD]
	2  | run --ulimit nofile=x bb true                  | --ulimit: "nofile=x" is not
	2  | run --ulimit foo=1 bb true                     | "foo" is not the name of a limit
	2  | run --ulimit nofile=5:3 bb true                | the soft limit is above the hard one
	2  | run --sysctl x bb true                         | --sysctl: "x" is not NAME=VALUE
	2  | run --sysctl kernel.foo=1 bb true              | "kernel.foo" does not belong to a namespace
	2  | run --device x bb true                         | --device: "x" is not
	2  | run --device /dev/null:q bb true               | --device: "/dev/null:q" is not
	2  | run --device /proc/version bb true             | /proc/version is no device
	125| run --device /dev/nothing bb true              | /dev/nothing: No such file or directory
	2  | run --cap-add X bb true                        | "X" is not a capability
	2  | run --cap-drop X bb true                       | "X" is not a capability
	2  | run --security-opt x bb true                   | "x" is not a known option
	2  | run --security-opt seccomp=rel bb true         | "rel" is not an absolute path
	2  | run --security-opt no-new-privileges:x bb true | "x" is neither true nor false
	125| run --security-opt seccomp=/no/such bb true    | cannot read the seccomp profile /no/such
	2  | run --label =x bb true                         | --label: "=x" is not NAME=VALUE
	2  | run --restart always bb true                   | --restart needs -d
	2  | run -d --rm --restart always bb true           | exclude each other
	2  | run -d --restart often bb true                 | --restart: "often" is not
	2  | run -d --restart on-failure:x bb true          | --restart: "on-failure:x" is not
	2  | run -d --restart always --name a_b bb true     | --name:
	2  | run -d --restart always -e 'a=$E:b' bb true    | env:
	2  | run --stop-signal X bb true                    | "X" is not a signal
	2  | run --stop-timeout -1 bb true                  | --stop-timeout: "-1" is not a span
	2  | run --timeout x bb true                        | --timeout: "x" is not a span
	2  | run -d --timeout 1 bb true                     | --timeout needs the foreground
	2  | run -it bb true                                | standard input is not a terminal
	2  | run --pull x bb true                           | --pull: "x" is not
	125| run --pull never no-such-image true            | not in the image store
	127| run bb no-such-command                         | "no-such-command": executable file not found
	126| run bb /etc/passwd                             | "/etc/passwd": Permission denied
	END
        nothing_left
}

@test "exec: bad options are wrong usage, what the container lacks is 125, 126 or 127" {
        import_busybox
        zl run -d --name live bb sleep 1000
        zl run --name ended bb true
        check_table <<-'END'
	2  | exec                                    | missing argument
	2  | exec live                               | missing argument
	2  | exec --bogus live true                  | unknown option "--bogus"
	2  | exec -e =x live true                    | --env: "=x" is not NAME=VALUE
	2  | exec -e '' live true                    | --env: "" is not NAME=VALUE
	2  | exec -w rel live true                   | "rel" is not absolute
	2  | exec live ''                            | no command is given
	2  | exec -it live true                      | standard input is not a terminal
	125| exec -w /no/such live true              | "/no/such"
	125| exec -u nobody-here live true           | cannot be user "nobody-here"
	125| exec nobody true                        | no container or service "nobody"
	125| exec a/b true                           | no container or service "a/b"
	125| exec ended true                         | is not running
	127| exec live no-such-command               | "no-such-command": executable file not found
	126| exec live /etc/passwd                   | "/etc/passwd": Permission denied
	END
        zl rm -f live ended
        nothing_left
}

@test "all other commands: wrong usage is 2, what is not there is 1" {
        import_busybox
        zl run --name ended bb true
        zl run -d --name live bb sleep 1000
        check_table <<-'END'
	2  |                                         | no command given
	2  | --bogus                                 | unknown option "--bogus"
	2  | bogus-command                           | unknown command "bogus-command"
	2  | loggs live                              | did you mean "logs"?
	2  | --root-dir                              | "--root-dir" needs a value
	2  | --log-level zz ps                       | unknown log level "zz"
	2  | --json=1 ps                             | unknown option "--json=1"
	2  | --runtime zz ps                         | unknown runtime "zz"
	2  | --runtime zz run bb true                | unknown runtime "zz"
	2  | --runtime oci: run bb true              | unknown runtime "oci:"
	125| --runtime oci:no-such run bb true       | there is no OCI runtime "no-such"
	1  | --runtime oci:no-such ps                | there is no OCI runtime "no-such"
	2  | up                                      | missing argument
	2  | up a b                                  | unexpected argument "b"
	2  | up --timeout x a                        | --timeout: "x" is not a span
	1  | up /no/such                             | cannot open /no/such: No such file or directory
	1  | up /tmp                                 | cannot read /tmp: Is a directory
	1  | up /dev/null                            | /dev/null cannot be deployed: 2 problems
	2  | down                                    | either NAME or --all
	2  | down --all x                            | either NAME or --all
	1  | down nobody                             | no deployment "nobody"
	2  | attach                                  | missing argument
	1  | attach nobody                           | nobody
	1  | attach ended                            | run.ended.1 does not run
	2  | cp a                                    | missing argument
	1  | cp a b                                  | one of the two is in a container
	1  | cp live:/a live:/b                      | one of the two is in a container
	1  | cp live:/no /tmp/x                      | run.live.1 has no /no
	1  | cp nobody:/a b                          | nobody
	2  | scale a                                 | missing argument
	2  | scale a b                               | "b" is not SERVICE=NUMBER
	2  | scale a b=x                             | "b=x" is not SERVICE=NUMBER
	2  | scale a b=1 c=-1                        | "c=-1" is not SERVICE=NUMBER
	2  | scale a/b c=1                           | "a/b" cannot be the name of a deployment
	1  | scale a b=1                             | no daemon listens on
	2  | validate                                | missing argument
	1  | validate /no/such                       | cannot open /no/such
	1  | validate /tmp                           | cannot read /tmp: Is a directory
	2  | schema x                                | unexpected argument "x"
	2  | ps a b                                  | unexpected argument "b"
	2  | logs                                    | missing argument
	2  | logs --tail x live                      | --tail: "x" is neither a number nor "all"
	2  | logs --since x live                     | --since: "x" is no time and no span
	2  | logs --until x live                     | --until: "x" is no time and no span
	1  | logs nobody                             | no container or service "nobody"
	2  | start                                   | missing argument
	1  | start nobody                            | no container or service "nobody"
	2  | restart                                 | missing argument
	2  | restart --time x live                   | --time: "x" is not a span
	1  | restart nobody                          | no container or service "nobody"
	2  | stop                                    | missing argument
	2  | stop --time x live                      | --time: "x" is not a span
	1  | stop nobody                             | no container or service "nobody"
	2  | kill                                    | missing argument
	2  | kill -s zz live                         | --signal: "zz" is not a signal
	2  | kill -s 99 live                         | --signal: "99" is not a signal
	1  | kill nobody                             | no container or service "nobody"
	1  | kill ended                              | run.ended.1 is not running
	2  | rm                                      | missing argument
	1  | rm nobody                               | no container or service "nobody"
	1  | rm live                                 | run.live.1 is running
	2  | inspect                                 | missing argument
	1  | inspect nobody                          | no container or service "nobody"
	2  | stats --bogus                           | unknown option "--bogus"
	1  | stats nobody                            | no container or service "nobody"
	1  | stats ended                             | run.ended.1 is not running
	2  | top                                     | missing argument
	2  | top live x                              | unexpected argument "x"
	1  | top nobody                              | no container or service "nobody"
	2  | wait                                    | missing argument
	2  | wait --timeout x live                   | --timeout: "x" is not a span
	125| wait nobody                             | no container or service "nobody"
	125| wait --timeout 1ms live                 | has not ended in time
	2  | why                                     | missing argument
	1  | why nobody                              | no container or service "nobody"
	2  | events --since x                        | --since: "x" is no time and no span
	2  | events --after x                        | --after: "x" is not a whole number
	2  | image                                   | A subcommand is missing
	2  | image bogus                             | unknown subcommand "bogus"
	2  | image pull                              | missing argument
	2  | image pull 'BAD REF'                    | the image reference is not of the form
	2  | image pull --policy x bb                | unknown pull policy "x"
	2  | image pull --platform zz bb             | zz is not a platform
	2  | image pull -u me bb                     | go together
	1  | image pull 127.0.0.1:1/x                | Failed to connect
	2  | image ls x                              | unexpected argument "x"
	2  | image rm                                | missing argument
	1  | image rm nobody                         | nobody:latest is not in the store
	1  | image rm bb                             | is in use by
	2  | image import /tmp                       | missing argument
	2  | image import /tmp 'BAD REF'             | the image reference is not of the form
	1  | image import /no/such x                 | cannot open /no/such
	1  | image import /dev/null x                | neither a file nor a directory
	1  | image import /proc x                    | no OCI image layout
	2  | image inspect                           | missing argument
	1  | image inspect nobody                    | nobody:latest is not in the store
	2  | image save                              | missing argument
	1  | image save nobody                       | nobody:latest is not in the store
	1  | image save bb -o /no/such/file          | /no/such/file
	2  | image tag bb                            | missing argument
	2  | image tag bb 'BAD REF'                  | the image reference is not of the form
	1  | image tag nobody x                      | nobody:latest is not in the store
	2  | image prune x                           | unexpected argument "x"
	2  | job                                     | A subcommand is missing
	2  | job run                                 | missing argument
	2  | job run one                             | "one" names no job
	1  | job run no.body                         | no
	2  | job cancel one                          | "one" is not the name of an execution
	1  | job logs nobody                         | no container or service "nobody"
	2  | cron                                    | A subcommand is missing
	2  | cron trigger one                        | "one" names no job
	2  | cron enable one                         | "one" names no job
	2  | volume create                           | missing argument
	2  | volume create a/b                       | "a/b" cannot be the name of a volume
	1  | volume rm nobody                        | there is no volume nobody
	1  | volume inspect nobody                   | there is no volume nobody
	2  | secret set                              | missing argument
	2  | secret set a/b                          | names no secret
	1  | secret rm nobody                        | there is no secret nobody
	2  | info x                                  | unexpected argument "x"
	2  | version x                               | unexpected argument "x"
	2  | serve x                                 | unexpected argument "x"
	2  | help bogus-command                      | unknown command "bogus-command"
	END
        zl rm -f live ended
        nothing_left
}
