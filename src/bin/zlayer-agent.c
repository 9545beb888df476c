/* SPDX-License-Identifier: Apache-2.0 */
/* The program zlayer-agent: all it does is in cli/. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
        return zl_cli_main(argc, argv);
}
