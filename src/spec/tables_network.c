/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of endpoints and overlay networks (spec §7.10 to §7.13): what services and externals offer to others. */
#include "spec/tables.h"

#define OVERLAY_OFF "{\"enabled\":false,\"encrypted\":false}"
#define OVERLAYS_DEFAULT "{\"service\":{\"isolated\":true},\"global\":{}}"

static const struct zl_key_hint endpoint_hints[] = {
        { "targetPort", "did you mean 'target_port'?" },
        { "container_port", "did you mean 'target_port'?" },
        { NULL, NULL },
};

static const struct zl_enum_item expose_items[] = {
        { "public", ZL_EXPOSE_PUBLIC },
        { "internal", ZL_EXPOSE_INTERNAL },
};
const struct zl_type zl_expose_type = ZL_TYPE_ENUM("Expose", expose_items);

static const struct zl_enum_item protocol_items[] = {
        { "http", ZL_PROTOCOL_HTTP },
        { "https", ZL_PROTOCOL_HTTPS },
        { "tcp", ZL_PROTOCOL_TCP },
        { "udp", ZL_PROTOCOL_UDP },
        { "websocket", ZL_PROTOCOL_WEBSOCKET },
};
static const struct zl_type protocol_type = ZL_TYPE_ENUM("Protocol", protocol_items);

static const struct zl_enum_item join_mode_items[] = {
        { "open", ZL_JOIN_OPEN },
        { "token", ZL_JOIN_TOKEN },
        { "closed", ZL_JOIN_CLOSED },
};
static const struct zl_type join_mode_type = ZL_TYPE_ENUM("JoinMode", join_mode_items);

static const struct zl_enum_item join_scope_items[] = {
        { "service", ZL_JOIN_SERVICE },
        { "global", ZL_JOIN_GLOBAL },
};
static const struct zl_type join_scope_type = ZL_TYPE_ENUM("JoinScope", join_scope_items);

/* ---- network ------------------------------------------------------------------------------------------------- */

static const struct zl_field overlay_settings_fields[] = {
        F(zl_overlay_settings, enabled, zl_type_bool, .def = "true", DOC("Join this overlay.")),
        F(zl_overlay_settings, encrypted, zl_type_bool, .def = "true",
          DOC("Encrypt traffic between nodes.")),
        F(zl_overlay_settings, isolated, zl_type_bool, .def = "false",
          DOC("Only members of this service may connect.")),
};
static const struct zl_type overlay_settings_type = ZL_TYPE_STRUCT(
        struct zl_overlay_settings, "OverlaySettings", overlay_settings_fields);

static const struct zl_field overlays_fields[] = {
        F(zl_overlays_spec, service, overlay_settings_type, .def = OVERLAY_OFF,
          DOC("The overlay of this service alone.")),
        F(zl_overlays_spec, global, overlay_settings_type, .def = OVERLAY_OFF,
          DOC("The overlay of all services.")),
};
static const struct zl_type overlays_type = ZL_TYPE_STRUCT(struct zl_overlays_spec, "Overlays",
                                                           overlays_fields);

static const struct zl_field join_fields[] = {
        F(zl_join_policy, mode, join_mode_type, .def = "token", DOC("Who may join.")),
        F(zl_join_policy, scope, join_scope_type, .def = "service",
          DOC("What a joining node gets into.")),
};
static const struct zl_type join_type = ZL_TYPE_STRUCT(struct zl_join_policy, "JoinPolicy",
                                                       join_fields);

static const struct zl_field network_fields[] = {
        F(zl_service_network_spec, overlays, overlays_type, .def = OVERLAYS_DEFAULT,
          DOC("Overlay networks; both are on when this is absent.")),
        F(zl_service_network_spec, join, join_type, DOC("Join policy.")),
};
const struct zl_type zl_service_network_type = ZL_TYPE_STRUCT(struct zl_service_network_spec,
                                                              "ServiceNetwork", network_fields);

/* ---- endpoints ----------------------------------------------------------------------------------------------- */

