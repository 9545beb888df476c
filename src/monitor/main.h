/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor as a function: src/bin/zlayer-monitor.c is its main(). */
#pragma once

/* Descriptor 3 is the launcher's socket, argv[1] the workload's name (for ps only; the launch request says it again).
 * Returns the exit status of the program. */
int zl_monitor_main(int argc, char **argv);
