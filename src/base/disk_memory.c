/*
 * A disk in memory: base/disk_memory.h.
 *
 *      directory: names ---> node (file: pages) <--- descriptors
 *                 synced: names as of its last sync        pages as of its last sync
 *
 * A node lives while a name, a synced name, a change of names that is not synced, or a descriptor
 * refers to it.
 */
#include "base/disk_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/map.h"
#include "base/random.h"

enum {
    PAGE_BYTES = 4096,
    SECTOR_BYTES = 512,
    NAMES_MAX = 1 << 24,
    DESCRIPTORS_MAX = 1 << 20,
    LIST_BYTES_MAX = 1 << 30,
};

struct content {
    uint8_t **pages; /* NULL = zeros */
    size_t page_count;
    int64_t bytes;
};

/* A change of a directory's names that is not synced yet. */
struct change {
    struct change *next;
    struct node *node;
    char *removed, *added; /* names, or NULL */
};

struct node {
    uint32_t references;
    bool is_directory;
    int lock; /* descriptor + 1 of who holds it */
    /* File. */
    struct content now, synced;
    bool *written; /* pages since the last sync; page_count of `now` */
    size_t written_count;
    /* Directory: name -> node. */
    struct weir_map names, synced_names;
    struct change *changes, *last_change;
};

struct weir_disk_memory {
    struct weir_disk disk;
    pthread_mutex_t mutex;
    bool remembers_syncs;
    size_t page_count, page_count_max;
    struct node *root;
    struct node **open; /* by descriptor; NULL = free */
    int open_capacity;
    int open_count;
};

/* ---- pages ----------------------------------------------------------------------------------- */

static uint8_t *page_new(struct weir_disk_memory *memory)
{
    uint8_t *page;

    if (memory->page_count >= memory->page_count_max)
        return NULL;
    page = weir_calloc(1, PAGE_BYTES);
    if (page != NULL)
        memory->page_count++;
    return page;
}

static void page_free(struct weir_disk_memory *memory, uint8_t *page)
{
    if (page == NULL)
        return;
    weir_free(page);
    memory->page_count--;
}

/* Room in the table of pages for so many; doubles. */
static bool content_reserve(struct content *content, size_t page_count)
{
    size_t count = content->page_count > 0 ? content->page_count : 4;
    uint8_t **pages;

    if (page_count <= content->page_count)
        return true;
    while (count < page_count)
        count *= 2;
    pages = weir_realloc_array(content->pages, count, sizeof(uint8_t *));
    if (pages == NULL)
        return false;
    memset(pages + content->page_count, 0, (count - content->page_count) * sizeof(uint8_t *));
    content->pages = pages;
    content->page_count = count;
    return true;
}

static void content_free(struct weir_disk_memory *memory, struct content *content)
{
    for (size_t i = 0; i < content->page_count; i++)
        page_free(memory, content->pages[i]);
    weir_free(content->pages);
    *content = (struct content){0};
}

static const uint8_t *page_of(const struct content *content, size_t index)
{
    static const uint8_t zeros[PAGE_BYTES];

    return index < content->page_count && content->pages[index] != NULL ? content->pages[index]
                                                                        : zeros;
}

static bool content_put_page(struct weir_disk_memory *memory, struct content *content, size_t index,
                             const uint8_t *bytes)
{
    if (!content_reserve(content, index + 1))
        return false;
    if (content->pages[index] == NULL)
        content->pages[index] = page_new(memory);
    if (content->pages[index] == NULL)
        return false;
    memcpy(content->pages[index], bytes, PAGE_BYTES);
    return true;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static struct node *node_new(bool is_directory)
{
    struct node *node = weir_calloc(1, sizeof *node);

    if (node == NULL)
        return NULL;
    node->references = 1; /* the caller's */
    node->is_directory = is_directory;
    weir_map_init(&node->names, NAMES_MAX);
    weir_map_init(&node->synced_names, NAMES_MAX);
    return node;
}

static void node_unref(struct weir_disk_memory *memory, struct node *node);

static void change_free(struct weir_disk_memory *memory, struct change *change)
{
    if (change->node != NULL)
        node_unref(memory, change->node);
    weir_free(change->removed);
    weir_free(change->added);
    weir_free(change);
}

static void forget_changes(struct weir_disk_memory *memory, struct node *directory)
{
    while (directory->changes != NULL) {
        struct change *change = directory->changes;
        directory->changes = change->next;
        change_free(memory, change);
    }
    directory->last_change = NULL;
}

static void names_release(struct weir_disk_memory *memory, struct weir_map *names)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(names, e)) != NULL;)
        node_unref(memory, e->value.pointer);
    weir_map_release(names);
}

