/* SPDX-License-Identifier: Apache-2.0 */
/* The program zlayer-oci; everything is in src/cli/oci. */
#include "cli/oci/oci.h"

int main(int argc, char **argv)
{
        return zl_oci_main(argc, argv);
}
