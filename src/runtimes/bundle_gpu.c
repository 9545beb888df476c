/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graphics processors that were chosen for a workload (gpu.h), in its configuration: by the name that the vendor's files have for them
 * (cdi.h), else by their nodes.
 *
 * Why names first: what talks to a driver of NVIDIA has to be of the driver's own version, so it cannot be in an image. Only the file
 * says where it is on this machine. The libraries of the others are in the images, and their nodes are enough.
 *
 * Why most variables count from 0: they are read inside, by libraries that number what they see there. "2" would be the third of one. Only the
 * first is read outside, by the hook of NVIDIA's own runtime.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "runtimes/bundle_private.h"
#include "runtimes/cdi.h"
#include "runtimes/gpu.h"

/* ---- variables ----------------------------------------------------------------------------------- */

enum count_from {
        HOST,   /* by the host's numbers */
        INSIDE, /* among those that are seen inside */
        CHOSEN, /* among those that another variable leaves */
};

static const struct {
        const char *vendor, *name;
        enum count_from from;
} variables[] = {
        { "nvidia", "NVIDIA_VISIBLE_DEVICES", HOST }, { "nvidia", "CUDA_VISIBLE_DEVICES", INSIDE },
        { "amd", "ROCR_VISIBLE_DEVICES", INSIDE },    { "amd", "HIP_VISIBLE_DEVICES", CHOSEN },
        { "intel", "ZE_AFFINITY_MASK", INSIDE },
};

static int set_list(const struct bundle_builder *b, char ***env, size_t variable)
{
        const struct zl_gpus *gpus = &b->in->gpus;
        enum count_from from = variables[variable].from;
        /* A privileged workload sees all. */
        bool of_host = from == HOST || (from == INSIDE && b->spec->privileged);
        _cleanup_buf_ struct zl_buf list = ZL_BUF_INIT(1 << 12);

        for (size_t i = 0; i < gpus->n; i++)
                if (zl_buf_putf(&list, "%s%u", i ? "," : "",
                                of_host ? gpus->items[i].index : (unsigned)i) < 0)
                        return -ENOMEM;
        return zl_env_set(env, variables[variable].name, list.data ? list.data : "");
}

/* Variables of a distributed job of one member: what the training libraries look for. */
static int add_distributed(struct bundle_builder *b, const struct zl_distributed_spec *d,
                           char ***env)
{
        char port[8];
        int r;

        snprintf(port, sizeof(port), "%u", d->master_port);
        r = zl_env_set(env, "MASTER_PORT", port);
        if (r == 0)
                r = zl_env_set(env, "MASTER_ADDR", b->in->ident->service);
        if (r == 0)
                r = zl_env_set(env, "WORLD_SIZE", "1");
        if (r == 0)
                r = zl_env_set(env, "RANK", "0");
        if (r == 0)
                r = zl_env_set(env, "LOCAL_RANK", "0");
        if (r == 0 && zl_streq(d->backend, "nccl"))
                r = zl_env_set(env, "NCCL_SOCKET_IFNAME", "eth0");
        if (r == 0 && zl_streq(d->backend, "gloo"))
                r = zl_env_set(env, "GLOO_SOCKET_IFNAME", "eth0");
        return r;
}

int bundle_gpu_env(struct bundle_builder *b, char ***env)
{
        const struct zl_gpu_spec *gpu = b->spec->resources.gpu;
        int r = 0;

        if (!gpu)
                return 0;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(variables) && r == 0 && !b->in->wasm; i++)
                if (zl_streq(gpu->vendor, variables[i].vendor))
                        r = set_list(b, env, i);
        return r == 0 && gpu->distributed ? add_distributed(b, gpu->distributed, env) : r;
}

/* ---- devices ------------------------------------------------------------------------------------- */

/* Of the sort that each processor has one of. */
static bool is_gpu_node(const char *path)
{
        const char *number = zl_startswith(path, "/dev/nvidia");

        if (!number)
                number = zl_startswith(path, "/dev/dri/renderD");
        return number && *number && strspn(number, "0123456789") == strlen(number);
}

/* Does the device bring this node, and that of no other processor of the kind? */
static bool is_device_of(const struct zl_cdi_device *device, const char *node)
{
        size_t kind = strcspn(node, "0123456789");
        bool is = false;

        for (size_t i = 0; i < device->edits.n_nodes; i++) {
                const struct zl_cdi_node *n = &device->edits.nodes[i];
                const char *path = n->host_path && *n->host_path ? n->host_path : n->path;

                if (zl_streq(path, node))
                        is = true;
                else if (is_gpu_node(path) && strncmp(path, node, kind) == 0)
                        return false;
        }
        return is;
}