static const struct zl_field udp_probe_fields[] = {
        F(zl_stream_check, request, zl_type_str, .flags = ZL_REQUIRED,
          DOC("What to send; bytes may be written as \\xNN.")),
        F(zl_stream_check, expect, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Pattern of the answer; absent: any answer.")),
};

static const struct zl_variant stream_check_variants[] = {
        { "tcp_connect", ZL_STREAM_TCP_CONNECT, NULL, 0, true, "A connection can be made." },
        { "udp_probe", ZL_STREAM_UDP_PROBE, udp_probe_fields, ZL_ARRAY_SIZE(udp_probe_fields), true,
          "A datagram is answered." },
};
static const struct zl_type stream_check_type = ZL_TYPE_UNION(
        struct zl_stream_check, "StreamHealthCheck", "type", type, stream_check_variants);

static const struct zl_field stream_fields[] = {
        F(zl_stream_spec, tls, zl_type_bool, .def = "false", DOC("Terminate TLS.")),
        F(zl_stream_spec, proxy_protocol, zl_type_bool, .def = "false",
          DOC("Tell the back end the address of the client.")),
        F(zl_stream_spec, session_timeout, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("How long an idle UDP session is kept.")),
        F(zl_stream_spec, health_check, stream_check_type, .flags = ZL_PTR,
          DOC("How back ends are checked.")),
};
static const struct zl_type stream_type = ZL_TYPE_STRUCT(struct zl_stream_spec, "StreamEndpoint",
                                                         stream_fields);

static const struct zl_field tunnel_access_fields[] = {
        F(zl_tunnel_access, enabled, zl_type_bool, .def = "false",
          DOC("Let people ask for temporary access.")),
        F(zl_tunnel_access, max_ttl, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Longest duration of access.")),
        F(zl_tunnel_access, audit, zl_type_bool, .def = "false", DOC("Record every access.")),
};
static const struct zl_type tunnel_access_type = ZL_TYPE_STRUCT(
        struct zl_tunnel_access, "TunnelAccess", tunnel_access_fields);

static const struct zl_field endpoint_tunnel_fields[] = {
        F(zl_endpoint_tunnel, enabled, zl_type_bool, .def = "false", DOC("Make this tunnel.")),
        F(zl_endpoint_tunnel, from, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Node where it begins.")),
        F(zl_endpoint_tunnel, to, zl_type_str, .flags = ZL_OPTIONAL, DOC("Node where it ends.")),
        F(zl_endpoint_tunnel, remote_port, zl_type_u16, .def = "0",
          DOC("Port at the far end; 0 is any free one.")),
        OPT(zl_endpoint_tunnel, expose, zl_expose_type, DOC("Who reaches the far end.")),
        F(zl_endpoint_tunnel, access, tunnel_access_type, .flags = ZL_PTR,
          DOC("Temporary access.")),
};
static const struct zl_type endpoint_tunnel_type = ZL_TYPE_STRUCT(
        struct zl_endpoint_tunnel, "EndpointTunnel", endpoint_tunnel_fields);

static const struct zl_field endpoint_fields[] = {
        F(zl_endpoint_spec, name, zl_type_str, .flags = ZL_REQUIRED,
          DOC("Name, unique in the service.")),
        F(zl_endpoint_spec, protocol, protocol_type, .flags = ZL_REQUIRED, DOC("What is spoken.")),
        F(zl_endpoint_spec, port, zl_type_u16, .flags = ZL_REQUIRED, DOC("Port of the proxy.")),
        OPT(zl_endpoint_spec, target_port, zl_type_u16,
            DOC("Port in the container; absent: port.")),
        F(zl_endpoint_spec, path, zl_type_str, .flags = ZL_OPTIONAL | ZL_OUT_NULL,
          DOC("URL prefix.")),
        F(zl_endpoint_spec, host, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Host pattern; may begin with *. as a wildcard.")),
        F(zl_endpoint_spec, expose, zl_expose_type, .def = "internal",
          DOC("public: reachable from outside.")),
        F(zl_endpoint_spec, stream, stream_type, .flags = ZL_PTR, DOC("Options for tcp and udp.")),
        F(zl_endpoint_spec, tunnel, endpoint_tunnel_type, .flags = ZL_PTR,
          DOC("Tunnel to another node.")),
};
static const struct zl_type endpoint_type = ZL_TYPE_STRUCT(
        struct zl_endpoint_spec, "Endpoint", endpoint_fields, .key_hints = endpoint_hints);

const struct zl_type zl_endpoints_type = ZL_TYPE_LIST(endpoint_type);
