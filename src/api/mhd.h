/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd, loaded when the daemon begins: it brings ten libraries along (its TLS, which we do not use), and all other
 * commands do without. Its functions are called by their own names, through a table.
 */
#pragma once

#include <microhttpd.h>

#include "base/error.h"

#define ZL_MHD_FUNCTIONS(X)                                                                        \
        X(add_connection)                                                                          \
        X(add_response_header)                                                                     \
        X(create_response_for_upgrade)                                                             \
        X(create_response_from_buffer)                                                             \
        X(create_response_from_callback)                                                           \
        X(destroy_response)                                                                        \
        X(get_connection_info)                                                                     \
        X(get_connection_values_n)                                                                 \
        X(get_daemon_info)                                                                         \
        X(get_timeout)                                                                             \
        X(lookup_connection_value)                                                                 \
        X(queue_response)                                                                          \
        X(resume_connection)                                                                       \
        X(run)                                                                                     \
        X(start_daemon)                                                                            \
        X(stop_daemon)                                                                             \
        X(suspend_connection)                                                                      \
        X(upgrade_action)

struct zl_mhd {
#define X(name) __typeof__(&MHD_##name) name;
        ZL_MHD_FUNCTIONS(X)
#undef X
};

/* Complete after the first zl_mhd_load(), which must come before everything else. */
extern struct zl_mhd zl_mhd;

/* ZL_E_UNSUPPORTED if the library is not installed. Any thread, any number of times. */
int zl_mhd_load(struct zl_error *err);

#define MHD_add_connection zl_mhd.add_connection
#define MHD_add_response_header zl_mhd.add_response_header
#define MHD_create_response_for_upgrade zl_mhd.create_response_for_upgrade
#define MHD_create_response_from_buffer zl_mhd.create_response_from_buffer
#define MHD_create_response_from_callback zl_mhd.create_response_from_callback
#define MHD_destroy_response zl_mhd.destroy_response
#define MHD_get_connection_info zl_mhd.get_connection_info
#define MHD_get_connection_values_n zl_mhd.get_connection_values_n
#define MHD_get_daemon_info zl_mhd.get_daemon_info
#define MHD_get_timeout zl_mhd.get_timeout
#define MHD_lookup_connection_value zl_mhd.lookup_connection_value
#define MHD_queue_response zl_mhd.queue_response
#define MHD_resume_connection zl_mhd.resume_connection
#define MHD_run zl_mhd.run
#define MHD_start_daemon zl_mhd.start_daemon
#define MHD_stop_daemon zl_mhd.stop_daemon
#define MHD_suspend_connection zl_mhd.suspend_connection
#define MHD_upgrade_action zl_mhd.upgrade_action
