/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: the least that any runtime must do to start a container on this kernel. One clone3() into new
 * namespaces, the standard mounts by the plain mount call, pivot_root, exec; no cgroup, no config, no error
 * messages. What a runtime needs beyond this figure is its own.
 *
 *     floor [--netns] ROOTFS COMMAND [ARG]...
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int ok, const char *what)
{
        if (ok)
                return;
        perror(what);
        _exit(125);
}

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
                .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_VFORK,
                .exit_signal = SIGCHLD,
        };
        int first = 1, status;
        pid_t pid;

        if (argc > 1 && strcmp(argv[1], "--netns") == 0) {
                args.flags |= CLONE_NEWNET;
                first++;
        }
        if (argc < first + 2) {
                fprintf(stderr, "usage: floor [--netns] ROOTFS COMMAND [ARG]...\n");
                return 2;
        }
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
        must(pid >= 0, "clone3");
        if (pid == 0)
                child(argv[first], argv + first + 1);
        must(waitpid(pid, &status, 0) == pid, "waitpid");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
