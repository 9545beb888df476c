/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that does what programs do with files, time and memory; what it says must not depend on who runs it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int say(const char *what, int r)
{
        printf("%s: %s\n", what, r < 0 ? strerror(errno) : "ok");
        return r;
}

/* Everything that can be done in a directory, twice where the second time has to fail. */
static int files(const char *dir)
{
        char a[256], b[256], buf[64] = "";
        struct stat st;
        int fd;

        snprintf(a, sizeof(a), "%s/a", dir);
        snprintf(b, sizeof(b), "%s/sub", dir);
        say("mkdir", mkdir(b, 0755));
        say("mkdir again", mkdir(b, 0755));
        fd = say("create", open(a, O_CREAT | O_EXCL | O_RDWR, 0644));
        say("create again", open(a, O_CREAT | O_EXCL | O_RDWR, 0644));
        say("write", (int)write(fd, "0123456789", 10));
        say("seek", (int)lseek(fd, 4, SEEK_SET));
        say("read", (int)read(fd, buf, 3));
        printf("%s\n", buf);
        say("truncate", ftruncate(fd, 5));
        say("fstat", fstat(fd, &st));
        printf("size %lld\n", (long long)st.st_size);
        close(fd);
        snprintf(b, sizeof(b), "%s/sub/b", dir);
        say("rename", rename(a, b));
        say("stat of the old name", stat(a, &st));
        say("symlink", symlink("sub/b", a));
        say("readlink", (int)readlink(a, buf, sizeof(buf)));
        say("open through it", open(a, O_RDONLY));
        snprintf(b, sizeof(b), "%s/sub", dir);
        say("rmdir of a full one", rmdir(b));
        snprintf(b, sizeof(b), "%s/../etc/passwd", dir);
        say("climb out", open(b, O_RDONLY));
        return 0;
}

static int compare(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list(const char *dir)
{
        DIR *d = opendir(dir);
        char *names[64];
        size_t n = 0;
        struct dirent *e;

        if (!d)
                return say("opendir", -1);
        while ((e = readdir(d)) && n < 64)
                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                        names[n++] = strdup(e->d_name);
        closedir(d);
        qsort(names, n, sizeof(*names), compare);
        for (size_t i = 0; i < n; i++)
                puts(names[i]);
        return 0;
}

static int numbers(void)
{
        double sum = 0;

        for (int i = 1; i < 100000; i++)
                sum += 1.0 / i / i;
        printf("%.15f %a\n", sum, sum);
        return 0;
}

static int deep(int n)
{
        volatile char frame[256] = { (char)n };

        return n == 0 ? frame[0] : deep(n - 1) + frame[0];
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "";

        if (strcmp(what, "files") == 0)
                return files(argv[2]);
        if (strcmp(what, "list") == 0)
                return list(argv[2]);
        if (strcmp(what, "numbers") == 0)
                return numbers();
        if (strcmp(what, "deep") == 0)
                return deep(atoi(argv[2])) & 1;
        if (strcmp(what, "errors") == 0)
                return fprintf(stderr, "to the other stream\n") < 0;
        if (strcmp(what, "exit") == 0)
                return atoi(argv[2]);
        if (strcmp(what, "abort") == 0)
                abort();
        return 2;
}
