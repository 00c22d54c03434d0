#include "base/os.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* ---- reading ---- */

ft_status ft_mapping_open(ft_mapping *out, const char *path)
{
    ft_status st = FT_OK;
    struct stat sb;
    *out = (ft_mapping){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return ft_fail(FT_EINPUT, "%s: no such file", path);
        return ft_fail_errno("%s: cannot open", path);
    }
    if (fstat(fd, &sb) != 0) {
        st = ft_fail_errno("%s: cannot stat", path);
        goto done;
    }
    if (!S_ISREG(sb.st_mode)) {
        st = ft_fail(FT_EINPUT, "%s: not a regular file", path);
        goto done;
    }
    if (!(out->path = ft_strdup(path))) {
        st = FT_ENOMEM;
        goto done;
    }
    out->size = (size_t)sb.st_size;
    if (out->size) {
        void *p = mmap(NULL, out->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            st = ft_fail_errno("%s: cannot map", path);
            goto done;
        }
        out->data = p;
    }
done:
    close(fd);
    if (st != FT_OK)
        ft_mapping_close(out);
    return st;
}

void ft_mapping_forget(const void *p, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)p + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)p + n) / page * page;
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void ft_mapping_close(ft_mapping *m)
{
    if (m->data)
        munmap((void *)m->data, m->size);
    ft_free(m->path);
    *m = (ft_mapping){0};
}

void ft_mapping_ahead(const void *p, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGE_SIZE), from = (uintptr_t)p / page * page;
    if (n)
        madvise((void *)from, (uintptr_t)p + n - from, MADV_WILLNEED);
}

ft_status ft_read_file(ft_buf *out, const char *path, size_t max_bytes)
{
    ft_mapping m;
    FT_RETURN(ft_mapping_open(&m, path));
    ft_status st;
    if (m.size > max_bytes)
        st = ft_fail(FT_ENOMEM, "%s: %zu bytes, at most %zu are read here", path, m.size, max_bytes);
    else
        st = ft_buf_put(out, m.data, m.size);
    ft_mapping_close(&m);
    return st;
}

/* ---- writing ---- */

struct ft_out {
    int fd;
    char *path, *temporary;
    char *buffer;
    size_t used;
    uint64_t written;
};

enum { OUT_BUFFER = 1 << 18 };

static atomic_long write_fail_at, writes_made;

long ft_write_fail_at(long n)
{
    atomic_store(&write_fail_at, n);
    return atomic_exchange(&writes_made, 0);
}

static void out_free(ft_out *o)
{
    if (!o)
        return;
    if (o->fd >= 0)
        close(o->fd);
    ft_free(o->path);
    ft_free(o->temporary);
    ft_free(o->buffer);
    ft_free(o);
}

ft_status ft_out_open(ft_out **out, const char *path)
{
    ft_status st = FT_ENOMEM;
    *out = NULL;
    ft_out *o = ft_alloc(1, sizeof *o);
    if (!o)
        return FT_ENOMEM;
    o->fd = -1;
    o->path = ft_strdup(path);
    o->temporary = ft_strf("%s.%ld.tmp", path, (long)getpid());
    o->buffer = ft_resize(NULL, OUT_BUFFER, 1);
    if (!o->path || !o->temporary || !o->buffer)
        goto fail;
    if (ft_is_dir(path)) {
        st = ft_fail(FT_EINPUT, "%s: is a directory, a file is to be written", path);
        goto fail;
    }
    o->fd = open(o->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (o->fd < 0) {
        st = ft_fail_errno("%s: cannot write", path);
        goto fail;
    }
    *out = o;
    return FT_OK;
fail:
    out_free(o);
    return st;
}

/* One write that a test may make fail. */
static ssize_t write_once(const ft_out *o, const void *p, size_t n, uint64_t at)
{
    atomic_fetch_add(&writes_made, 1);
    if (atomic_load(&write_fail_at) > 0 && atomic_fetch_sub(&write_fail_at, 1) == 1) {
        errno = ENOSPC;
        return -1;
    }
    return pwrite(o->fd, p, n, (off_t)at);
}

ft_status ft_out_write_at(ft_out *o, uint64_t at, const void *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write_once(o, (const char *)p + done, n - done, at + done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return ft_fail_errno("%s: cannot write (at byte %llu)", o->path, (unsigned long long)(at + done));
        done += (size_t)k;
    }
    return FT_OK;
}

ft_status ft_out_read_at(ft_out *o, uint64_t at, void *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = pread(o->fd, (char *)p + done, n - done, (off_t)(at + done));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return ft_fail_errno("%s: cannot read back (at byte %llu)", o->path, (unsigned long long)(at + done));
        if (k == 0) {
            memset((char *)p + done, 0, n - done);
            break;
        }
        done += (size_t)k;
    }
    return FT_OK;
}

static ft_status out_flush(ft_out *o)
{
    FT_RETURN(ft_out_write_at(o, o->written - o->used, o->buffer, o->used));
    o->used = 0;
    return FT_OK;
}

ft_status ft_out_write(ft_out *o, const void *p, size_t n)
{
    const char *s = p;
    while (n) {
        size_t k = FT_MIN(n, OUT_BUFFER - o->used);
        memcpy(o->buffer + o->used, s, k);
        o->used += k;
        o->written += k;
        s += k;
        n -= k;
        if (o->used == OUT_BUFFER)
            FT_RETURN(out_flush(o));
    }
    return FT_OK;
}

