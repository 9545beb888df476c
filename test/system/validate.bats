# SPDX-License-Identifier: Apache-2.0
# `zlayer-agent validate` and `schema`: what people and editors see. What is accepted and refused in
# detail is tested in test/unit/test_spec.c and test_yaml.c.

load lib

good() {
        printf 'version: v1\ndeployment: abc\nservices:\n  web:\n    image: {name: nginx}\n'
}

@test "validate: all published examples are accepted, one line per file" {
        run -0 "$ZL_AGENT" validate "$ZL_SOURCE"/test/data/spec/accept/*.yaml
        [ "${#lines[@]}" = 8 ]
        [[ ${lines[1]} == */a2.yaml:\ valid:\ deployment\ Kitchen-Sink-1,\ 2\ services ]]
}

@test "validate: reads standard input" {
        run -0 --separate-stderr "$ZL_AGENT" validate - < <(good)
        [ "$output" = "-: valid: deployment abc, 1 service" ]
        [ -z "$stderr" ]
}

@test "validate: every problem has file, line, column, path and message, with hints" {
        { good; printf '    replicas: 2\n    resources: {cpu: 0, memory: 5MB}\n    rtype: jbo\n'; } >bad.yaml
        run -1 --separate-stderr "$ZL_AGENT" validate bad.yaml
        [ "${lines[0]}" = "bad.yaml:6:5: services.web: unknown field 'replicas'" ]
        [ "${lines[1]}" = "  hint: use 'scale: {mode: fixed, replicas: 2}'" ]
        [ "${lines[2]}" = "bad.yaml:7:22: services.web.resources.cpu: cpu must be more than 0" ]
        [ "${lines[3]}" = "bad.yaml:7:33: services.web.resources.memory: '5MB' is not an amount of memory" ]
        [ "${lines[5]}" = "bad.yaml:8:12: services.web.rtype: unknown value 'jbo'" ]
        [[ ${lines[6]} == "  hint: did you mean 'job'?"* ]]
        [ "${#lines[@]}" = 7 ]
}

@test "validate: problems of standard input begin with -:" {
        run -1 "$ZL_AGENT" validate - <<<'{version: v2, deployment: abc}'
        [ "${lines[0]}" = "-:1:11: version: the version must be v1, not 'v2'" ]
}

@test "validate: a good and a bad file give both lines and 1" {
        good >good.yaml
        echo 'version: v1' >bad.yaml
        run -1 "$ZL_AGENT" validate good.yaml bad.yaml
        [ "${lines[0]}" = "good.yaml: valid: deployment abc, 1 service" ]
        [ "${lines[1]}" = "bad.yaml:1:1: (root): the field 'deployment' is missing" ]
}

@test "validate: syntax errors have their place" {
        printf 'version: v1\ndeployment: abc\napi:\n\tenabled: true\n' >tab.yaml
        run -1 "$ZL_AGENT" validate tab.yaml
        [[ ${lines[0]} == "tab.yaml:4:1: (document): "* ]]
}

@test "validate: a missing file and a directory are named" {
        run -1 "$ZL_AGENT" validate missing.yaml
        [[ $output == *"cannot open missing.yaml: No such file"* ]]
        run -1 "$ZL_AGENT" validate .
        [[ $output == *"cannot read"* ]]
}

@test "validate: what a file says cannot reach the terminal" {
        printf 'version: v1\ndeployment: abc\nservices: {"a\\e[31m": {}}\n' >esc.yaml
        run -1 "$ZL_AGENT" validate esc.yaml
        [[ $output != *$'\e'* ]]
        [[ $output == *'services.a\x1b[31m'* ]]
}

@test "validate --json: an array of reports" {
        good >good.yaml
        echo '{version: v1, deployment: abc, services: {a: {image: {name: x}, rtyp: job}}}' >bad.yaml
        run -1 --separate-stderr "$ZL_AGENT" validate --json good.yaml bad.yaml missing.yaml
        echo "$output" >out.json
        [ "$(jq -r '.[0].valid' out.json)" = true ]
        [ "$(jq -r '.[0].services' out.json)" = 1 ]
        [ "$(jq -r '.[1].problems[0] | "\(.line) \(.column) \(.path) \(.phase)"' out.json)" = "1 65 services.a decode" ]
        [ "$(jq -r '.[1].problems[0].hint' out.json)" = "did you mean 'rtype'?" ]
        [ "$(jq -r '.[2].valid' out.json)" = false ]
}

@test "validate --print: YAML that loads again into itself" {
        for file in "$ZL_SOURCE"/test/data/spec/accept/*.yaml; do
                "$ZL_AGENT" validate --print "$file" >one.yaml
                "$ZL_AGENT" validate --print=yaml - <one.yaml >two.yaml
                cmp one.yaml two.yaml
        done
}

@test "validate --print=json: all defaults, canonical" {
        good >good.yaml
        "$ZL_AGENT" validate --print=json good.yaml >out.json
        [ "$(jq -c '.services.web.scale' out.json)" = \
                '{"mode":"adaptive","min":1,"max":10,"cooldown":"30s","targets":{"cpu":null,"memory":null,"rps":null}}' ]
        [ "$(jq -r '.services.web.image.name' out.json)" = docker.io/library/nginx:latest ]
        [ "$(jq -c '.services.web.health.check' out.json)" = '{"type":"tcp","port":0}' ]
        [ "$(jq -c 'keys_unsorted' out.json)" = '["version","deployment","services","api"]' ]
        run -2 "$ZL_AGENT" validate --print=xml good.yaml
}

@test "validate: wrong usage is 2" {
        run -2 "$ZL_AGENT" validate
        run -2 "$ZL_AGENT" validate --no-such-option x
}

@test "validate: 100 MB, deep and bomb files are refused with little memory" {
        yes '# a comment that goes on and on and on and on and on' | head -c 100000000 >large.yaml || :
        { printf 'a: '; head -c 10000 /dev/zero | tr '\0' '['; } >deep.yaml
        { echo 'a0: &a0 [x,x,x,x,x,x,x,x,x,x]'
          for i in 1 2 3 4 5 6 7 8 9 10; do
                  p="*a$((i - 1))"
                  echo "a$i: &a$i [$p,$p,$p,$p,$p,$p,$p,$p,$p,$p]"
          done; } >bomb.yaml
        ulimit -v 400000
        run -1 timeout 30 "$ZL_AGENT" validate large.yaml
        [[ $output == *"larger than the 8 MiB"* ]]
        run -1 timeout 30 "$ZL_AGENT" validate deep.yaml
        [[ $output == *"levels of nesting"* ]]
        run -1 timeout 30 "$ZL_AGENT" validate bomb.yaml
        [[ $output == *"aliases expand"* ]]
        run -1 timeout 30 "$ZL_AGENT" validate - <large.yaml
        [[ $output == *"larger than the 8 MiB"* ]]
}

@test "schema: a JSON Schema with descriptions, references resolved" {
        "$ZL_AGENT" schema >schema.json
        [ "$(jq -r '."$schema"' schema.json)" = https://json-schema.org/draft/2020-12/schema ]
        [ "$(jq -r '."$defs".Service.required | join(",")' schema.json)" = image ]
        [ -n "$(jq -r '."$defs".Service.properties.rtype.description' schema.json)" ]
        # every reference has a definition
        [ -z "$(jq -r '[.. | ."$ref"? // empty | ltrimstr("#/$defs/")] - (."$defs" | keys) | .[]' schema.json)" ]
}