static void node_unref(struct weir_disk_memory *memory, struct node *node)
{
    if (--node->references > 0)
        return;
    forget_changes(memory, node);
    names_release(memory, &node->names);
    names_release(memory, &node->synced_names);
    content_free(memory, &node->now);
    content_free(memory, &node->synced);
    weir_free(node->written);
    weir_free(node);
}

/* The place of a path: its directory, and the last name. -ENOENT, -ENOTDIR. */
static int walk(const struct weir_disk_memory *memory, const char *path, struct node **directory,
                struct weir_slice *name)
{
    struct node *at = memory->root;

    for (;;) {
        size_t bytes;
        weir_assert(at != NULL);
        path += strspn(path, "/");
        bytes = strcspn(path, "/");
        if (path[bytes + strspn(path + bytes, "/")] == '\0') {
            *directory = at;
            *name = weir_slice(path, bytes);
            return at->is_directory ? 0 : -ENOTDIR;
        }
        if (!at->is_directory)
            return -ENOTDIR;
        if (bytes != 1 || path[0] != '.')
            at = weir_map_get(&at->names, weir_slice(path, bytes));
        if (at == NULL)
            return -ENOENT;
        path += bytes;
    }
}

/* The node of a path, NULL: none. "/" and "." are the directory itself. */
static int find(const struct weir_disk_memory *memory, const char *path, struct node **directory,
                struct weir_slice *name, struct node **out)
{
    int err = walk(memory, path, directory, name);

    *out = NULL;
    if (err != 0)
        return err;
    weir_assert(*directory != NULL);
    if (name->bytes == 0 || weir_slice_equal(*name, weir_slice(".", 1)))
        *out = *directory;
    else
        *out = weir_map_get(&(*directory)->names, *name);
    return 0;
}

/* ---- changes of names ------------------------------------------------------------------------ */

static bool apply(struct weir_disk_memory *memory, struct weir_map *names, const char *removed,
                  const char *added, struct node *node)
{
    union weir_map_value old;

    if (added != NULL && node != NULL) {
        struct weir_map_entry *entry;
        bool is_new;
        if (weir_map_add(names, weir_slice(added, strlen(added)), &entry, &is_new) != WEIR_OK)
            return false;
        node->references++;
        if (!is_new)
            node_unref(memory, entry->value.pointer);
        entry->value.pointer = node;
    }
    if (removed != NULL && weir_map_remove(names, weir_slice(removed, strlen(removed)), &old))
        node_unref(memory, old.pointer);
    return true;
}

static struct change *change_new(struct weir_slice removed, struct weir_slice added)
{
    struct change *change = weir_calloc(1, sizeof *change);

    if (change == NULL)
        return NULL;
    if (removed.data != NULL)
        change->removed = weir_strndup(removed.data, removed.bytes);
    if (added.data != NULL)
        change->added = weir_strndup(added.data, added.bytes);
    if ((removed.data != NULL && change->removed == NULL) ||
        (added.data != NULL && change->added == NULL)) {
        weir_free(change->removed);
        weir_free(change->added);
        weir_free(change);
        return NULL;
    }
    return change;
}

/* removed and added: names or null; node: what is added. */
static int change_names(struct weir_disk_memory *memory, struct node *directory,
                        struct weir_slice removed, struct weir_slice added, struct node *node)
{
    struct change *change = change_new(removed, added);