ft_status ft_out_printf(ft_out *o, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = n < 0 ? NULL : ft_resize(NULL, (size_t)n + 1, 1);
    ft_status st = FT_ENOMEM;
    if (s) {
        vsnprintf(s, (size_t)n + 1, fmt, again);
        st = ft_out_write(o, s, (size_t)n);
    }
    va_end(again);
    ft_free(s);
    return st;
}

ft_status ft_out_zeros(ft_out *o, size_t n)
{
    static const char zeros[4096];
    for (; n > sizeof zeros; n -= sizeof zeros)
        FT_RETURN(ft_out_write(o, zeros, sizeof zeros));
    return ft_out_write(o, zeros, n);
}

uint64_t ft_out_tell(const ft_out *o)
{
    return o->written;
}

/* Makes the rename itself durable; a file system that cannot fsync a directory is not an error. */
static void sync_parent(const char *path)
{
    char *dir = ft_path_dir(path);
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    ft_free(dir);
}

ft_status ft_out_sync(ft_out *o)
{
    FT_RETURN(out_flush(o));
    return fsync(o->fd) == 0 ? FT_OK : ft_fail_errno("%s: cannot write to disk", o->path);
}

ft_status ft_move(const char *from, const char *to)
{
    if (rename(from, to) != 0)
        return ft_fail_errno("%s: cannot rename %s to it", to, from);
    sync_parent(to);
    return FT_OK;
}

ft_status ft_out_commit(ft_out *o)
{
    ft_status st = ft_out_sync(o);
    if (st == FT_OK && rename(o->temporary, o->path) != 0)
        st = ft_fail_errno("%s: cannot rename %s to it", o->path, o->temporary);
    if (st != FT_OK) {
        ft_out_abort(o);
        return st;
    }
    sync_parent(o->path);
    out_free(o);
    return FT_OK;
}

void ft_out_abort(ft_out *o)
{
    if (!o)
        return;
    unlink(o->temporary);
    out_free(o);
}

ft_status ft_write_file(const char *path, const void *p, size_t n)
{
    ft_out *o;
    FT_RETURN(ft_out_open(&o, path));
    ft_status st = ft_out_write(o, p, n);
    if (st != FT_OK) {
        ft_out_abort(o);
        return st;
    }
    return ft_out_commit(o);
}

ft_status ft_copy_file(const char *from, const char *to)
{
    ft_mapping m;
    FT_RETURN(ft_mapping_open(&m, from));
    ft_status st = ft_write_file(to, m.data, m.size);
    ft_mapping_close(&m);
    return st;
}

/* ---- lock ---- */

ft_status ft_lock_dir(ft_lock *out, const char *dir)
{
    char *path = ft_path_join(dir, ".lock"), text[32];
    out->fd = -1;
    if (!path)
        return FT_ENOMEM;
    ft_status st = FT_OK;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        st = ft_fail_errno("%s: cannot write", path);
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t k = read(fd, text, sizeof text - 1);
        text[k > 0 ? k : 0] = 0;
        st = ft_fail(FT_EINPUT, "%s: another fettle (process %s) is running in this folder", dir, text);
        close(fd);
    } else {
        int k = snprintf(text, sizeof text, "%ld", (long)getpid());
        if (ftruncate(fd, 0) != 0 || write(fd, text, (size_t)k) != k)
            st = ft_fail_errno("%s: cannot write", path);
        out->fd = fd;
        if (st != FT_OK)
            ft_lock_release(out);
    }
    ft_free(path);
    return st;
}

void ft_lock_release(ft_lock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

/* ---- clock, memory, signals ---- */

double ft_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t status_kib(const char *key)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            sscanf(line + strlen(key), "%llu", &kib);
    if (f)
        fclose(f);
    return kib * 1024;
}

uint64_t ft_rss_bytes(void)
{
    return status_kib("VmRSS:");
}

uint64_t ft_peak_rss_bytes(void)
{
    uint64_t peak = status_kib("VmHWM:");
    struct rusage r;
    if (!peak && getrusage(RUSAGE_SELF, &r) == 0)
        peak = (uint64_t)r.ru_maxrss * 1024;
    return peak;
}

uint64_t ft_total_ram_bytes(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
}

/* The number behind "key" in a small text file, `otherwise` where there is none. */
static uint64_t number_in(const char *path, const char *key, uint64_t otherwise)
{
    char text[4096];
    unsigned long long v;
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    const char *at = strstr(text, key);
    return at && sscanf(at + strlen(key), "%llu", &v) == 1 ? v : otherwise;
}

uint64_t ft_available_ram_bytes(void)
{
    uint64_t kib = number_in("/proc/meminfo", "MemAvailable:", ft_total_ram_bytes() / 2048);
    uint64_t limit = number_in("/sys/fs/cgroup/memory.max", "", UINT64_MAX),
             used = number_in("/sys/fs/cgroup/memory.current", "", 0);
    return FT_MIN(kib * 1024, limit - FT_MIN(limit, used));
}

uint64_t ft_free_disk_bytes(const char *dir)
{
    struct statvfs s;
    if (statvfs(dir, &s) == 0)
        return (uint64_t)s.f_bavail * s.f_frsize;
    char *above = errno == ENOENT ? ft_path_dir(dir) : NULL;
    uint64_t bytes = above && strcmp(above, dir) != 0 ? ft_free_disk_bytes(above) : 0;
    ft_free(above);
    return bytes;
}

static volatile sig_atomic_t stop_flag;

static void on_signal(int sig)
{
    if (stop_flag) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
    stop_flag = 1;
}

void ft_stop_on_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    sigemptyset(&sa.sa_mask);
    sa.sa_flags = SA_RESTART;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool ft_stop_requested(void)
{
    return stop_flag != 0;
}

void ft_stop_set(bool value)
{
    stop_flag = value;
}
