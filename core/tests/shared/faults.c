// Fails one call on a file below LSES_FAULT_DIR: the LSES_FAULT_AT-th that changes something, with LSES_FAULT_KIND
// (EIO ENOSPC EINTR SHORT KILL). Every such call is a line of LSES_FAULT_LOG. To be preloaded.
//
// With LSES_FAULT_SYNC_MS each sync takes so long, and then adds a byte to the file LSES_FAULT_SYNCS.
//
// With LSES_FAULT_ARMED the process says when: from the removal of a file `arm-call-N` there on, the N-th call kills it,
// where file locks and shared wake-ups count, too; `arm-ns-N` kills it N nanoseconds later; `arm-never` ends both.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;
// -1: not armed; else the call that kills, 0 for none.
static atomic_long kills = -1;
static timer_t timer;
static atomic_bool timed;

static void arm(const char *when) {
    long number = strrchr(when, '-') ? atol(strrchr(when, '-') + 1) : 0;
    if (atomic_exchange(&timed, false))
        timer_delete(timer);
    atomic_store(&kills, -1);
    if (strncmp(when, "call-", 5) == 0) {
        atomic_store(&calls, 0);
        atomic_store(&kills, number);
    } else if (strncmp(when, "ns-", 3) == 0) {
        struct sigevent dies = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
        struct itimerspec at = {.it_value = {number / 1000000000, number % 1000000000}};
        if (timer_create(CLOCK_MONOTONIC, &dies, &timer) || timer_settime(timer, 0, &at, NULL))
            abort();
        atomic_store(&timed, true);
    }
}

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
    int armed = getenv("LSES_FAULT_ARMED") != NULL;
    if (armed && atomic_load(&kills) < 0)
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
    if (armed && atomic_load(&kills) == number)
        raise(SIGKILL);
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

// A disk that takes its time.
static void take_time(int fd) {
    const char *ms = getenv("LSES_FAULT_SYNC_MS"), *syncs = getenv("LSES_FAULT_SYNCS");
    char path[PATH_MAX];
    if (!ms || !syncs || !below(name_of(fd, path, sizeof path)))
        return;
    long long left = atoll(ms) * 1000000;
    struct timespec rest = {left / 1000000000, left % 1000000000};
    while (nanosleep(&rest, &rest) && errno == EINTR)
        ;
    int file = (int)syscall(SYS_openat, AT_FDCWD, syncs, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) {
        if (syscall(SYS_write, file, ".", 1) < 0)
            abort();
        syscall(SYS_close, file);
    }
}

#define SYNCS(name) \
    int name(int fd) { \
        REAL(name); \
        int what = fault_of(#name, fd); \
        if (what > 0) \
            FAIL(what); \
        take_time(fd); \
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
    const char *name = strrchr(path, '/');
    if (name && strncmp(name, "/arm-", 5) == 0 && below(path)) {
        arm(name + 5);
        FAIL(ENOENT);
    }
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

#define LOCKS(name) \
    int name(int fd, int what, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, what); \
        void *argument = va_arg(rest, void *); \
        va_end(rest); \
        if (atomic_load(&kills) >= 0 && (what == F_SETLK || what == F_OFD_SETLK)) \
            fault_of("lock", fd); \
        return real(fd, what, argument); \
    }
LOCKS(fcntl)
LOCKS(fcntl64)

// The wake-ups that other processes hear go by nobody else.
long syscall(long number, ...) {
    REAL(syscall);
    va_list rest;
    va_start(rest, number);
    long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long);
    long d = va_arg(rest, long), e = va_arg(rest, long), f = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_futex && b == FUTEX_WAKE && atomic_load(&kills) >= 0) {
        int before = errno;
        const char *dir = getenv("LSES_FAULT_DIR");
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/bell", dir ? dir : "");
        fault("wake", path);
        errno = before;
    }
    return real(number, a, b, c, d, e, f);
}