    if (change == NULL)
        return -ENOMEM;
    if (node != NULL) {
        node->references++;
        change->node = node;
    }
    if (!apply(memory, &directory->names, change->removed, change->added, node)) {
        change_free(memory, change);
        return -ENOSPC;
    }
    if (!memory->remembers_syncs) {
        change_free(memory, change);
        return 0;
    }
    change->next = NULL;
    if (directory->last_change != NULL)
        directory->last_change->next = change;
    else
        directory->changes = change;
    directory->last_change = change;
    return 0;
}

/* The first `count` changes are on the disk. */
static bool settle_names(struct weir_disk_memory *memory, struct node *directory, uint32_t count)
{
    for (; count > 0 && directory->changes != NULL; count--) {
        struct change *change = directory->changes;
        if (!apply(memory, &directory->synced_names, change->removed, change->added, change->node))
            return false;
        directory->changes = change->next;
        if (directory->changes == NULL)
            directory->last_change = NULL;
        change_free(memory, change);
    }
    return true;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static int take_descriptor(struct weir_disk_memory *memory, struct node *node)
{
    int fd = 0;

    while (fd < memory->open_capacity && memory->open[fd] != NULL)
        fd++;
    if (fd == memory->open_capacity) {
        int capacity = memory->open_capacity > 0 ? 2 * memory->open_capacity : 64;
        struct node **open =
            capacity <= DESCRIPTORS_MAX
                ? weir_realloc_array(memory->open, (size_t)capacity, sizeof(struct node *))
                : NULL;
        if (open == NULL)
            return -EMFILE;
        memset(open + fd, 0, (size_t)(capacity - fd) * sizeof(struct node *));
        memory->open = open;
        memory->open_capacity = capacity;
    }
    memory->open[fd] = node;
    memory->open_count++;
    node->references++;
    return fd;
}

static struct node *node_of(const struct weir_disk_memory *memory, int fd)
{
    return fd >= 0 && fd < memory->open_capacity ? memory->open[fd] : NULL;
}

static int truncate_node(struct weir_disk_memory *memory, struct node *node, int64_t bytes);

/* A new file or directory under a name. */
static int add_node(struct weir_disk_memory *memory, struct node *directory, struct weir_slice name,
                    bool is_directory, struct node **out)
{
    struct node *node = node_new(is_directory);
    int err =
        node != NULL ? change_names(memory, directory, weir_slice(NULL, 0), name, node) : -ENOMEM;

    if (node != NULL)
        node_unref(memory, node);
    *out = node;
    return err;
}

static int open_node(struct weir_disk_memory *memory, const char *path, int flags)
{
    struct node *directory, *node;
    struct weir_slice name;
    int err = find(memory, path, &directory, &name, &node), fd;

    if (err != 0)
        return err;
    if (node == NULL) {
        if (!(flags & O_CREAT))
            return -ENOENT;
        err = add_node(memory, directory, name, false, &node);
        if (err != 0)
            return err;
    } else if ((flags & O_CREAT) && (flags & O_EXCL)) {
        return -EEXIST;
    } else if (node->is_directory && (flags & O_ACCMODE) != O_RDONLY) {
        return -EISDIR;
    } else if ((flags & O_DIRECTORY) && !node->is_directory) {
        return -ENOTDIR;
    }
    fd = take_descriptor(memory, node);
    if (fd >= 0 && (flags & O_TRUNC))
        truncate_node(memory, node, 0);
    return fd;
}

/* ---- content --------------------------------------------------------------------------------- */

/* The page was written: it may be lost until the next sync. */
static bool note_written(const struct weir_disk_memory *memory, struct node *node, size_t index)
{
    if (!memory->remembers_syncs)
        return true;
    if (index >= node->written_count) {
        size_t count = node->written_count > 0 ? node->written_count : 4;
        bool *written;
        while (count <= index)
            count *= 2;
        written = weir_realloc_array(node->written, count, sizeof *written);
        if (written == NULL)
            return false;
        memset(written + node->written_count, 0, (count - node->written_count) * sizeof *written);
        node->written = written;
        node->written_count = count;
    }
    node->written[index] = true;
    return true;
}

static ssize_t write_node(struct weir_disk_memory *memory, struct node *node, const void *data,
                          size_t bytes, int64_t offset)
{
    const uint8_t *from = data;
    size_t done = 0;

    while (done < bytes) {
        size_t at = (size_t)offset + done, index = at / PAGE_BYTES, inside = at % PAGE_BYTES;
        size_t part = PAGE_BYTES - inside < bytes - done ? PAGE_BYTES - inside : bytes - done;
        if (!content_reserve(&node->now, index + 1) || !note_written(memory, node, index))
            break;
        if (node->now.pages[index] == NULL)
            node->now.pages[index] = page_new(memory);
        if (node->now.pages[index] == NULL)
            break;
        memcpy(node->now.pages[index] + inside, from + done, part);
        done += part;
        if ((int64_t)(at + part) > node->now.bytes)
            node->now.bytes = (int64_t)(at + part);
    }
    return done > 0 || bytes == 0 ? (ssize_t)done : -ENOSPC;
}

static ssize_t read_node(const struct node *node, void *into, size_t bytes, int64_t offset)
{
    uint8_t *to = into;
    size_t done = 0;

    if (offset >= node->now.bytes)
        return 0;
    if ((int64_t)bytes > node->now.bytes - offset)
        bytes = (size_t)(node->now.bytes - offset);
    while (done < bytes) {
        size_t at = (size_t)offset + done, inside = at % PAGE_BYTES;
        size_t part = PAGE_BYTES - inside < bytes - done ? PAGE_BYTES - inside : bytes - done;
        memcpy(to + done, page_of(&node->now, at / PAGE_BYTES) + inside, part);
        done += part;
    }
    return (ssize_t)done;
}

/* Behind the end there are zeros, should the file grow again. */
static int truncate_node(struct weir_disk_memory *memory, struct node *node, int64_t bytes)
{
    size_t first = ((size_t)bytes + PAGE_BYTES - 1) / PAGE_BYTES,
           inside = (size_t)bytes % PAGE_BYTES;

    for (size_t i = first; i < node->now.page_count; i++) {
        if (node->now.pages[i] != NULL && !note_written(memory, node, i))
            return -ENOMEM;
        page_free(memory, node->now.pages[i]);
        node->now.pages[i] = NULL;
    }
    if (inside > 0 && first <= node->now.page_count && node->now.pages[first - 1] != NULL) {
        if (!note_written(memory, node, first - 1))
            return -ENOMEM;
        memset(node->now.pages[first - 1] + inside, 0, PAGE_BYTES - inside);
    }
    node->now.bytes = bytes;
    return 0;
}

static int sync_node(struct weir_disk_memory *memory, struct node *node)
{
    if (!memory->remembers_syncs)
        return 0;
    if (node->is_directory)
        return settle_names(memory, node, UINT32_MAX) ? 0 : -EIO;
    for (size_t i = 0; i < node->written_count; i++) {
        if (!node->written[i])
            continue;
        if (!content_put_page(memory, &node->synced, i, page_of(&node->now, i)))
            return -EIO;
        node->written[i] = false;
    }
    node->synced.bytes = node->now.bytes;
    return 0;
}

/* ---- the table of calls ---------------------------------------------------------------------- */

static struct weir_disk_memory *enter(void *opaque)
{
    struct weir_disk_memory *memory = opaque;

    pthread_mutex_lock(&memory->mutex);
    return memory;
}

static void leave(struct weir_disk_memory *memory)
{
    pthread_mutex_unlock(&memory->mutex);
}

static int memory_open(void *opaque, const char *path, int flags, mode_t mode)
{
    struct weir_disk_memory *memory = enter(opaque);
    int fd = open_node(memory, path, flags);

    (void)mode;
    leave(memory);
    return fd;
}

static int memory_close(void *opaque, int fd)
{
    struct weir_disk_memory *memory = enter(opaque);
    struct node *node = node_of(memory, fd);

    if (node != NULL) {
        if (node->lock == fd + 1)
            node->lock = 0;
        memory->open[fd] = NULL;
        memory->open_count--;
        node_unref(memory, node);
    }
    leave(memory);
    return node != NULL ? 0 : -EBADF;
}

static ssize_t memory_pread(void *opaque, int fd, void *into, size_t bytes, int64_t offset)
{
    struct weir_disk_memory *memory = enter(opaque);
    const struct node *node = node_of(memory, fd);
    ssize_t done = node == NULL || offset < 0 ? -EBADF
                   : node->is_directory       ? -EISDIR
                                              : read_node(node, into, bytes, offset);

    leave(memory);
    return done;
}

static ssize_t memory_pwritev(void *opaque, int fd, const struct iovec *parts, int count,
                              int64_t offset)
{
    struct weir_disk_memory *memory = enter(opaque);
    struct node *node = node_of(memory, fd);
    ssize_t done = node == NULL || node->is_directory || offset < 0 ? -EBADF : 0;

    for (int i = 0; i < count && done >= 0; i++) {
        ssize_t part = write_node(memory, node, parts[i].iov_base, parts[i].iov_len, offset + done);
        if (part < 0) {
            done = done > 0 ? done : part;
            break;
        }
        done += part;
        if ((size_t)part < parts[i].iov_len)
            break;
    }
    leave(memory);
    return done;
}

static ssize_t memory_pwrite(void *opaque, int fd, const void *data, size_t bytes, int64_t offset)
{
    const struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};

    return memory_pwritev(opaque, fd, &part, 1, offset);
}

