/* SPDX-License-Identifier: Apache-2.0 */
/* Graphics processors: which there are on a machine, and which of them somebody gets. */
#include "support.h"

#include <errno.h>

#include "base/strv.h"
#include "runtimes/gpu.h"

/* ---- the machine ----------------------------------------------------------------------------------- */

/* Blank-separated nodes; and pairs of files and what they hold. */
static const char *nodes;
static const char *const *files;

static int find_devices(const char *path, struct zl_bundle_device **devices, size_t *n)
{
        const char *at = strstr(nodes, path);

        if (!at || !strchr(" ", at[strlen(path)]))
                return -ENOENT;
        *devices = calloc(1, sizeof(**devices));
        (*devices)[0] = (struct zl_bundle_device){ strdup(path), 'c', 1, 2 };
        *n = 1;
        return 0;
}

static int read_file(const char *path, char **ret, size_t *ret_len)
{
        for (const char *const *f = files; f && *f; f += 2)
                if (zl_streq(*f, path)) {
                        *ret = strdup(f[1]);
                        *ret_len = strlen(f[1]);
                        return 0;
                }
        return -ENOENT;
}

static const struct zl_bundle_facts facts = { .find_devices = find_devices,
                                              .read_file = read_file };

/* "NODE+CARD:INDEX …" */
static const char *text_of(const struct zl_gpus *gpus)
{
        static char text[1000];
        int len = 0;

        *text = 0;
        for (size_t i = 0; i < gpus->n; i++) {
                const struct zl_gpu *g = &gpus->items[i];

                len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%s%s%s:%u", i ? " " : "",
                                g->node + strlen("/dev/"), g->card ? "+" : "",
                                g->card ? g->card + strlen("/dev/dri/") : "", g->index);
        }
        return text;
}

static void check_find(const char *vendor, const char *expected)
{
        _cleanup_gpus_ struct zl_gpus gpus = { 0 };

        assert_int_equal(zl_gpus_find(&facts, vendor, &gpus, NULL), 0);
        assert_string_equal(text_of(&gpus), expected);
}

static void test_find(void **state)
{
        files = NULL;
        nodes = "/dev/nvidiactl /dev/nvidia0 /dev/nvidia2 /dev/nvidia10 /dev/nvidia64";
        check_find("nvidia", "nvidia0:0 nvidia2:2 nvidia10:10");
        check_find("amd", "");
        nodes = "/dev/dri/card0 /dev/dri/renderD128 /dev/dri/renderD130";
        check_find("amd", "dri/renderD128+card0:0 dri/renderD130:1");
        check_find("apple", "dri/renderD128:0 dri/renderD130:1");
        check_find("nvidia", "");
}

/* The one in the processor, one to calculate with, and a frame buffer of the firmware that has the first number. */
static void test_find_by_vendor(void **state)
{
        static const char *const sysfs[] = { "/sys/class/drm/renderD128/device/vendor",
                                             "0x8086\n",
                                             "/sys/class/drm/renderD128/device/uevent",
                                             "DRIVER=i915\nPCI_SLOT_NAME=0000:00:02.0\n",
                                             "/sys/class/drm/card1/device/uevent",
                                             "DRIVER=i915\nPCI_SLOT_NAME=0000:00:02.0\n",
                                             "/sys/class/drm/renderD129/device/vendor",
                                             "0x1002\n",
                                             "/sys/class/drm/renderD129/device/uevent",
                                             "PCI_SLOT_NAME=0000:03:00.0\nX=y\n",
                                             "/sys/class/drm/card2/device/uevent",
                                             "PCI_SLOT_NAME=0000:03:00.0\nX=y\n",
                                             "/sys/class/drm/renderD130/device/vendor",
                                             "0x1002\n",
                                             "/sys/class/drm/renderD130/device/uevent",
                                             "PCI_SLOT_NAME=0000:04:00.0\n",
                                             NULL };

        files = sysfs;
        nodes = "/dev/dri/card0 /dev/dri/card1 /dev/dri/card2 /dev/dri/renderD128 /dev/dri/renderD129 /dev/dri/renderD130";
        check_find("intel", "dri/renderD128+card1:0");
        check_find("amd", "dri/renderD129+card2:0 dri/renderD130:1");
        check_find("other", "dri/renderD128:0 dri/renderD129:1 dri/renderD130:2");
}

