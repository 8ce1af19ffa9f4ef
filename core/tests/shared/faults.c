// Fails one call on a file below LSES_FAULT_DIR: the LSES_FAULT_AT-th that changes something, with LSES_FAULT_KIND
// (EIO ENOSPC EINTR SHORT KILL). Every such call is a line of LSES_FAULT_LOG. To be preloaded.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;

static int below(const char *path) {
    const char *dir = getenv("LSES_FAULT_DIR");
    return dir && path && strncmp(path, dir, strlen(dir)) == 0;
}

static const char *name_of(int fd, char *buffer, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, size - 1);
    buffer[length > 0 ? length : 0] = 0;
    return buffer;
}

// What to do with this call: 0 nothing, -1 half of it, or an error number.
static int fault(const char *call, const char *path) {
    if (!below(path))
        return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    const char *log = getenv("LSES_FAULT_LOG"), *at = getenv("LSES_FAULT_AT"), *kind = getenv("LSES_FAULT_KIND");
    if (log) {
        char line[PATH_MAX + 64];
        const char *slash = strrchr(path, '/');
        int length = snprintf(line, sizeof line, "%s %s\n", call, slash ? slash + 1 : path);
        int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0) {
            if (syscall(SYS_write, fd, line, length) < 0)
                abort();
            syscall(SYS_close, fd);
        }
    }
    if (!at || !kind || atol(at) != number)
        return 0;
    if (strcmp(kind, "KILL") == 0)
        raise(SIGKILL);
    if (strcmp(kind, "SHORT") == 0)
        return -1;
    return strcmp(kind, "ENOSPC") == 0 ? ENOSPC : strcmp(kind, "EINTR") == 0 ? EINTR : EIO;
}

static int fault_of(const char *call, int fd) {
    int before = errno;
    char path[PATH_MAX];
    int what = fault(call, name_of(fd, path, sizeof path));
    errno = before;
    return what;
}

#define REAL(name) \
    static typeof(&name) real; \
    if (!real) \
        real = (typeof(&name))dlsym(RTLD_NEXT, #name)

#define FAIL(what) \
    do { \
        errno = what; \
        return -1; \
    } while (0)

#define WRITES(name, offset_t) \
    ssize_t name(int fd, const void *bytes, size_t size, offset_t offset) { \
        REAL(name); \
        int what = fault_of("pwrite", fd); \
        if (what > 0) \
            FAIL(what); \
        return real(fd, bytes, what < 0 && size > 1 ? size / 2 : size, offset); \
    }
WRITES(pwrite, off_t)
WRITES(pwrite64, off64_t)

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(write);
    int what = fault_of("write", fd);
    if (what > 0)
        FAIL(what);
    return real(fd, bytes, what < 0 && size > 1 ? size / 2 : size);
}

#define SYNCS(name) \
    int name(int fd) { \
        REAL(name); \
        int what = fault_of(#name, fd); \
        if (what > 0) \
            FAIL(what); \
        return real(fd); \
    }
SYNCS(fsync)
SYNCS(fdatasync)

#define CUTS(name, offset_t) \
    int name(int fd, offset_t length) { \
        REAL(name); \
        int what = fault_of("ftruncate", fd); \
        if (what > 0) \
            FAIL(what); \
        return real(fd, length); \
    }
CUTS(ftruncate, off_t)
CUTS(ftruncate64, off64_t)

#define GROWS(name, offset_t) \
    int name(int fd, int mode, offset_t offset, offset_t length) { \
        REAL(name); \
        int what = fault_of("fallocate", fd); \
        if (what > 0) \
            FAIL(what); \
        return real(fd, mode, offset, length); \
    }
GROWS(fallocate, off_t)
GROWS(fallocate64, off64_t)

// These return the error number.
#define GROWS_POSIX(name, offset_t) \
    int name(int fd, offset_t offset, offset_t length) { \
        REAL(name); \
        int what = fault_of("posix_fallocate", fd); \
        return what > 0 ? what : real(fd, offset, length); \
    }
GROWS_POSIX(posix_fallocate, off_t)
GROWS_POSIX(posix_fallocate64, off64_t)

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        int what = fault("open", path); \
        if (what > 0) \
            FAIL(what); \
        return real(path, flags, mode); \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name) \
    int name(int dir, const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        int what = fault("open", path); \
        if (what > 0) \
            FAIL(what); \
        return real(dir, path, flags, mode); \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

int rename(const char *from, const char *to) {
    REAL(rename);
    int what = fault("rename", to);
    if (what > 0)
        FAIL(what);
    return real(from, to);
}

int unlink(const char *path) {
    REAL(unlink);
    int what = fault("unlink", path);
    if (what > 0)
        FAIL(what);
    return real(path);
}

#define MAPS(name, offset_t) \
    void *name(void *at, size_t length, int protection, int flags, int fd, offset_t offset) { \
        REAL(name); \
        int what = fd >= 0 ? fault_of("mmap", fd) : 0; \
        if (what > 0) { \
            errno = what == ENOSPC ? ENOMEM : what; \
            return MAP_FAILED; \
        } \
        return real(at, length, protection, flags, fd, offset); \
    }
MAPS(mmap, off_t)
MAPS(mmap64, off64_t)