static int memory_fsync(void *opaque, int fd)
{
    struct weir_disk_memory *memory = enter(opaque);
    struct node *node = node_of(memory, fd);
    int err = node != NULL ? sync_node(memory, node) : -EBADF;

    leave(memory);
    return err;
}

static int memory_ftruncate(void *opaque, int fd, int64_t bytes)
{
    struct weir_disk_memory *memory = enter(opaque);
    struct node *node = node_of(memory, fd);
    int err = node == NULL || node->is_directory || bytes < 0 ? -EBADF
                                                              : truncate_node(memory, node, bytes);

    leave(memory);
    return err;
}

static int64_t memory_size(void *opaque, int fd)
{
    struct weir_disk_memory *memory = enter(opaque);
    const struct node *node = node_of(memory, fd);
    int64_t bytes = node != NULL ? node->now.bytes : -EBADF;

    leave(memory);
    return bytes;
}

static int memory_lock(void *opaque, int fd)
{
    struct weir_disk_memory *memory = enter(opaque);
    struct node *node = node_of(memory, fd);
    int err = node == NULL ? -EBADF : node->lock != 0 && node->lock != fd + 1 ? -EWOULDBLOCK : 0;

    if (err == 0)
        node->lock = fd + 1;
    leave(memory);
    return err;
}