/* ---- choosing -------------------------------------------------------------------------------------- */

/* Of four; `uses` is "OWNER=NUMBER …", with "~" for "=" where it is shared. `expected`: those chosen, or the end of the error. */
static void check_choice(const char *uses, const char *wish, const char *expected)
{
        static const char four[] = "/dev/nvidia0 /dev/nvidia1 /dev/nvidia2 /dev/nvidia3";
        _cleanup_gpus_ struct zl_gpus gpus = { 0 };
        _cleanup_gpu_uses_ struct zl_gpu_uses all = { 0 };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        const struct zl_gpu_wish w = { "nvidia", (uint32_t)(*wish - '0'), wish[1] == '~' };
        char owner[20], kind, node[20];
        unsigned number;
        int n, r;

        nodes = four;
        files = NULL;
        for (; sscanf(uses, " %19[a-z]%c%u%n", owner, &kind, &number, &n) == 3; uses += n) {
                snprintf(node, sizeof(node), "/dev/nvidia%u", number);
                assert_int_equal(zl_gpu_uses_add(&all, node, owner, kind == '~'), 0);
        }
        assert_int_equal(zl_gpus_find(&facts, "nvidia", &gpus, NULL), 0);
        r = zl_gpus_choose(&gpus, &all, &w, &err);
        if (r == 0) {
                assert_string_equal(text_of(&gpus), expected);
                return;
        }
        assert_int_equal(err.code, w.count > 4 ? ZL_E_UNSUPPORTED : ZL_E_BUSY);
        assert_string_equal(zl_error_message(&err), expected);
}

static void test_choose(void **state)
{
        check_choice("", "1", "nvidia0:0");
        check_choice("", "0", "");
        check_choice("", "4", "nvidia0:0 nvidia1:1 nvidia2:2 nvidia3:3");
        check_choice("a=0 b=2", "2", "nvidia1:1 nvidia3:3");
        check_choice("a=0 b=2 c=7", "2", "nvidia1:1 nvidia3:3"); /* one that is gone */
        check_choice("", "5", "resources.gpu: 5 of nvidia wanted, this machine has 4");
        check_choice(
                "b=2 a=0", "3",
                "resources.gpu: 3 of nvidia wanted, 2 of 4 free: a has /dev/nvidia0, b has /dev/nvidia2");
        check_choice("a~0", "4",
                     "resources.gpu: 4 of nvidia wanted, 3 of 4 free: a shares /dev/nvidia0");
}

static void test_share(void **state)
{
        check_choice("", "1~", "nvidia0:0");
        check_choice("a~0 b~1", "1~", "nvidia2:2");
        check_choice("a~0 b~1 c~2 d~3", "1~", "nvidia0:0");
        check_choice("a~0 b~1 c~2 d~3 e~0 f~1 g~3", "2~", "nvidia0:0 nvidia2:2");
        check_choice("a~0 b~0 c=1 d=2 e=3", "1~", "nvidia0:0"); /* the only one that is shared */
        check_choice(
                "c=1 d=2 e=3", "2~",
                "resources.gpu: 2 of nvidia wanted, 1 of 4 free: c has /dev/nvidia1, d has /dev/nvidia2, e has /dev/nvidia3");
        check_choice(
                "a~0 b=0", "4~",
                "resources.gpu: 4 of nvidia wanted, 3 of 4 free: a shares /dev/nvidia0, b has /dev/nvidia0");
}

static void test_wish(void **state)
{
        char vendor[] = "amd";
        struct zl_gpu_spec spec = { .count = 3, .vendor = vendor };

        assert_false(zl_gpu_wish_of(&spec).shared);
        assert_int_equal(zl_gpu_wish_of(&spec).count, 3);
        spec.has_sharing = true;
        spec.sharing = ZL_GPU_EXCLUSIVE;
        assert_false(zl_gpu_wish_of(&spec).shared);
        spec.sharing = ZL_GPU_MPS;
        assert_true(zl_gpu_wish_of(&spec).shared);
        spec.sharing = ZL_GPU_TIME_SLICE;
        assert_true(zl_gpu_wish_of(&spec).shared);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_find),   cmocka_unit_test(test_find_by_vendor),
                cmocka_unit_test(test_choose), cmocka_unit_test(test_share),
                cmocka_unit_test(test_wish),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
