/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See library.h. What may go wrong: the library is missing, or is another version. The first is the usual case on a machine
 * where somebody copied the program, so the message says what it was wanted for.
 */
#include "base/library.h"

#include <dlfcn.h>

static int load(struct zl_library *l, struct zl_error *err)
{
        void *handle = dlopen(l->soname, RTLD_NOW | RTLD_LOCAL);
        void *address = handle;

        for (size_t i = 0; i < l->n_functions && address; i++) {
                address = dlsym(handle, l->functions[i].name);
                memcpy((char *)l->table + l->functions[i].offset, &address, sizeof(address));
        }
        if (!address) {
                const char *why = dlerror();
                int r = zl_fail(err, ZL_E_UNSUPPORTED, 0, "%s is needed %s and does not load: %s",
                                l->soname, l->purpose, why ? why : "reason unknown");

                if (handle)
                        dlclose(handle);
                return r;
        }
        l->loaded = true;
        return 0;
}

int zl_library_load(struct zl_library *library, struct zl_error *err)
{
        int r = 0;

        pthread_mutex_lock(&library->lock);
        if (!library->loaded)
                r = load(library, err);
        pthread_mutex_unlock(&library->lock);
        return r;
}
