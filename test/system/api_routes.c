/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes as JSON, for the test that compares it with docs/openapi.yaml. */
#include <stdio.h>

#include "api/internal.h"

static void put_fields(const char *key, const struct zl_type *type)
{
        printf(",\"%s\":{", key);
        for (size_t i = 0; type && i < type->n_fields; i++)
                printf("%s\"%s\":%s", i ? "," : "", type->fields[i].name,
                       type->fields[i].flags & ZL_REQUIRED ? "true" : "false");
        printf("}");
}

int main(void)
{
        puts("[");
        for (size_t i = 0; i < zl_api_n_routes; i++) {
                const struct zl_api_route *route = &zl_api_routes[i];

                printf("%s{\"method\":\"%s\",\"path\":\"%s\",\"id\":\"%s\",\"has_body\":%s",
                       i ? "," : "", route->method, route->path, route->id,
                       route->body || route->body_text ? "true" : "false");
                put_fields("query", route->query);
                put_fields("body", route->body);
                puts("}");
        }
        puts("]");
        return 0;
}
