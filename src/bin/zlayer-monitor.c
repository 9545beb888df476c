/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zlayer-monitor: the process that stands beside one container from its creation to its exit record. Everything is in
 * src/monitor; this program only exists so that it can be linked small and static.
 */
#include "monitor/main.h"

int main(int argc, char **argv)
{
        return zl_monitor_main(argc, argv);
}
