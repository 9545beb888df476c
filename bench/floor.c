/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: the least that any runtime must do to start a container on this kernel. One clone3() into new
 * namespaces, the standard mounts by the plain mount call, pivot_root, exec; no cgroup, no config, no error
 * messages. What a runtime needs beyond this figure is its own.
 *
 *     floor [--netns] [--cgroup | --cgroup-procs] ROOTFS COMMAND [ARG]...
 *
 * --cgroup adds the cheapest set-up of control groups that puts the process into a group of its own everywhere: one
 * mkdir, one join and one rmdir in each hierarchy. On version 1 the process joins by itself, by "0" in "tasks": a
 * single thread that moves itself needs no lock over all processes. --cgroup-procs joins in the usual way instead,
 * from outside through "cgroup.procs", which takes that lock and, when nobody did so lately, waits for an RCU grace
 * period: the difference is what the wait costs. On version 2 the process is born in its group.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int ok, const char *what)
{
        if (ok)
                return;
        perror(what);
        _exit(125);
}

/* --- control groups ------------------------------------------------------------------------------------------- */

enum { MAX_GROUPS = 32 };

struct groups {
        char dirs[MAX_GROUPS][320]; /* the group in each hierarchy of version 1 */
        int tasks[MAX_GROUPS];      /* its "tasks" or "cgroup.procs" */
        int n;
        char v2[320]; /* the group in the hierarchy of version 2, if there is one */
        int v2_fd;
};

static void add_group(struct groups *g, const char *hierarchy, const char *file)
{
        char path[400];
        struct statfs fs;

        must(statfs(hierarchy, &fs) == 0, hierarchy);
        snprintf(path, sizeof path, "%s/zlayer-bench-floor-%d", hierarchy, getpid());
        if (fs.f_type == CGROUP2_SUPER_MAGIC) {
                strcpy(g->v2, path);
                must(mkdir(path, 0755) == 0, path);
                g->v2_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        } else if (fs.f_type == CGROUP_SUPER_MAGIC && g->n < MAX_GROUPS) {
                strcpy(g->dirs[g->n], path);
                must(mkdir(path, 0755) == 0, path);
                strcat(path, file);
                g->tasks[g->n++] = open(path, O_WRONLY | O_CLOEXEC);
        }
}

static void make_groups(struct groups *g, const char *file)
{
        DIR *dir = opendir("/sys/fs/cgroup");
        char path[320];
        struct statfs fs;
        struct dirent *d;

        must(dir && statfs("/sys/fs/cgroup", &fs) == 0, "/sys/fs/cgroup");
        if (fs.f_type == CGROUP2_SUPER_MAGIC)
                add_group(g, "/sys/fs/cgroup", file);
        while (fs.f_type != CGROUP2_SUPER_MAGIC && (d = readdir(dir)))
                if (d->d_type == DT_DIR && d->d_name[0] != '.') {
                        snprintf(path, sizeof path, "/sys/fs/cgroup/%s", d->d_name);
                        add_group(g, path, file);
                }
        closedir(dir);
}

/* A fresh cpuset of version 1 is empty and takes nobody unless its parent hands down its own: the measurement then goes on
 * without that hierarchy. */
static void join_groups(const struct groups *g, const char *pid)
{
        for (int i = 0; i < g->n; i++)
                must(write(g->tasks[i], pid, strlen(pid)) > 0 || errno == ENOSPC, g->dirs[i]);
}

static void remove_groups(const struct groups *g)
{
        for (int i = 0; i < g->n; i++)
                must(rmdir(g->dirs[i]) == 0, g->dirs[i]);
        if (g->v2_fd > 0)
                must(rmdir(g->v2) == 0, g->v2);
}

/* --- the container ---------------------------------------------------------------------------------------------- */

static void child(const char *rootfs, char **argv)
{
        static char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };

        must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private");
        must(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) == 0, "bind");
        must(chdir(rootfs) == 0, "chdir");
        must(mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) == 0, "proc");
        must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k") ==
                     0,
             "dev");
        mkdir("dev/pts", 0755);
        mkdir("dev/shm", 0755);
        mkdir("dev/mqueue", 0755);
        must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                   "newinstance,ptmxmode=0666,mode=0620") == 0,
             "devpts");
        must(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "size=65536k") == 0,
             "shm");
        must(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) == 0,
             "mqueue");
        must(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL) ==
                             0 ||
                     errno == EPERM,
             "sysfs");
        must(syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
        must(umount2(".", MNT_DETACH) == 0, "umount");
        must(chdir("/") == 0, "chdir /");
        execve(argv[0], argv, env);
        must(0, "execve");
}

int main(int argc, char **argv)
{
        struct clone_args args = {
                .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
                .exit_signal = SIGCHLD,
        };
        bool outside = false, grouped = false;
        static struct groups groups;
        char text[16];
        int first = 1, status;
        pid_t pid;

        for (; first < argc && strncmp(argv[first], "--", 2) == 0; first++) {
                if (strcmp(argv[first], "--netns") == 0)
                        args.flags |= CLONE_NEWNET;
                outside = outside || strcmp(argv[first], "--cgroup-procs") == 0;
                grouped = grouped || strncmp(argv[first], "--cgroup", 8) == 0;
        }
        if (argc < first + 2) {
                fprintf(stderr, "usage: floor [--netns] [--cgroup | --cgroup-procs] ROOTFS "
                                "COMMAND [ARG]...\n");
                return 2;
        }
        if (grouped)
                make_groups(&groups, outside ? "/cgroup.procs" : "/tasks");
        if (groups.v2_fd > 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)groups.v2_fd;
        }
        if (!outside)
                args.flags |= CLONE_VFORK;
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
        must(pid >= 0, "clone3");
        if (pid == 0) {
                if (!outside)
                        join_groups(&groups, "0");
                child(argv[first], argv + first + 1);
        }
        if (outside) {
                snprintf(text, sizeof text, "%d", pid);
                join_groups(&groups, text);
        }
        must(waitpid(pid, &status, 0) == pid, "waitpid");
        remove_groups(&groups);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
