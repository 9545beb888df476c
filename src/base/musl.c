/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the small programs want of a libc and musl does not have. Only linked into them when they are built with musl
 * (meson.build, "use_musl").
 *
 * Static libraries of the distribution: libseccomp.a and libjansson.a are compiled against glibc with _FORTIFY_SOURCE. All else they use of libc is plain C and
 * the same in both libraries; the checked variants of four functions are not. They do here what they promise: an
 * overflow ends the program. Should a new version want more, the link fails.
 *
 * The words for errno values: messages are read by people and by programs that were written against runc and glibc; they must not
 * depend on the libc that one of our programs happens to be linked with.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int __fprintf_chk(FILE *file, int flag, const char *fmt, ...);
int __snprintf_chk(char *s, size_t n, int flag, size_t size, const char *fmt, ...);
int __vsnprintf_chk(char *s, size_t n, int flag, size_t size, const char *fmt, va_list ap);
char *__strncpy_chk(char *to, const char *from, size_t n, size_t size);
char *__real_strerror(int errnum);
char *__wrap_strerror(int errnum);

int __fprintf_chk(FILE *file, int flag, const char *fmt, ...)
{
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vfprintf(file, fmt, ap);
        va_end(ap);
        return n;
}

/* zl-size: the parameters are glibc's */
int __vsnprintf_chk(char *s, size_t n, int flag, size_t size, const char *fmt, va_list ap)
{
        if (n > size)
                abort();
        return vsnprintf(s, n, fmt, ap);
}

int __snprintf_chk(char *s, size_t n, int flag, size_t size, const char *fmt, ...)
{
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = __vsnprintf_chk(s, n, flag, size, fmt, ap);
        va_end(ap);
        return r;
}

char *__strncpy_chk(char *to, const char *from, size_t n, size_t size)
{
        if (n > size)
                abort();
        return strncpy(to, from, n);
}

static const struct {
        int errnum;
        const char *text;
} words[] = {
        { ENOENT, "No such file or directory" },
        { EIO, "Input/output error" },
        { ENXIO, "No such device or address" },
        { E2BIG, "Argument list too long" },
        { ENOEXEC, "Exec format error" },
        { ECHILD, "No child processes" },
        { ENOMEM, "Cannot allocate memory" },
        { EBUSY, "Device or resource busy" },
        { EXDEV, "Invalid cross-device link" },
        { EMFILE, "Too many open files" },
        { ENOTTY, "Inappropriate ioctl for device" },
        { ESPIPE, "Illegal seek" },
        { EDOM, "Numerical argument out of domain" },
        { ERANGE, "Numerical result out of range" },
        { EDEADLK, "Resource deadlock avoided" },
        { ENAMETOOLONG, "File name too long" },
        { ELOOP, "Too many levels of symbolic links" },
        { EOVERFLOW, "Value too large for defined data type" },
        { EILSEQ, "Invalid or incomplete multibyte or wide character" },
        { EUSERS, "Too many users" },
        { ENOTSOCK, "Socket operation on non-socket" },
        { EMSGSIZE, "Message too long" },
        { EOPNOTSUPP, "Operation not supported" },
        { EADDRINUSE, "Address already in use" },
        { EADDRNOTAVAIL, "Cannot assign requested address" },
        { ENETUNREACH, "Network is unreachable" },
        { ECONNABORTED, "Software caused connection abort" },
        { EISCONN, "Transport endpoint is already connected" },
        { ENOTCONN, "Transport endpoint is not connected" },
        { ETOOMANYREFS, "Too many references: cannot splice" },
        { ETIMEDOUT, "Connection timed out" },
        { EHOSTUNREACH, "No route to host" },
        { EUCLEAN, "Structure needs cleaning" },
        { EDQUOT, "Disk quota exceeded" },
};

/* Takes the place of strerror() by --wrap. */
char *__wrap_strerror(int errnum)
{
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
                if (words[i].errnum == errnum)
                        return (char *)(uintptr_t)words[i].text;
        return __real_strerror(errnum);
}
