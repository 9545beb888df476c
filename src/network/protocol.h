/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said on <runtime_dir>/net/net.sock: one JSON object per message of a SOCK_SEQPACKET socket, each answered by
 * {"ok": ...} or {"error": {code, errno, message, hint}}. A connection may ask any number of times.
 *
 *   {"op":"attach","name":…,"network":…,"pid":…,"started":…, …}   with a pidfd and a network namespace; answered by the record
 *   {"op":"detach","name":…}                                      not attached: fine
 *   {"op":"ready","name":…,"ready":true}                         not attached: fine
 *   {"op":"drain","name":…,"timeout":NSEC}                       as not ready; the answer waits for the end of its connections
 *   {"op":"keep","name":…}                                        a network made by hand
 *   {"op":"remove","name":…}                                      and its end
 *   {"op":"ports"}                                               an array of {service, address, port, udp, connections, in_bytes,
 *                                                                in_packets, out_bytes, out_packets}
 */
#pragma once

#define ZL_NET_SOCKET "net.sock"
#define ZL_NET_OP_ATTACH "attach"
#define ZL_NET_OP_DETACH "detach"
#define ZL_NET_OP_READY "ready"
#define ZL_NET_OP_DRAIN "drain"
#define ZL_NET_OP_KEEP "keep"
#define ZL_NET_OP_REMOVE "remove"
#define ZL_NET_OP_PORTS "ports"