static int rename_node(struct weir_disk_memory *memory, const char *from, const char *to)
{
    struct node *from_directory, *to_directory, *node, *old;
    struct weir_slice from_name, to_name;
    int err = find(memory, from, &from_directory, &from_name, &node);

    if (err != 0)
        return err;
    err = find(memory, to, &to_directory, &to_name, &old);
    if (err != 0)
        return err;
    if (node == NULL)
        return -ENOENT;
    if (node->is_directory || from_directory != to_directory)
        return -EXDEV;
    if (old != NULL && old->is_directory)
        return -EISDIR;
    return node != old ? change_names(memory, from_directory, from_name, to_name, node) : 0;
}

static int memory_rename(void *opaque, const char *from, const char *to)
{
    struct weir_disk_memory *memory = enter(opaque);
    int err = rename_node(memory, from, to);

    leave(memory);
    return err;
}

static int remove_name(struct weir_disk_memory *memory, const char *path, bool is_directory)
{
    struct node *directory, *node;
    struct weir_slice name;
    int err = find(memory, path, &directory, &name, &node);

    if (err != 0)
        return err;
    if (node == NULL)
        return -ENOENT;
    if (node->is_directory != is_directory || node == directory)
        return is_directory ? -ENOTDIR : -EISDIR;
    if (is_directory && weir_map_count(&node->names) > 0)
        return -ENOTEMPTY;
    return change_names(memory, directory, name, weir_slice(NULL, 0), NULL);
}

