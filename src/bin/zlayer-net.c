/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zlayer-net: the process that owns the networks of one runtime directory. Everything is in src/network; this program only exists so
 * that it can be linked small and static.
 */
#include "network/main.h"

int main(int argc, char **argv)
{
        return zl_net_main(argc, argv);
}
