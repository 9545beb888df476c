# SPDX-License-Identifier: Apache-2.0
# A service that scales itself by what its real containers use.
load lib

setup() {
        zl_setup
        import_busybox bb
        APP=app-$ZL_ID
}
running() { [ "$(zl ps --json | jq -r '[.[] | select(.state == "running")] | length')" = "$1" ]; }

@test "autoscale: a busy service gets a second replica, and says why" {
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  web:
		    image: {name: bb}
		    scale: {mode: adaptive, min: 1, max: 2, targets: {cpu: 20}}
		    resources: {cpu: 0.2}
		    stop_grace_period: 0s
		    command: {entrypoint: [sh, -c, 'while :; do :; done']}
		END
        run -0 zl up -d app.yaml
        assert_no_match 'scale.targets'
        running 1
        wait_until 40 running 2
        run -0 zl events --no-stream
        assert_match "scaled +$APP.web +from 1 to 2 replicas: processor [0-9]+ %"
        zl down "$APP"
}