static int memory_unlink(void *opaque, const char *path)
{
    struct weir_disk_memory *memory = enter(opaque);
    int err = remove_name(memory, path, false);

    leave(memory);
    return err;
}

static int memory_rmdir(void *opaque, const char *path)
{
    struct weir_disk_memory *memory = enter(opaque);
    int err = remove_name(memory, path, true);

    leave(memory);
    return err;
}

static int memory_mkdir(void *opaque, const char *path, mode_t mode)
{
    struct weir_disk_memory *memory = enter(opaque);
    struct node *directory, *node;
    struct weir_slice name;
    int err = find(memory, path, &directory, &name, &node);

    (void)mode;
    if (err == 0 && node != NULL)
        err = -EEXIST;
    if (err == 0)
        err = add_node(memory, directory, name, true, &node);
    leave(memory);
    return err;
}

/* The names are copied: `each` may call the disk. */
static int memory_list(void *opaque, const char *path, weir_disk_name_fn *each, void *each_opaque)
{
    struct weir_disk_memory *memory = enter(opaque);
    struct weir_buffer names; /* 'd' or 'f', the name, NUL */
    struct node *directory, *node;
    struct weir_slice name;
    int result = find(memory, path, &directory, &name, &node);

    weir_buffer_init(&names, LIST_BYTES_MAX);
    if (result == 0 && (node == NULL || !node->is_directory))
        result = node == NULL ? -ENOENT : -ENOTDIR;
    if (result == 0)
        for (struct weir_map_entry *e = NULL; (e = weir_map_next(&node->names, e)) != NULL;) {
            const struct node *child = e->value.pointer;
            if (weir_buffer_append(&names, child->is_directory ? "d" : "f", 1) != WEIR_OK ||
                weir_buffer_append(&names, e->key, e->key_bytes + 1) != WEIR_OK)
                result = -ENOMEM;
        }
    leave(memory);
    for (size_t at = 0; result == 0 && at < names.bytes;) {
        const char *entry = (const char *)names.data + at;
        result = (int)each(each_opaque, entry + 1, entry[0] == 'd');
        at += strlen(entry) + 1;
    }
    weir_buffer_release(&names);
    return result;
}

/* ---- the power ------------------------------------------------------------------------------- */

/* A page of which a part was on its way: old, new, or sectors of both. */
static void cut_page(struct weir_random *random, uint8_t *page, const uint8_t *new_page)
{
    uint32_t way = weir_random_below(random, 3);

    for (size_t at = 0; at < PAGE_BYTES; at += SECTOR_BYTES)
        if (way == 1 || (way == 2 && weir_random_below(random, 2) == 1))
            memcpy(page + at, new_page + at, SECTOR_BYTES);
}

