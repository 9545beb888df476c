/* SPDX-License-Identifier: Apache-2.0 */
/* The program zlayer-net: `zlayer-net DIRECTORY POOL`, with a socket for the word that it is ready as descriptor 3. */
#pragma once

int zl_net_main(int argc, char **argv);
