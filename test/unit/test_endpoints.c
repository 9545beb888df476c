/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoints are refused, and that the message says where, why and what to do. */
#include <stdio.h>

#include "agent/endpoints.h"
#include "spec/spec.h"
#include "support.h"

/* A deployment of services "a" and "b": what stands behind the image of each. NULL: it is accepted. */
static char *refusal(const char *a, const char *b)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *text = NULL;
        char *message = NULL;
        int n = asprintf(&text,
                         "version: v1\ndeployment: shop\nservices:\n  a: {image: {name: x}%s}\n"
                         "  b: {image: {name: x}%s}\n",
                         a, b);

        assert_true(n > 0);
        assert_int_equal(zl_spec_load_text(text, (size_t)n, &spec, NULL, &err), 0);
        if (zl_endpoints_check(spec, &err) == 0)
                return NULL;
        assert_int_equal(err.code, ZL_E_INVALID);
        assert_non_null(err.hint);
        assert_true(asprintf(&message, "%s; %s", zl_error_message(&err), err.hint) > 0);
        return message;
}

static void accepted(const char *a, const char *b)
{
        _cleanup_free_ char *message = refusal(a, b);

        if (message)
                fail_msg("refused: %s", message);
}

static void refused(const char *a, const char *b, const char *expected)
{
        _cleanup_free_ char *message = refusal(a, b);

        assert_non_null(message);
        if (!strstr(message, expected))
                fail_msg("\"%s\" is not in: %s", expected, message);
}

#define HOST ", network_mode: host, endpoints: "
#define WEB "[{name: web, protocol: http, port: 80}]"

static void test_bridge(void **state)
{
        accepted("", "");
        accepted(", scale: {mode: fixed, replicas: 3}, endpoints: [{name: web, protocol: http, "
                 "port: 80, target_port: 8080}]",
                 ", network_mode: bridge, endpoints: " WEB);
}

static void test_host(void **state)
{
        accepted(HOST WEB, "");
        accepted(HOST "[{name: web, protocol: http, port: 80, target_port: 80}]",
                 HOST "[{name: ask, protocol: udp, port: 80}]");
        accepted(HOST WEB ", scale: {mode: manual}", ", endpoints: " WEB);
        accepted(HOST WEB ", scale: {mode: fixed, replicas: 0}", "");
        refused(HOST "[{name: web, protocol: http, port: 80, target_port: 8080}]", "",
                "service a: endpoints: web: on the host's network nothing leads from port 80 to port "
                "8080; let the workload listen on port 80");
        refused(", host_network: true, endpoints: [{name: web, protocol: tcp, port: 1, target_port: "
                "2}]",
                "", "from port 1 to port 2");
        refused(HOST WEB ", scale: {mode: fixed, replicas: 2}", "",
                "service a: endpoints: 2 replicas on the host's network cannot all have port 80");
        refused(HOST WEB ", scale: {mode: adaptive, min: 2, max: 4}", "", "2 replicas");
        refused(HOST WEB ", scale: {mode: adaptive, min: 1, max: 4, targets: {cpu: 50}}", "",
                "4 replicas");
        refused(HOST WEB, HOST "[{name: api, protocol: tcp, port: 80}]",
                "service b: endpoints: api: port 80 of the host is that of service a already");
        refused(HOST "[{name: x, protocol: tcp, port: 80}, {name: y, protocol: tcp, port: 80, "
                     "target_port: 81}]",
                "", "y: on the host's network nothing leads from port 80 to port 81");
}

static void test_without_address(void **state)
{
        refused("", ", network_mode: none, endpoints: " WEB,
                "service b: endpoints: web: with network_mode none nobody reaches it; leave");
        refused(", network_mode: \"container:b\", endpoints: " WEB, "",
                "service a: endpoints: web: with network_mode container it has no address of its "
                "own; give the endpoint to the service of b");
}

static void test_scale(void **state)
{
        struct zl_endpoint_spec web = { .port = 80 };
        struct zl_service_spec spec = { .host_network = true, .endpoints = &web, .n_endpoints = 1 };

        assert_int_equal(zl_endpoints_check_scale("a", &spec, 1, NULL), 0);
        assert_true(zl_endpoints_check_scale("a", &spec, 2, NULL) < 0);
        spec.host_network = false;
        assert_int_equal(zl_endpoints_check_scale("a", &spec, 2, NULL), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bridge),
                cmocka_unit_test(test_host),
                cmocka_unit_test(test_without_address),
                cmocka_unit_test(test_scale),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