/* The vendor's tools number in an order of their own, so of the devices in the file the one is taken that brings the node. */
static const struct zl_cdi_device *find_by_node(const struct zl_cdi_spec *spec,
                                                const struct zl_cdi_device *likely,
                                                const char *node)
{
        if (is_device_of(likely, node))
                return likely;
        for (size_t i = 0; i < spec->n_devices; i++)
                if (is_device_of(&spec->devices[i], node))
                        return &spec->devices[i];
        return NULL;
}

/* 1: it came by its name; 0: no file has one for it. */
static int add_by_name(struct bundle_builder *b, const struct zl_gpu_vendor *vendor,
                       const struct zl_gpu *gpu)
{
        _cleanup_(zl_cdi_spec_freep) struct zl_cdi_spec *spec = NULL;
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        _cleanup_free_ char *name = NULL;
        const struct zl_cdi_device *device;
        int r;

        if (!vendor->cdi)
                return 0;
        if (asprintf(&name, "%s=%u", vendor->cdi, gpu->index) < 0) {
                name = NULL;
                return zl_fail_oom(b->err);
        }
        r = zl_cdi_find(b->in->facts->cdi_dirs, name, &spec, &device, &why);
        if (r == 0 && !(device = find_by_node(spec, device, gpu->node)))
                zl_fail(&why, ZL_E_NOT_FOUND, 0, "no device of %s is %s alone", spec->path,
                        gpu->node);
        if (zl_error_is_set(&why)) {
                if (vendor->needs_libraries)
                        bundle_warn(b, "resources.gpu: without the libraries of the driver: %s",
                                    zl_error_message(&why));
                return 0;
        }
        r = bundle_cdi_add(b, spec, device, "rwm");
        if (r < 0)
                zl_error_prefix(b->err, "resources.gpu: %s", spec->path);
        return r < 0 ? r : 1;
}

static int add_node(struct bundle_builder *b, const char *path)
{
        int r = bundle_add_devices(b, path, "rwm");

        if (r == -ENOMEM)
                return zl_fail_oom(b->err);
        if (r < 0)
                bundle_warn(b, "resources.gpu: %s is not there (%s)", path, strerror(-r));
        return 0;
}

static int add_gpu(struct bundle_builder *b, const struct zl_gpu_vendor *vendor,
                   const struct zl_gpu *gpu)
{
        _cleanup_strv_ char **control = NULL;
        int r = add_by_name(b, vendor, gpu);

        if (r != 0)
                return r < 0 ? r : 0;
        control = bundle_words(vendor->control);
        if (!control && *vendor->control)
                return zl_fail_oom(b->err);
        if (gpu == b->in->gpus.items)
                ZL_STRV_FOREACH(path, control)
                        if (r == 0)
                                r = add_node(b, *path);
        if (r == 0)
                r = add_node(b, gpu->node);
        return r == 0 && gpu->card ? add_node(b, gpu->card) : r;
}

static void warn_about(const struct bundle_builder *b, const struct zl_gpu_spec *gpu)
{
        if (gpu->model)
                bundle_warn(b, "resources.gpu.model: devices are not chosen by model");
        if (gpu->has_sharing && gpu->sharing != ZL_GPU_EXCLUSIVE)
                bundle_warn(
                        b,
                        "resources.gpu.sharing: devices are handed out without a sharing service");
        if (gpu->has_scheduling && gpu->scheduling != ZL_GPU_BEST_EFFORT)
                bundle_warn(b, "resources.gpu.scheduling: there is only this machine");
        if (gpu->mode)
                bundle_warn(b, "resources.gpu.mode: means nothing on Linux");
}

int bundle_gpus(struct bundle_builder *b)
{
        const struct zl_gpu_spec *gpu = b->spec->resources.gpu;
        int r = 0;

        if (!gpu)
                return 0;
        if (b->in->wasm) {
                bundle_warn(b, "resources.gpu: a WebAssembly program cannot use any, it gets none");
                return 0;
        }
        for (size_t i = 0; i < b->in->gpus.n && r == 0; i++)
                r = add_gpu(b, zl_gpu_vendor_find(gpu->vendor), &b->in->gpus.items[i]);
        if (r == 0)
                warn_about(b, gpu);
        return r;
}
