/* base/os: files as fettle reads and writes them, the run lock, the clock, memory, signals.
 *
 * Reading: ft_mapping maps a whole file read-only. Writing: ft_out writes to a temporary name in the same directory;
 * commit fsyncs, renames and fsyncs the directory, abort removes the temporary. A crash leaves the old file or the new.
 */
#ifndef FETTLE_BASE_OS_H
#define FETTLE_BASE_OS_H

#include "base/mem.h"

#include <stdio.h>

typedef struct ft_mapping {
    const uint8_t *data; /* NULL for an empty file */
    size_t size;
    char *path;
} ft_mapping;
/* FT_EINPUT when there is no such file, FT_EIO otherwise. */
ft_status ft_mapping_open(ft_mapping *out, const char *path);
void ft_mapping_close(ft_mapping *m);
/* Asks the system to have n bytes of a mapping read soon. */
void ft_mapping_ahead(const void *p, size_t n);
/* The whole pages within n bytes of a mapping no longer count as resident; they are read again when they are needed. p must
 * lie in an ft_mapping. */
void ft_mapping_forget(const void *p, size_t n);

typedef struct ft_out ft_out;
ft_status ft_out_open(ft_out **out, const char *path);
ft_status ft_out_write(ft_out *o, const void *p, size_t n);
ft_status ft_out_printf(ft_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
ft_status ft_out_zeros(ft_out *o, size_t n);
/* Bytes written so far. */
uint64_t ft_out_tell(const ft_out *o);
/* For files that a library writes in its own order (HDF5): n bytes at a place, past all buffering. Not to be mixed with
 * ft_out_write. What was never written reads as zeros. */
ft_status ft_out_write_at(ft_out *o, uint64_t at, const void *p, size_t n);
ft_status ft_out_read_at(ft_out *o, uint64_t at, void *p, size_t n);
/* Brings what was written to the disk, so that only the rename of a commit is left to fail. */
ft_status ft_out_sync(ft_out *o);
/* Frees `o` in either case. commit fails: nothing stands under the final name that was not there before. */
ft_status ft_out_commit(ft_out *o);
void ft_out_abort(ft_out *o); /* NULL is fine */
/* Fault injection for tests: the n-th write from now fails with ENOSPC; 0 turns it off; returns writes since. */
long ft_write_fail_at(long n);

/* Whole small file into a new buffer (0-terminated); FT_EINPUT when missing, FT_ENOMEM above max_bytes. */
ft_status ft_read_file(ft_buf *out, const char *path, size_t max_bytes);
/* Whole small file, atomically. */
ft_status ft_write_file(const char *path, const void *p, size_t n);
ft_status ft_copy_file(const char *from, const char *to);
/* Renames a file over what stands there. */
ft_status ft_move(const char *from, const char *to);

bool ft_exists(const char *path);
bool ft_is_dir(const char *path);
/* Does dir hold an entry of that name ("config.json", "model/config.json")? */
bool ft_dir_holds(const char *dir, const char *name);
/* Is it a file that begins with these n bytes? */
bool ft_begins_with(const char *path, const void *magic, size_t n);
/* mkdir -p; of the directory that a file or folder of this name is to stand in. */
ft_status ft_mkdirs(const char *path);
ft_status ft_mkdirs_for(const char *path);
/* dir/name in new memory (ft_free); name alone when it is absolute or dir is "" or NULL. */
char *ft_path_join(const char *dir, const char *name);
/* The directory part in new memory ("." when there is none); the last component, borrowed. */
char *ft_path_dir(const char *path);
const char *ft_path_base(const char *path);
/* The way from a directory to `to` ("../../data/base"), links resolved, in new memory; the directory itself need not
 * stand yet. NULL when there is no way or no memory. */
char *ft_path_relative(const char *dir, const char *to);
/* Names in a directory that end with suffix (NULL: all), sorted, no dot files; free with ft_names_free. */
typedef struct ft_names {
    char **p;
    size_t n;
} ft_names;
ft_status ft_list_dir(ft_names *out, const char *path, const char *suffix);
void ft_names_free(ft_names *n);

/* An exclusive lock on dir/.lock held until released or the process ends; FT_EINPUT names the holder's pid. */
typedef struct ft_lock {
    int fd;
} ft_lock;
ft_status ft_lock_dir(ft_lock *out, const char *dir);
void ft_lock_release(ft_lock *l);

double ft_now_s(void);           /* monotonic seconds */
uint64_t ft_rss_bytes(void);      /* resident now */
uint64_t ft_peak_rss_bytes(void); /* highest so far */
uint64_t ft_total_ram_bytes(void);
/* What could be taken now without driving others out: free memory and caches, within the limit of the process's group
 * where the system tells; else a half of all. */
uint64_t ft_available_ram_bytes(void);
/* Free for this user where dir lies, or will lie once it is made; 0 when that cannot be told. */
uint64_t ft_free_disk_bytes(const char *dir);

/* Stop requests: a signal handler sets the flag, loops read it. */
/* SIGINT, SIGTERM, SIGHUP; a second signal ends the process at once. SIGPIPE is ignored: a reader that leaves does not end
 * a run. */
void ft_stop_on_signals(void);
bool ft_stop_requested(void);
void ft_stop_set(bool value); /* tests, embedding programs */

#endif