static bool cut_file(struct weir_disk_memory *memory, struct node *node, struct weir_random *random)
{
    int64_t low = node->synced.bytes, high = node->now.bytes;
    uint8_t page[PAGE_BYTES];

    for (size_t i = 0; i < node->written_count; i++) {
        if (!node->written[i])
            continue;
        memcpy(page, page_of(&node->synced, i), PAGE_BYTES);
        cut_page(random, page, page_of(&node->now, i));
        if (!content_put_page(memory, &node->synced, i, page))
            return false;
        node->written[i] = false;
    }
    if (low > high) {
        low = node->now.bytes;
        high = node->synced.bytes;
    }
    switch (weir_random_below(random, 3)) {
    case 0:
        break;
    case 1:
        node->synced.bytes = node->now.bytes;
        break;
    default:
        node->synced.bytes = low + (int64_t)(weir_random_double(random) * (double)(high - low));
    }
    content_free(memory, &node->now);
    for (size_t i = 0; i < node->synced.page_count; i++)
        if (node->synced.pages[i] != NULL &&
            !content_put_page(memory, &node->now, i, node->synced.pages[i]))
            return false;
    return truncate_node(memory, node, node->synced.bytes) == 0 && sync_node(memory, node) == 0;
}

static bool cut_node(struct weir_disk_memory *memory, struct node *node, struct weir_random *random)
{
    uint32_t changes = 0;

    if (!node->is_directory)
        return cut_file(memory, node, random);
    for (const struct change *change = node->changes; change != NULL; change = change->next)
        changes++;
    if (!settle_names(memory, node, weir_random_below(random, changes + 1)))
        return false;
    forget_changes(memory, node);
    names_release(memory, &node->names);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&node->synced_names, e)) != NULL;) {
        struct node *child = e->value.pointer;
        if (!cut_node(memory, child, random) ||
            weir_map_put(&node->names, weir_slice(e->key, e->key_bytes), child) != WEIR_OK)
            return false;
        child->references++;
    }
    return true;
}

enum weir_err weir_disk_memory_cut(struct weir_disk_memory *memory, uint64_t seed)
{
    struct weir_random random = {seed};
    size_t page_count_max = memory->page_count_max;
    bool done;

    weir_assert(memory->remembers_syncs && memory->open_count == 0);
    memory->page_count_max = SIZE_MAX;
    done = cut_node(memory, memory->root, &random);
    memory->page_count_max = page_count_max;
    return done ? WEIR_OK : WEIR_NOMEM;
}

/* ---- life ------------------------------------------------------------------------------------ */

enum weir_err weir_disk_memory_new(size_t bytes_max, bool remembers_syncs,
                                   struct weir_disk_memory **out)
{
    struct weir_disk_memory *memory = weir_calloc(1, sizeof *memory);

    if (memory == NULL)
        return WEIR_NOMEM;
    memory->root = node_new(true);
    if (memory->root == NULL) {
        weir_free(memory);
        return WEIR_NOMEM;
    }
    pthread_mutex_init(&memory->mutex, NULL);
    memory->remembers_syncs = remembers_syncs;
    memory->page_count_max = bytes_max / PAGE_BYTES;
    memory->disk = (struct weir_disk){
        .open = memory_open,
        .close = memory_close,
        .pread = memory_pread,
        .pwrite = memory_pwrite,
        .pwritev = memory_pwritev,
        .fsync = memory_fsync,
        .fdatasync = memory_fsync,
        .ftruncate = memory_ftruncate,
        .size = memory_size,
        .lock = memory_lock,
        .rename = memory_rename,
        .unlink = memory_unlink,
        .mkdir = memory_mkdir,
        .rmdir = memory_rmdir,
        .list = memory_list,
        .opaque = memory,
    };
    *out = memory;
    return WEIR_OK;
}

void weir_disk_memory_free(struct weir_disk_memory *memory)
{
    if (memory == NULL)
        return;
    weir_assert(memory->open_count == 0);
    node_unref(memory, memory->root);
    weir_assert(memory->page_count == 0);
    weir_free(memory->open);
    pthread_mutex_destroy(&memory->mutex);
    weir_free(memory);
}

const struct weir_disk *weir_disk_memory_disk(const struct weir_disk_memory *memory)
{
    return &memory->disk;
}

size_t weir_disk_memory_bytes(struct weir_disk_memory *memory)
{
    size_t count;

    pthread_mutex_lock(&memory->mutex);
    count = memory->page_count;
    pthread_mutex_unlock(&memory->mutex);
    return count * PAGE_BYTES;
}
